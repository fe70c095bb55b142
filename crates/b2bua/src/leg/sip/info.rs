//! Digits in INFO requests, and what else may stand in one (RFC 6086).
//!
//! | body | says | answer |
//! |---|---|---|
//! | none | nothing, as a keep-alive | 200 |
//! | `application/dtmf-relay` | `Signal=5`, `Duration=160` (ms) | 200, or 400 if it is no digit |
//! | `application/dtmf` | `5` | 200, or 400 if it is no digit |
//! | of an Info-Package | we have declared none (RFC 6086 §4.2.2) | 469 |
//! | anything else | | 415 with Accept |
//!
//! Neither body was ever written down in an RFC; both are read as the equipment in the field
//! prints them. Digits stand as keys or as the numbers telephone events have: 10 is `*`, 11 `#`.

use std::time::Duration;

use sip::{Method, Name, Request, ServerKey, Text};

use super::{Phase, SipLeg};
use crate::context::Context;
use crate::leg::LegEvent;

/// The bodies we read.
const ACCEPT: &str = "application/dtmf-relay, application/dtmf";
/// How long a digit was pressed if nothing is said about it.
const USUAL: Duration = Duration::from_millis(100);
/// What is longer than this has no business in a body of this kind.
const LONGEST_BODY: usize = 256;

/// What an INFO says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Digit(char, Duration),
    /// The status it is refused with.
    Refused(u16),
}

impl SipLeg {
    /// An INFO of the peer.
    pub(super) fn informed(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        info: &Request,
    ) -> Option<LegEvent> {
        if !self.profile.extensions.info_digits {
            self.respond_in_dialog(cx, key, info, 405);
            return None;
        }
        match read(info) {
            Said::Nothing => {
                self.respond_in_dialog(cx, key, info, 200);
                None
            }
            Said::Refused(status) => {
                self.respond_in_dialog(cx, key, info, status);
                None
            }
            Said::Digit(digit, duration) => {
                self.respond_in_dialog(cx, key, info, 200);
                let over = matches!(self.phase, Phase::Releasing { .. } | Phase::Gone);
                (!over).then_some(LegEvent::Pressed { digit, duration })
            }
        }
    }
}

/// The headers a refused INFO's answer has besides.
pub(super) fn refusal_header(method: &Method, status: u16) -> Option<(Name, Text)> {
    match (method, status) {
        (Method::Info, 415) => Some((Name::Accept, Text::from(ACCEPT))),
        // RFC 6086 §5.2.3: an empty Recv-Info says that no package is wanted.
        (Method::Info, 469) => Some((Name::from("Recv-Info"), Text::from(""))),
        _ => None,
    }
}

fn read(info: &Request) -> Said {
    if info.headers.first(&Name::from("Info-Package")).is_some() {
        return Said::Refused(469);
    }
    let Some(kind) = info.headers.first(&Name::ContentType) else {
        // RFC 6086 §4.2.2: an INFO without a body says nothing, and is fine.
        return match info.body.is_empty() {
            true => Said::Nothing,
            false => Said::Refused(415),
        };
    };
    let kind = kind.as_str();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let body = match std::str::from_utf8(&info.body) {
        Ok(body) if body.len() <= LONGEST_BODY => body,
        _ => return Said::Refused(400),
    };
    let said = if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        relay(body)
    } else if kind.eq_ignore_ascii_case("application/dtmf") {
        digit(body).map(|digit| (digit, USUAL))
    } else {
        return Said::Refused(415);
    };
    said.map_or(Said::Refused(400), |(digit, duration)| {
        Said::Digit(digit, duration)
    })
}

/// `Signal=` and `Duration=` lines, in any order and case, blanks around the sign.
fn relay(body: &str) -> Option<(char, Duration)> {
    let value = |name: &str| {
        body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let pressed = digit(value("Signal")?)?;
    let duration = match value("Duration") {
        None | Some("") => USUAL,
        Some(text) => Duration::from_millis(u64::from(text.parse::<u32>().ok()?)),
    };
    Some((pressed, duration))
}

/// A key, or the number of its telephone event.
fn digit(text: &str) -> Option<char> {
    const KEYS: &[u8; 16] = b"0123456789*#ABCD";
    let text = text.trim();
    if let [key] = text.as_bytes() {
        let key = key.to_ascii_uppercase();
        return KEYS.contains(&key).then(|| char::from(key));
    }
    let event = (text.len() == 2).then(|| text.parse::<usize>().ok())??;
    KEYS.get(event)
        .filter(|_| event >= 10)
        .map(|key| char::from(*key))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip::Uri;

    use super::*;

    fn info(kind: &str, body: &str) -> Said {
        let mut request = Request::new(Method::Info, Uri::sip("a", "b"));
        if !kind.is_empty() {
            request.headers.push(Name::ContentType, kind);
        }
        request.body = Bytes::from(body.to_owned());
        read(&request)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn digits_are_read_as_the_field_prints_them() {
        let relay = "application/dtmf-relay";
        for (kind, body, digit, long) in [
            (relay, "Signal=5\r\nDuration=160\r\n", '5', 160),
            (relay, "Signal= 5\r\nDuration= 160", '5', 160),
            (relay, "duration=250\nsignal=d\n", 'D', 250),
            (relay, "Signal=10\r\nDuration=90\r\n", '*', 90),
            (relay, "Signal=#\r\n", '#', 100),
            ("Application/DTMF-Relay;charset=utf-8", "Signal=0", '0', 100),
            ("application/dtmf", "7", '7', 100),
            ("application/dtmf", "11\r\n", '#', 100),
        ] {
            assert_eq!(info(kind, body), Said::Digit(digit, ms(long)), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        let relay = "application/dtmf-relay";
        for (kind, body, status) in [
            (relay, "", 400),
            (relay, "Signal=!\r\nDuration=100", 400),
            (relay, "Signal=16", 400),
            (relay, "Signal=05", 400),
            (relay, "Signal=5\r\nDuration=soon", 400),
            (relay, "Signal=5\r\nDuration=-3", 400),
            (relay, "Signal=55555", 400),
            ("application/dtmf", "Signal=5", 400),
            (
                "application/media_control+xml",
                "<picture_fast_update/>",
                415,
            ),
            ("", "5", 415),
        ] {
            assert_eq!(info(kind, body), Said::Refused(status), "{kind} {body:?}");
        }
        let long = format!("Signal=5\r\n{}", "x".repeat(300));
        assert_eq!(info(relay, &long), Said::Refused(400));
    }

    #[test]
    fn an_info_that_says_nothing_is_fine_and_a_package_is_not() {
        assert_eq!(info("", ""), Said::Nothing);
        let mut request = Request::new(Method::Info, Uri::sip("a", "b"));
        request.headers.push("Info-Package", "trickle-ice");
        assert_eq!(read(&request), Said::Refused(469));
    }
}
