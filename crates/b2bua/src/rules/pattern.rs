//! Regular expressions, bounded: in their own length, in the size they compile to, and in the
//! length of what they read. They run in linear time, so no value can make one slow.

use std::fmt;

use regex::{Captures, Regex, RegexBuilder};

/// The most characters of a pattern.
const LONGEST: usize = 256;
/// The most bytes a compiled pattern may take.
const SIZE: usize = 1 << 20;
/// The most bytes of a text a pattern is tried on; a longer one does not fit.
const TEXT: usize = 2_048;

/// A compiled regular expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} characters"));
        }
        let built = RegexBuilder::new(text).size_limit(SIZE).build();
        built.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it repeats too much to be compiled".to_owned(),
            // The last line of the report says what is wrong; those above repeat the pattern.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim().trim_start_matches("error: ").to_owned()
            }
        })
    }

    /// How many groups a template may name: `${1}` to `${groups}`.
    pub fn groups(&self) -> usize {
        self.0.captures_len() - 1
    }

    /// What of `text` fits.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        (text.len() <= TEXT)
            .then(|| self.0.captures(text))
            .flatten()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_be_compiled_says_why() {
        for (text, why) in [
            ("(", "unclosed group"),
            ("((a{500}){500}){500}", "it repeats too much to be compiled"),
            (&"a".repeat(257), "it has more than 256 characters"),
        ] {
            assert_eq!(Pattern::new(text).expect_err(text), why);
        }
    }

    #[test]
    fn a_text_of_any_length_costs_linear_time_or_none() {
        let pattern = Pattern::new("^(a+)+$").expect("it compiles");
        assert!(pattern.captures(&"a".repeat(2_000)).is_some());
        assert!(pattern.captures(&"a".repeat(2_100)).is_none());
    }
}
