//! How a PBX dials numbers, and how it wants to see them.
//!
//! ```text
//!  the PBX dials ──► rewritten ──► prefixes and country ──► E.164 ──► the carrier
//!  the PBX shows ◄── rewritten ◄── its form             ◄── E.164 ◄── the carrier
//! ```

use super::pattern::Pattern;
use crate::number::E164;

/// The most characters of a number as dialled or shown.
const LONGEST: usize = 64;

/// The numbers of one trunk: as it dials and as it shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPlan {
    /// The country code of numbers dialled without one; empty: there are none.
    pub country: String,
    /// What stands before a number of that country.
    pub national: String,
    /// What stands before a number of another country, besides `+`.
    pub international: String,
    /// The form in which it shows numbers.
    pub show: Show,
    /// What is done to a dialled number first; the first that fits counts.
    pub dialled: Vec<Rewriting>,
    /// What is done to a number shown at last; the first that fits counts.
    pub shown: Vec<Rewriting>,
}

impl Default for NumberPlan {
    /// Numbers with their country code, with `+`, `00` or neither.
    fn default() -> Self {
        Self {
            country: String::new(),
            national: String::new(),
            international: "00".into(),
            show: Show::Plus,
            dialled: Vec::new(),
            shown: Vec::new(),
        }
    }
}

/// The form of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// `+` and all digits.
    #[default]
    Plus,
    /// All digits.
    Digits,
    /// The prefix of other countries and all digits.
    International,
    /// As it is dialled inside the country; numbers of others as [`Show::International`].
    National,
}

/// A change of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewriting {
    /// A beginning is replaced by another, which may be empty.
    Prefix(String, String),
    /// What fits a pattern becomes this, with `${0}` to `${9}` for its groups.
    Fits(Pattern, Vec<Piece>),
}

/// A piece of what a number becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These characters.
    Digits(String),
    /// A group of the pattern.
    Group(usize),
}

impl Rewriting {
    /// A replacement by pattern; the error says what is wrong.
    pub fn fits(pattern: &str, becomes: &str) -> Result<Rewriting, String> {
        let pattern = Pattern::new(pattern)
            .map_err(|why| format!("`match` is no regular expression: {why}"))?;
        let mut pieces = Vec::new();
        let mut rest = becomes;
        while let Some((digits, behind)) = rest.split_once("${") {
            pieces.push(Piece::Digits(number_like(digits)?));
            let (group, behind) = behind
                .split_once('}')
                .ok_or_else(|| "a ${ is not closed".to_owned())?;
            let group = group
                .parse()
                .ok()
                .filter(|group| *group <= pattern.groups())
                .ok_or_else(|| format!("${{{group}}} is no group of `match`"))?;
            pieces.push(Piece::Group(group));
            rest = behind;
        }
        pieces.push(Piece::Digits(number_like(rest)?));
        Ok(Rewriting::Fits(pattern, pieces))
    }

    /// A replacement of the beginning; the error says what is wrong.
    pub fn prefix(prefix: &str, becomes: &str) -> Result<Rewriting, String> {
        Ok(Rewriting::Prefix(
            number_like(prefix)?,
            number_like(becomes)?,
        ))
    }

    fn of(&self, number: &str) -> Option<String> {
        match self {
            Rewriting::Prefix(prefix, becomes) => {
                let rest = number.strip_prefix(prefix.as_str())?;
                Some(format!("{becomes}{rest}"))
            }
            Rewriting::Fits(pattern, pieces) => {
                let found = pattern.captures(number)?;
                let piece = |piece: &Piece| match piece {
                    Piece::Digits(digits) => digits.clone(),
                    Piece::Group(group) => found
                        .get(*group)
                        .map_or_else(String::new, |part| part.as_str().to_owned()),
                };
                Some(pieces.iter().map(piece).collect())
            }
        }
    }
}

impl NumberPlan {
    /// What the PBX means by what it dials; `None`: no number.
    pub fn dialled(&self, text: &str) -> Option<E164> {
        if text.len() > LONGEST {
            return None;
        }
        let text = rewritten(&self.dialled, text);
        let bare: String = text
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '))
            .collect();
        if bare.starts_with('+') {
            return E164::parse(&bare);
        }
        let international = Some(self.international.as_str()).filter(|lead| !lead.is_empty());
        if let Some(rest) = international.and_then(|lead| bare.strip_prefix(lead)) {
            return E164::parse(&format!("+{rest}"));
        }
        if !self.country.is_empty()
            && let Some(rest) = bare.strip_prefix(&self.national)
        {
            return E164::parse(&format!("+{}{rest}", self.country));
        }
        E164::parse(&format!("+{bare}"))
    }

