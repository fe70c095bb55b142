//! Session-Expires and Min-SE: session timers (RFC 4028 §4, §5).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use crate::scan::{self, Params};
use crate::{Headers, Name, Text};

/// Who refreshes the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// The value of a Session-Expires header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionExpires {
    /// Seconds until the session ends without a refresh.
    pub seconds: u32,
    /// Who refreshes, if it is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a value.
    pub fn read(value: &Text) -> Option<SessionExpires> {
        let (seconds, _) = scan::split_outside(value.as_bytes(), b';');
        let refresher = match Params::of(value.as_bytes()).find("refresher") {
            Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(SessionExpires {
            seconds: scan::number(seconds)?,
            refresher,
        })
    }

    /// The Session-Expires of a message.
    pub fn of(headers: &Headers) -> Option<SessionExpires> {
        SessionExpires::read(headers.first(&Name::SessionExpires)?)
    }

    /// The seconds of a Min-SE header.
    pub fn min_se(headers: &Headers) -> Option<u32> {
        let value = headers.first(&Name::MinSe)?;
        scan::number(scan::split_outside(value.as_bytes(), b';').0)
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_and_refresher_are_read() {
        let value = SessionExpires::read(&Text::from("600 ; Refresher=UAC")).unwrap();
        assert_eq!(
            value,
            SessionExpires {
                seconds: 600,
                refresher: Some(Refresher::Uac)
            }
        );
        assert_eq!(value.to_string(), "600;refresher=uac");
        assert_eq!(SessionExpires::read(&Text::from("soon")), None);
    }

    #[test]
    fn the_compact_form_and_min_se_are_found() {
        let mut headers = Headers::new();
        headers.push("x", "1800");
        headers.push("min-se", "90;lr");
        assert_eq!(SessionExpires::of(&headers).unwrap().seconds, 1800);
        assert_eq!(SessionExpires::min_se(&headers), Some(90));
    }
}
