//! Parsing: bytes to [`Message`], total and bounded (RFC 3261 §7, Meta reference 5.7).
//!
//! ```text
//! bytes ─► size ─► start line ─► headers ─► what every message must have ─► body ─► Message
//!            └────────┴────────────┴───────────────┴──────────────────────────┴──► Malformed
//! ```
//!
//! Accepted though unusual: LF-only lines, folded lines, compact names, blanks before the colon,
//! repeated identical single headers, any bytes in display names and unknown headers.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use bytes::Bytes;

use crate::header::{CSeq, NameAddr, Via};
use crate::lines::{self, Lines, Next};
use crate::malformed::{Malformed, MalformedKind};
use crate::scan::Values;
use crate::{Headers, Message, Method, Name, Request, Response, Text, Uri, scan};

/// How much of a stranger's message is read (Meta reference 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message: 128 KiB.
    pub message: usize,
    /// Bytes of one header line with its folds: 16 KiB.
    pub line: usize,
    /// Header lines: 200.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 128 * 1024,
            line: 16 * 1024,
            headers: 200,
        }
    }
}

/// Reads a datagram, or one framed message of a stream, within the default [`Limits`].
///
/// The body is as long as Content-Length says, or the rest when there is none; bytes behind it
/// are ignored (RFC 3261 §18.3).
pub fn parse(bytes: Bytes) -> Result<Message, Malformed> {
    parse_within(bytes, &Limits::default())
}

/// [`parse`] within other limits.
pub fn parse_within(bytes: Bytes, limits: &Limits) -> Result<Message, Malformed> {
    read(&bytes, limits).map_err(|kind| Malformed::new(kind, bytes))
}

fn read(bytes: &Bytes, limits: &Limits) -> Result<Message, MalformedKind> {
    if bytes.len() > limits.message {
        return Err(MalformedKind::TooLarge);
    }
    let whole = Text::from(bytes.clone());
    let mut lines = Lines::of(bytes);
    let start = match lines.next() {
        Next::Line(line) if line.raw.len() > limits.line => {
            return Err(MalformedKind::LineTooLong);
        }
        Next::Line(line) if !line.folded => start_line(&whole, line.raw)?,
        Next::Line(_) => return Err(MalformedKind::StartLine),
        Next::Body(_) | Next::Short => return Err(MalformedKind::Truncated),
    };
    let mut headers = Headers::with_capacity(24);
    let rest = loop {
        let line = match lines.next() {
            Next::Line(line) => line,
            Next::Body(rest) => break rest,
            Next::Short => return Err(MalformedKind::Truncated),
        };
        if headers.len() == limits.headers {
            return Err(MalformedKind::TooManyHeaders);
        }
        if line.raw.len() > limits.line {
            return Err(MalformedKind::LineTooLong);
        }
        let (name, value) = line.split().ok_or(MalformedKind::Header)?;
        let name = Name::find(name).unwrap_or_else(|| Name::Other(whole.part(name)));
        let (value, raw) = if line.folded {
            let joined = lines::unfolded(value).ok_or(MalformedKind::Header)?;
            let verbatim = lines::folds_are_crlf(line.raw);
            let raw = if verbatim {
                bytes.slice_ref(line.raw)
            } else {
                Bytes::new()
            };
            (Text::from(Bytes::from(joined)), raw)
        } else {
            (whole.part(value), bytes.slice_ref(line.raw))
        };
        headers.push_received(name, value, raw);
    };
    let cseq = check(&headers)?;
    let body = body(bytes, rest, &headers)?;
    match start {
        Start::Request(method, uri) => {
            if cseq.method != method {
                return Err(MalformedKind::CSeqMethod);
            }
            Ok(Message::Request(Request {
                method,
                uri,
                headers,
                body,
            }))
        }
        Start::Response(status, reason) => Ok(Message::Response(Response {
            status,
            reason,
            headers,
            body,
        })),
    }
}

enum Start {
    Request(Method, Uri),
    Response(u16, Text),
}

/// Request-Line or Status-Line (RFC 3261 §7.1, §7.2).
fn start_line(whole: &Text, line: &[u8]) -> Result<Start, MalformedKind> {
    if memchr::memchr2(b'\r', 0, line).is_some() {
        return Err(MalformedKind::StartLine);
    }
    let mut words = line.splitn(3, |b| *b == b' ');
    let (first, second) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let third = words.next();
    if is_version(first) {
        if !first.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(MalformedKind::Version);
        }
        let status: u16 = match second.len() {
            3 => scan::number(second).ok_or(MalformedKind::StartLine)?,
            _ => return Err(MalformedKind::StartLine),
        };
        if !(100..700).contains(&status) {
            return Err(MalformedKind::StartLine);
        }
        return Ok(Start::Response(
            status,
            whole.part(third.unwrap_or_default()),
        ));
    }
    let version = third.ok_or(MalformedKind::StartLine)?;
    if !is_version(version) || !scan::is_token(first) {
        return Err(MalformedKind::StartLine);
    }
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(MalformedKind::Version);
    }
    let uri = Uri::read(whole, second).ok_or(MalformedKind::RequestUri)?;
    Ok(Start::Request(Method::read(whole.part(first)), uri))
}

