//! Warning: more about a failure than the status says (RFC 3261 §20.43).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use bytes::Bytes;

use crate::{Headers, Name, Text, scan};

/// One Warning value: `399 host "text"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The three-digit code; 399 is "miscellaneous".
    pub code: u16,
    /// Who warns: a host or a pseudonym.
    pub agent: Text,
    /// The text for people.
    pub text: Text,
}

impl Warning {
    /// A warning of ours.
    pub fn new(code: u16, agent: &str, text: &str) -> Warning {
        Warning {
            code,
            agent: Text::from(agent),
            text: Text::from(text),
        }
    }

    /// Reads one value.
    pub fn read(value: &Text) -> Option<Warning> {
        let bytes = scan::trim(value.as_bytes());
        let (code, rest) = split_blank(bytes)?;
        let (agent, text) = split_blank(rest)?;
        let text = match text {
            [b'"', inner @ .., b'"'] => inner,
            _ => return None,
        };
        let code = scan::number(code).filter(|code| (100..1000).contains(code))?;
        Some(Warning {
            code,
            agent: value.part(agent),
            text: Text::from(Bytes::from(scan::unescaped(text))),
        })
    }

    /// The first readable Warning of a message.
    pub fn first(headers: &Headers) -> Option<Warning> {
        headers
            .list(&Name::Warning)
            .find_map(|value| Warning::read(&value))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:03} {} \"{}\"",
            self.code,
            self.agent,
            escaped(&self.text.as_str())
        )
    }
}

/// The inside of a quoted string: quotes and backslashes escaped, line ends made blanks.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn split_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(u8::is_ascii_whitespace)?;
    let (before, after) = bytes.split_at(at);
    Some((before, scan::trim(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documented_warning_is_read_and_printed_back() {
        let text =
            r#"399 wa.example "SIP server sip.example.com from INVITE does not match, sorry""#;
        let warning = Warning::read(&Text::from(text)).unwrap();
        assert_eq!(
            (warning.code, warning.agent.to_string()),
            (399, "wa.example".into())
        );
        assert_eq!(warning.to_string(), text);
    }

    #[test]
    fn values_that_are_no_warning_are_left_out() {
        let mut headers = Headers::new();
        headers.push(Name::Warning, r#"nonsense, 399 h "yes""#);
        assert_eq!(Warning::first(&headers).unwrap().text, "yes");
        for bad in [
            "",
            "399",
            "399 h",
            "399 h text",
            "99 h \"x\"",
            "abc h \"x\"",
        ] {
            assert_eq!(Warning::read(&Text::from(bad)), None, "{bad}");
        }
    }
}
