//! Malformed messages: what is wrong, and what can still be answered (RFC 3261 §8.2, §16.3).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use bytes::Bytes;

use crate::lines::{self, Lines, Next};
use crate::message::reason_phrase;
use crate::{Name, parse, scan};

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedKind {
    /// More bytes than we read.
    TooLarge,
    /// One header line longer than we read.
    LineTooLong,
    /// More header lines than we read.
    TooManyHeaders,
    /// No empty line after the headers.
    Truncated,
    /// Neither a request line nor a status line.
    StartLine,
    /// Another version than SIP/2.0.
    Version,
    /// The Request-URI is none.
    RequestUri,
    /// A header line without a colon or a proper name, or with a stray CR or NUL.
    Header,
    /// A header every message must have is not there.
    Missing(Name),
    /// A header every message must have cannot be read.
    Unreadable(Name),
    /// A header that stands once stands twice, saying different things.
    Conflicting(Name),
    /// The method in CSeq is not the request's.
    CSeqMethod,
    /// Content-Length promises more than came.
    BodyTooShort,
    /// A body on a stream without a Content-Length: nobody knows where the next message begins.
    Unframed,
}

impl MalformedKind {
    /// The status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            MalformedKind::TooLarge => 513,
            MalformedKind::Version => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for MalformedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MalformedKind::TooLarge => f.write_str("Message Too Large"),
            MalformedKind::LineTooLong => f.write_str("Header line too long"),
            MalformedKind::TooManyHeaders => f.write_str("Too many headers"),
            MalformedKind::Truncated => f.write_str("Message is truncated"),
            MalformedKind::StartLine => f.write_str("Unreadable start line"),
            MalformedKind::Version => f.write_str("Version Not Supported"),
            MalformedKind::RequestUri => f.write_str("Unreadable Request-URI"),
            MalformedKind::Header => f.write_str("Unreadable header line"),
            MalformedKind::Missing(name) => write!(f, "Missing {name}"),
            MalformedKind::Unreadable(name) => write!(f, "Unreadable {name}"),
            MalformedKind::Conflicting(name) => write!(f, "Conflicting {name}"),
            MalformedKind::CSeqMethod => f.write_str("CSeq method does not match"),
            MalformedKind::BodyTooShort => f.write_str("Body shorter than Content-Length"),
            MalformedKind::Unframed => f.write_str("Missing Content-Length"),
        }
    }
}

/// A message that cannot be used.
#[derive(Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub kind: MalformedKind,
    bytes: Bytes,
}

impl Malformed {
    pub(crate) fn new(kind: MalformedKind, bytes: Bytes) -> Malformed {
        Malformed { kind, bytes }
    }

    /// What came; only the head of it when the message was too large to be read whole.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The 400, 505 or 513 that answers it, if it is a request (not ACK) whose Via, From, To,
    /// Call-ID and CSeq can be found; they are echoed as they came. The reason phrase says what
    /// is wrong.
    pub fn reply(&self) -> Option<Bytes> {
        // Only the head is looked at, and no more of it than a message may have.
        let limits = parse::Limits::default();
        let head = self.bytes.get(..self.bytes.len().min(limits.message))?;
        let mut lines = Lines::of(head);
        let Next::Line(start) = lines.next() else {
            return None;
        };
        if !is_request(start.raw) {
            return None;
        }
        let mut echo: [Vec<&[u8]>; 5] = Default::default();
        for _ in 0..limits.headers {
            let Next::Line(line) = lines.next() else {
                break;
            };
            let Some((name, value)) = line.split() else {
                continue;
            };
            let slot = match Name::find(name) {
                Some(Name::Via) => 0,
                Some(Name::From) => 1,
                Some(Name::To) => 2,
                Some(Name::CallId) => 3,
                Some(Name::CSeq) => 4,
                _ => continue,
            };
            if let Some(values) = echo.get_mut(slot).filter(|v| slot == 0 || v.is_empty()) {
                values.push(value);
            }
        }
        if echo.iter().any(Vec::is_empty) {
            return None;
        }
        let status = self.kind.status();
        let mut out = format!("SIP/2.0 {status} ").into_bytes();
        match status {
            400 => out.extend_from_slice(self.kind.to_string().as_bytes()),
            _ => out.extend_from_slice(reason_phrase(status).as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
        let names = ["Via", "From", "To", "Call-ID", "CSeq"];
        for (name, values) in names.iter().zip(&echo) {
            for value in values {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(&lines::unfolded(value)?);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Some(Bytes::from(out))
    }
}

/// `METHOD … SIP/x.y`, and not ACK, which is never answered.
fn is_request(line: &[u8]) -> bool {
    let first = line.split(|b| *b == b' ').next().unwrap_or_default();
    let last = line
        .trim_ascii_end()
        .rsplit(|b| *b == b' ')
        .next()
        .unwrap_or_default();
    scan::is_token(first) && first != b"ACK" && parse::is_version(last)
}

impl fmt::Debug for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Malformed")
            .field("kind", &self.kind)
            .field("len", &self.bytes.len())
            .finish()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed message: {}", self.kind)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use crate::{Message, parse};
    use bytes::Bytes;

    fn reply(text: &str) -> Option<String> {
        let malformed = parse(Bytes::from(text.to_owned())).unwrap_err();
        malformed.reply().map(|bytes| {
            assert!(matches!(parse(bytes.clone()), Ok(Message::Response(_))));
            String::from_utf8(bytes.to_vec()).unwrap()
        })
    }

    #[test]
    fn a_broken_request_is_answered_along_all_its_vias() {
        let answer = reply(
            "INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h1;branch=z9hG4bK1\r\nf: <sip:x@y>\r\n ;tag=1\r\n\
             Via: SIP/2.0/UDP h2\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            answer,
            "SIP/2.0 400 CSeq method does not match\r\nVia: SIP/2.0/UDP h1;branch=z9hG4bK1\r\n\
             Via: SIP/2.0/UDP h2\r\nFrom: <sip:x@y> ;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn another_version_is_answered_505_and_too_much_513() {
        let head = "Via: SIP/2.0/UDP h\r\nFrom: <sip:x@y>\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n";
        let version = reply(&format!("OPTIONS sip:a@b SIP/7.0\r\n{head}")).unwrap();
        assert!(
            version.starts_with("SIP/2.0 505 Version Not Supported\r\n"),
            "{version}"
        );
        let large = format!(
            "OPTIONS sip:a@b SIP/2.0\r\n{head}{}",
            "x".repeat(128 * 1024)
        );
        assert!(
            reply(&large)
                .unwrap()
                .starts_with("SIP/2.0 513 Message Too Large\r\n")
        );
    }

    #[test]
    fn broken_acks_and_responses_and_noise_are_not_answered() {
        let rest = "Via: SIP/2.0/UDP h\r\nFrom: <sip:x@y>\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n";
        assert_eq!(reply(&format!("ACK sip:a@b SIP/2.0\r\n{rest}")), None);
        assert_eq!(reply(&format!("SIP/2.0 999 X\r\n{rest}")), None);
        assert_eq!(reply(&format!("GET / HTTP/1.1\r\n{rest}")), None);
        assert_eq!(reply("INVITE sip:a@b SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n"), None);
        assert_eq!(reply("\u{0}\u{1}"), None);
    }
}
