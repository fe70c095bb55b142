//! Reason: why a request was sent (RFC 3326).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use bytes::Bytes;

use crate::scan::{self, Params};
use crate::{Headers, Name, Text};

/// One Reason value: `Q.850;cause=16;text="NORMAL_CLEARING"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The protocol the cause belongs to: `SIP`, `Q.850`.
    pub protocol: Text,
    /// The cause in that protocol.
    pub cause: Option<u16>,
    /// The text for people.
    pub text: Option<Text>,
}

impl Reason {
    /// A SIP status as the reason.
    pub fn sip(status: u16, text: &str) -> Reason {
        Reason {
            protocol: Text::fixed("SIP"),
            cause: Some(status),
            text: (!text.is_empty()).then(|| Text::from(text)),
        }
    }

    /// A Q.850 cause as the reason (1 to 127).
    pub fn q850(cause: u8, text: &str) -> Reason {
        Reason {
            protocol: Text::fixed("Q.850"),
            cause: Some(cause.into()),
            text: (!text.is_empty()).then(|| Text::from(text)),
        }
    }

    /// Reads one value.
    pub fn read(value: &Text) -> Option<Reason> {
        let bytes = scan::trim(value.as_bytes());
        let end = scan::position_outside(bytes, b';').unwrap_or(bytes.len());
        let (protocol, params) = bytes.split_at(end);
        let protocol = scan::trim(protocol);
        if !scan::is_token(protocol) {
            return None;
        }
        Some(Reason {
            protocol: value.part(protocol),
            cause: Params::of(params).find("cause").and_then(scan::number),
            text: Params::of(params)
                .find("text")
                .map(|text| Text::from(Bytes::from(scan::unescaped(text)))),
        })
    }

    /// Every Reason of a message, unreadable ones left out.
    pub fn all(headers: &Headers) -> Vec<Reason> {
        headers
            .list(&Name::Reason)
            .filter_map(|value| Reason::read(&value))
            .collect()
    }

    /// The cause of this protocol (compared without case), if the message gives one.
    pub fn cause_of(headers: &Headers, protocol: &str) -> Option<u16> {
        Reason::all(headers)
            .into_iter()
            .find(|reason| reason.protocol.eq_ignore_case(protocol))
            .and_then(|reason| reason.cause)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ";text=\"{}\"", super::warning::escaped(&text.as_str()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_reasons_in_one_header_are_told_apart() {
        let mut headers = Headers::new();
        headers.push(
            Name::Reason,
            r#"SIP ;cause=200 ;text="Call completed; elsewhere, thanks", Q.850;cause=16"#,
        );
        assert_eq!(Reason::cause_of(&headers, "q.850"), Some(16));
        let all = Reason::all(&headers);
        assert_eq!(all[0].cause, Some(200));
        assert_eq!(
            all[0].text.as_ref().unwrap(),
            &"Call completed; elsewhere, thanks"
        );
    }

    #[test]
    fn what_we_print_reads_back() {
        let reason = Reason::q850(16, r#"say "bye""#);
        assert_eq!(reason.to_string(), r#"Q.850;cause=16;text="say \"bye\"""#);
        assert_eq!(Reason::read(&Text::from(reason.to_string())), Some(reason));
    }
}
