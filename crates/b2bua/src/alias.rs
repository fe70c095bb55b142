//! Numbers for users who have none: a PBX can show them, and call them back.
//!
//! A carrier may name a user by an opaque word instead of a number (Meta reference 3.2), which digit-only
//! dial plans cannot handle. Such a user gets the next free number of a configured range, for good:
//! what was given is told with [`crate::Output::Alias`] and comes back at the next start with
//! [`crate::Input::Aliases`]. Numbers given under an earlier range stay what they are.

use std::collections::HashMap;

use crate::number::E164;

/// The numbers aliases are taken from, both ends included. They have the same count of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasRange {
    first: u64,
    last: u64,
}

impl AliasRange {
    /// From one number to another; `None` if they have not the same length, or the wrong order, or
    /// begin with 0.
    pub fn new(first: &E164, last: &E164) -> Option<AliasRange> {
        let same = first.digits().len() == last.digits().len();
        let (first, last) = (first.digits().parse().ok()?, last.digits().parse().ok()?);
        let whole = format!("{first}").len() == format!("{last}").len();
        (same && whole && first > 0 && first <= last).then_some(AliasRange { first, last })
    }

    fn has(&self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

/// A user and the number he is shown by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The carrier's word for the user.
    pub user: String,
    /// His number here.
    pub number: E164,
}

/// Every alias there is.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    range: Option<AliasRange>,
    by_user: HashMap<String, E164>,
    by_number: HashMap<E164, String>,
    /// Nothing below is free.
    next: u64,
}

impl Aliases {
    /// From now on numbers of this range are given; `None`: none are.
    pub(crate) fn give_from(&mut self, range: Option<AliasRange>) {
        if self.range != range {
            self.range = range;
            self.next = range.map_or(0, |range| range.first);
        }
    }

    /// Takes back what was given earlier.
    pub(crate) fn remember(&mut self, aliases: Vec<Alias>) {
        for Alias { user, number } in aliases {
            self.by_user.insert(user.clone(), number.clone());
            self.by_number.insert(number, user);
        }
    }

    /// Whether users without a number get one.
    pub(crate) fn are_given(&self) -> bool {
        self.range.is_some()
    }

    /// The number of a user, and whether it is new; `None` if none is left or given.
    pub(crate) fn of(&mut self, user: &str) -> Option<(E164, bool)> {
        let range = self.range?;
        if let Some(number) = self.by_user.get(user) {
            return Some((number.clone(), false));
        }
        while range.has(self.next) {
            let number = E164::parse(&format!("+{}", self.next))?;
            self.next += 1;
            if !self.by_number.contains_key(&number) {
                self.by_user.insert(user.to_owned(), number.clone());
                self.by_number.insert(number.clone(), user.to_owned());
                return Some((number, true));
            }
        }
        None
    }

    /// Whom a number means; `None`: it is no alias.
    pub(crate) fn user(&self, number: &E164) -> Option<&str> {
        self.by_number.get(number).map(String::as_str)
    }

    /// Whether a number is of the range, so that no telephone has it.
    pub(crate) fn owns(&self, number: &E164) -> bool {
        let digits = number.digits().parse();
        digits.is_ok_and(|digits| self.range.is_some_and(|range| range.has(digits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e164(text: &str) -> E164 {
        E164::parse(text).expect("a number")
    }

    fn range(first: &str, last: &str) -> Option<AliasRange> {
        AliasRange::new(&e164(first), &e164(last))
    }

    fn given(aliases: &mut Aliases, user: &str) -> Option<String> {
        aliases.of(user).map(|(number, _)| number.plus())
    }

    #[test]
    fn an_alias_is_for_good_and_leads_back() {
        let mut aliases = Aliases::default();
        assert_eq!(
            given(&mut aliases, "US.1"),
            None,
            "nothing is given without a range"
        );
        aliases.give_from(range("+99900000000", "+99900000002"));
        assert_eq!(aliases.of("US.1"), Some((e164("+99900000000"), true)));
        assert_eq!(aliases.of("DE.7"), Some((e164("+99900000001"), true)));
        assert_eq!(aliases.of("US.1"), Some((e164("+99900000000"), false)));
        assert_eq!(aliases.user(&e164("+99900000001")), Some("DE.7"));
        assert_eq!(aliases.user(&e164("+99900000002")), None);
        assert!(aliases.owns(&e164("+99900000002")) && !aliases.owns(&e164("+99900000003")));
        assert!(given(&mut aliases, "FR.3").is_some());
        assert_eq!(given(&mut aliases, "IT.4"), None, "the range is used up");
    }

    #[test]
    fn what_was_given_before_a_restart_is_not_given_again() {
        let mut aliases = Aliases::default();
        aliases.give_from(range("+99900000000", "+99900000009"));
        let number = e164("+99900000000");
        let old = [("US.1", number.clone()), ("DE.7", e164("+88800000000"))];
        aliases.remember(
            old.map(|(user, number)| Alias {
                user: user.into(),
                number,
            })
            .to_vec(),
        );
        assert_eq!(aliases.of("US.1"), Some((number, false)));
        assert_eq!(given(&mut aliases, "FR.3").as_deref(), Some("+99900000001"));
        // Given under an earlier range: still his, still called back.
        assert_eq!(given(&mut aliases, "DE.7").as_deref(), Some("+88800000000"));
        assert_eq!(aliases.user(&e164("+88800000000")), Some("DE.7"));
    }

    #[test]
    fn a_range_is_two_numbers_of_one_length_in_order() {
        assert!(range("+99900000000", "+99900000000").is_some());
        assert!(range("+99900000001", "+99900000000").is_none());
        assert!(range("+9990000000", "+99900000000").is_none());
        assert!(range("+00900000000", "+99900000000").is_none());
    }
}