    /// How the PBX shows a number.
    pub fn shown(&self, number: &E164) -> String {
        let digits = number.digits();
        let international = || format!("{}{digits}", self.international);
        let form = match self.show {
            Show::Plus => number.plus(),
            Show::Digits => digits.to_owned(),
            Show::International => international(),
            Show::National => Some(&self.country)
                .filter(|country| !country.is_empty())
                .and_then(|country| digits.strip_prefix(country.as_str()))
                .map_or_else(international, |rest| format!("{}{rest}", self.national)),
        };
        rewritten(&self.shown, &form)
    }
}

fn rewritten(list: &[Rewriting], number: &str) -> String {
    let changed = list.iter().find_map(|rewriting| rewriting.of(number));
    changed.unwrap_or_else(|| number.to_owned())
}

/// What may stand in a number as dialled.
fn number_like(text: &str) -> Result<String, String> {
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"+*#.-".contains(*c))
    {
        None => Ok(text.to_owned()),
        Some(c) => Err(format!("`{c}` is no part of a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn german() -> NumberPlan {
        NumberPlan {
            country: "49".into(),
            national: "0".into(),
            show: Show::National,
            ..NumberPlan::default()
        }
    }

    #[test]
    fn what_is_dialled_becomes_e164() {
        let fits = |pattern, becomes| Rewriting::fits(pattern, becomes).expect("fine");
        let office = NumberPlan {
            dialled: vec![
                Rewriting::prefix("9", "").expect("fine"),
                fits("^(\\d{3})$", "+4930555${1}"),
            ],
            ..german()
        };
        let american = NumberPlan {
            international: "011".into(),
            dialled: vec![fits("^\\d{10}$", "+1${0}")],
            ..NumberPlan::default()
        };
        for (plan, dialled, means) in [
            (&NumberPlan::default(), "+12195550714", Some("+12195550714")),
            (
                &NumberPlan::default(),
                "0012195550714",
                Some("+12195550714"),
            ),
            (&NumberPlan::default(), "12195550714", Some("+12195550714")),
            (
                &NumberPlan::default(),
                "+1 (219) 555-0714",
                Some("+12195550714"),
            ),
            (&NumberPlan::default(), "alice", None),
            (&german(), "030 123456", Some("+4930123456")),
            (&german(), "0012195550714", Some("+12195550714")),
            (&german(), "+12195550714", Some("+12195550714")),
            (&german(), "4930123456", Some("+4930123456")),
            (&office, "9030123456", Some("+4930123456")),
            (&office, "900442079460000", Some("+442079460000")),
            (&office, "123", Some("+4930555123")),
            (&american, "2195550714", Some("+12195550714")),
            (&american, "011442079460000", Some("+442079460000")),
        ] {
            let is = plan.dialled(dialled).map(|number| number.plus());
            assert_eq!(is.as_deref(), means, "{dialled}");
        }
        assert_eq!(german().dialled(&"1".repeat(65)), None);
    }

    #[test]
    fn what_is_shown_can_be_dialled() {
        let number = |text| E164::parse(text).expect("a number");
        let plans = [
            NumberPlan::default(),
            NumberPlan {
                show: Show::Digits,
                ..NumberPlan::default()
            },
            NumberPlan {
                show: Show::International,
                ..german()
            },
            german(),
            NumberPlan {
                show: Show::Plus,
                shown: vec![Rewriting::fits("^\\+(.*)$", "9*${1}").expect("fine")],
                dialled: vec![Rewriting::prefix("9*", "+").expect("fine")],
                ..NumberPlan::default()
            },
        ];
        let shown: Vec<String> = plans
            .iter()
            .map(|plan| plan.shown(&number("+4930123456")))
            .collect();
        assert_eq!(
            shown,
            [
                "+4930123456",
                "4930123456",
                "004930123456",
                "030123456",
                "9*4930123456"
            ]
        );
        assert_eq!(german().shown(&number("+12195550714")), "0012195550714");
        for plan in &plans {
            for text in ["+4930123456", "+12195550714"] {
                let back = plan.dialled(&plan.shown(&number(text)));
                assert_eq!(back, Some(number(text)), "{plan:?}");
            }
        }
    }

    #[test]
    fn a_change_that_cannot_be_read_says_why() {
        for (pattern, becomes, why) in [
            ("^(\\d+)$", "${2}", "${2} is no group of `match`"),
            ("^(\\d+)$", "${1", "a ${ is not closed"),
            ("^(\\d+)$", "<${1}>", "`<` is no part of a number"),
            ("(", "1", "`match` is no regular expression: unclosed group"),
        ] {
            assert_eq!(Rewriting::fits(pattern, becomes).expect_err(why), why);
        }
    }
}
