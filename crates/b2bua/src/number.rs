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

#[cfg(test)]
mod tests {
    use super::*;

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
