//! Telephone numbers, compared on their digits and never printed whole.

use std::fmt;

/// A number in E.164 form, kept as its digits without `+`.
///
/// `Debug` and `Display` redact it (`+1712…0259`); [`E164::digits`] and [`E164::plus`] do not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// Reads `+` and digits, `00` and digits, or digits alone; visual separators (RFC 3966 §5.1.1)
    /// are skipped. `None` unless 5 to 15 digits remain (ITU-T E.164 §6).
    pub fn parse(text: &str) -> Option<E164> {
        let body = text
            .strip_prefix('+')
            .or_else(|| text.strip_prefix("00"))
            .unwrap_or(text);
        let digits: String = body
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '))
            .collect();
        let valid = (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        valid.then_some(E164(digits))
    }

    /// The digits, without `+`.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The number with its `+`.
    pub fn plus(&self) -> String {
        format!("+{}", self.0)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", Redacted(&self.0))
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Prints the first and last four characters of a text that identifies a person, dots between.
pub struct Redacted<'a>(pub &'a str);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.chars().count();
        if count < 9 {
            return f.write_str("…");
        }
        self.0.chars().take(4).try_for_each(|c| write!(f, "{c}"))?;
        f.write_str("…")?;
        self.0
            .chars()
            .skip(count - 4)
            .try_for_each(|c| write!(f, "{c}"))
    }
}

/// Prints what a peer said, numbers in it redacted: `404 +4917…4567 is not here`. Digits in a row that could be a
/// telephone number are taken for one, whatever they are.
pub(crate) struct Said<'a>(pub(crate) &'a str);

/// The shortest row of digits that names somebody.
const NAMES_SOMEBODY: usize = 7;

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| !c.is_ascii_digit());
            let (digits, behind) = from.split_at(end.unwrap_or(from.len()));
            f.write_str(before)?;
            match digits.len() < NAMES_SOMEBODY {
                true => f.write_str(digits)?,
                false => write!(f, "{}", Redacted(digits))?,
            }
            rest = behind;
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_names_nobody() {
        for (said, printed) in [
            (
                "User +4917012345678 is not here",
                "User +4917…5678 is not here",
            ),
            ("12195550714", "1219…0714"),
            ("no route to 5550714", "no route to …"),
            (
                "wait 3600 s, Q.850;cause=16 é",
                "wait 3600 s, Q.850;cause=16 é",
            ),
            ("", ""),
        ] {
            assert_eq!(Said(said).to_string(), printed);
        }
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let plain = E164::parse("17125550259").unwrap();
        for text in [
            "+17125550259",
            "0017125550259",
            "+1 (712) 555-0259",
            "1.712.555.0259",
        ] {
            assert_eq!(E164::parse(text), Some(plain.clone()), "{text}");
        }
        assert_eq!(plain.plus(), "+17125550259");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "+",
            "1234",
            "US.13491208655302741918",
            "alice",
            "1234567890123456",
        ] {
            assert_eq!(E164::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_never_printed_whole() {
        let number = E164::parse("+17125550259").unwrap();
        assert_eq!(format!("{number} {number:?}"), "+1712…0259 +1712…0259");
    }
}