/// `SIP/` digits `.` digits.
pub(crate) fn is_version(word: &[u8]) -> bool {
    let Some((name, version)) = word.split_at_checked(4) else {
        return false;
    };
    let mut parts = version.splitn(2, |b| *b == b'.');
    let all_digits =
        |p: Option<&[u8]>| p.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
    name.eq_ignore_ascii_case(b"SIP/") && all_digits(parts.next()) && all_digits(parts.next())
}

/// What every message must have (RFC 3261 §8.1.1), readable, and once where once is meant.
fn check(headers: &Headers) -> Result<CSeq, MalformedKind> {
    let mut once = Once::default();
    for (name, value) in headers.iter() {
        once.see(name, value)?;
    }
    let via = headers
        .first(&Name::Via)
        .ok_or(MalformedKind::Missing(Name::Via))?;
    if !Values::of(via.as_bytes())
        .next()
        .is_some_and(Via::is_readable)
    {
        return Err(MalformedKind::Unreadable(Name::Via));
    }
    for (name, value) in [(Name::From, once.from), (Name::To, once.to)] {
        let value = value.ok_or_else(|| MalformedKind::Missing(name.clone()))?;
        if !NameAddr::is_readable(value.as_bytes()) {
            return Err(MalformedKind::Unreadable(name));
        }
    }
    let call_id = once.call_id.ok_or(MalformedKind::Missing(Name::CallId))?;
    if call_id.is_empty() {
        return Err(MalformedKind::Unreadable(Name::CallId));
    }
    let cseq = once.cseq.ok_or(MalformedKind::Missing(Name::CSeq))?;
    CSeq::read(cseq).ok_or(MalformedKind::Unreadable(Name::CSeq))
}

/// The headers that stand once; identical repeats are let pass, different ones are not.
#[derive(Default)]
struct Once<'a> {
    from: Option<&'a Text>,
    to: Option<&'a Text>,
    call_id: Option<&'a Text>,
    cseq: Option<&'a Text>,
    max_forwards: Option<&'a Text>,
    content_type: Option<&'a Text>,
    content_length: Option<&'a Text>,
}

impl<'a> Once<'a> {
    fn see(&mut self, name: &Name, value: &'a Text) -> Result<(), MalformedKind> {
        let seen = match name {
            Name::From => &mut self.from,
            Name::To => &mut self.to,
            Name::CallId => &mut self.call_id,
            Name::CSeq => &mut self.cseq,
            Name::MaxForwards => &mut self.max_forwards,
            Name::ContentType => &mut self.content_type,
            Name::ContentLength => &mut self.content_length,
            _ => return Ok(()),
        };
        match seen {
            Some(first) if *first != value => Err(MalformedKind::Conflicting(name.clone())),
            _ => {
                *seen = Some(value);
                Ok(())
            }
        }
    }
}

fn body(bytes: &Bytes, rest: &[u8], headers: &Headers) -> Result<Bytes, MalformedKind> {
    let length = match headers.first(&Name::ContentLength) {
        None => rest.len(),
        Some(value) => scan::number::<usize>(value.as_bytes())
            .ok_or(MalformedKind::Unreadable(Name::ContentLength))?,
    };
    let body = rest.get(..length).ok_or(MalformedKind::BodyTooShort)?;
    Ok(if body.is_empty() {
        Bytes::new()
    } else {
        bytes.slice_ref(body)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
        From: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

    fn kind(text: impl Into<Vec<u8>>) -> MalformedKind {
        parse(Bytes::from(text.into())).unwrap_err().kind
    }

    fn with(line: &str) -> String {
        format!("{HEAD}{line}\r\n\r\n")
    }

    fn ok(text: impl Into<Vec<u8>>) -> Message {
        parse(Bytes::from(text.into())).unwrap()
    }

    #[test]
    fn a_message_prints_back_as_it_came() {
        let text = with("content-length :   3\r\nX-A: a\r\n  b\r\ns:\t y ") + "abc";
        let message = ok(text.clone());
        assert_eq!(message.to_bytes(), text.as_bytes());
        assert_eq!(message.headers().first(&Name::from("x-a")).unwrap(), "a b");
        assert_eq!(message.headers().first(&Name::Subject).unwrap(), "y");
        assert_eq!(message.body().as_ref(), b"abc");
    }

    #[test]
    fn a_message_with_bare_line_feeds_prints_with_crlf() {
        let text = with("X-A: a\n b").replace("\r\n", "\n");
        assert_eq!(ok(text).to_bytes(), with("X-A: a b").as_bytes());
    }

    #[test]
    fn bytes_behind_the_body_of_a_datagram_are_ignored() {
        assert_eq!(ok(with("Content-Length: 1") + "abc").body().as_ref(), b"a");
        assert_eq!(ok(with("X-A: y") + "abc").body().as_ref(), b"abc");
    }

    #[test]
    fn repeated_identical_headers_pass_and_conflicting_ones_do_not() {
        ok(with("Content-Length: 0\r\nl:   0"));
        ok(with("Call-ID: c\r\nMax-Forwards: 1"));
        assert_eq!(
            kind(with("Content-Length: 0\r\nContent-Length: 1") + "x"),
            MalformedKind::Conflicting(Name::ContentLength)
        );
        assert_eq!(
            kind(with("f: <sip:z@y>;tag=1")),
            MalformedKind::Conflicting(Name::From)
        );
    }

    #[test]
    fn what_every_message_must_have_is_asked_for() {
        for (line, name) in [
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", Name::Via),
            ("From: <sip:x@y>;tag=1\r\n", Name::From),
            ("To: <sip:a@b>\r\n", Name::To),
            ("Call-ID: c\r\n", Name::CallId),
            ("CSeq: 1 OPTIONS\r\n", Name::CSeq),
        ] {
            assert_eq!(
                kind(with("X-A: y").replace(line, "")),
                MalformedKind::Missing(name)
            );
        }
        assert_eq!(
            kind(with("X-A: y").replace("CSeq: 1", "CSeq: x")),
            MalformedKind::Unreadable(Name::CSeq)
        );
        assert_eq!(
            kind(with("X-A: y").replace("1 OPTIONS", "1 INVITE")),
            MalformedKind::CSeqMethod
        );
    }

    #[test]
    fn start_lines_outside_the_grammar_are_refused() {
        for bad in [
            "OPTIONS  sip:a@b SIP/2.0",
            "OPTIONS sip:a@b  SIP/2.0",
            "OPTIONS sip:a@b SIP/2.0 ",
            "OPTIONS sip:a@b",
            "OPTIONS",
            "OPT IONS sip:a@b SIP/2.0",
            "SIP/2.0 99 X",
            "SIP/2.0 0200 X",
            "SIP/2.0 700 X",
            "SIP/2.0 2xx X",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(
                kind(HEAD.replace("OPTIONS sip:a@b SIP/2.0", bad) + "\r\n"),
                MalformedKind::StartLine,
                "{bad}"
            );
        }
        assert_eq!(
            kind(HEAD.replace("SIP/2.0\r", "SIP/7.0\r") + "\r\n"),
            MalformedKind::Version
        );
        assert_eq!(
            kind(HEAD.replace("sip:a@b S", "<sip:a@b> S") + "\r\n"),
            MalformedKind::RequestUri
        );
    }

    #[test]
    fn limits_hold() {
        assert_eq!(kind(vec![b'x'; 128 * 1024 + 1]), MalformedKind::TooLarge);
        assert_eq!(
            kind(with(&format!("X-A: {}", "y".repeat(16 * 1024)))),
            MalformedKind::LineTooLong
        );
        assert_eq!(
            kind(with(&"X-A: y\r\n".repeat(200))),
            MalformedKind::TooManyHeaders
        );
        ok(with("X-A: y\r\n".repeat(195).trim_end()));
    }

    #[test]
    fn truncated_messages_are_told_from_broken_ones() {
        assert_eq!(kind(""), MalformedKind::Truncated);
        assert_eq!(kind("\r\n\r\n"), MalformedKind::Truncated);
        assert_eq!(kind(HEAD), MalformedKind::Truncated);
        assert_eq!(
            kind(with("Content-Length: 4") + "abc"),
            MalformedKind::BodyTooShort
        );
        assert_eq!(
            kind(with("Content-Length: -1")),
            MalformedKind::Unreadable(Name::ContentLength)
        );
        assert_eq!(kind(with("no colon")), MalformedKind::Header);
        assert_eq!(kind(with("bad name: x")), MalformedKind::Header);
        assert_eq!(kind(with("X-A: a\rb")), MalformedKind::Header);
    }

    #[test]
    fn a_reason_phrase_may_be_empty_or_any_bytes() {
        let text = with("X-A: y").replace("OPTIONS sip:a@b SIP/2.0", "SIP/2.0 200 ");
        assert_eq!(ok(text.clone()).to_bytes(), text.as_bytes());
        let Message::Response(response) = ok(text.replace("200 ", "200")) else {
            panic!()
        };
        assert!(response.reason.is_empty());
    }
}
