//! Framing: a TCP or TLS stream cut into messages (RFC 3261 §18.3, RFC 5626 §4.4.1, Meta
//! reference 5.7).
//!
//! ```text
//!            ┌── CRLF CRLF ──► Ping      CRLF, after a ping of ours ──► Pong
//! push ─► buffer ── head complete ── Content-Length ── body complete ──► parse ─► Message
//!            │           │                 │                               └────► Malformed
//!            │           │                 └─ too large: skipped as it arrives ─► Malformed
//!            └───────────┴─ no SIP, endless head, no length for a body ─────────► Broken
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::ops::ControlFlow;

use bytes::{Buf, Bytes, BytesMut};

use crate::lines::{Lines, Next};
use crate::malformed::{Malformed, MalformedKind};
use crate::{Limits, Message, Name, parse, parse_within, scan};

/// What a stream held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// A double CRLF: answer with one CRLF (RFC 5626 §4.4.1).
    Ping,
    /// The single CRLF that answers a ping of ours.
    Pong,
    /// A message that cannot be used; the next one can still be found.
    Malformed(Malformed),
    /// Nobody knows where the next message begins: reply if there is a reply, then close.
    /// Nothing more comes.
    Broken(Malformed),
}

/// Cuts one stream. Its memory is bounded by [`Limits::message`] and what is pushed at once.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// How far the buffer was searched for the end of the head.
    searched: usize,
    /// How long the first message in the buffer is, once its head is read.
    expected: Option<usize>,
    /// How many bytes of a message too large are still to come.
    skip: usize,
    /// A ping of ours waits for its answer.
    pinged: bool,
    broken: bool,
    /// The message given last, as it stood in the stream.
    given: Bytes,
}

/// A body this many times larger than a message may be is not waited for.
const SKIP_AT_MOST: usize = 64;

impl Framer {
    /// A framer for a fresh stream.
    pub fn new(limits: Limits) -> Framer {
        Framer {
            limits,
            buffer: BytesMut::new(),
            searched: 0,
            expected: None,
            skip: 0,
            pinged: false,
            broken: false,
            given: Bytes::new(),
        }
    }

    /// A double CRLF of ours went out: the next single one between messages answers it.
    pub fn pinged(&mut self) {
        self.pinged = true;
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.buffer
            .extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }

    /// The next frame, or `None` until more bytes come.
    #[allow(clippy::should_implement_trait)] // it may have a next one again after None
    pub fn next(&mut self) -> Option<Frame> {
        self.given = Bytes::new();
        if self.broken {
            return None;
        }
        let total = match self.expected {
            Some(total) => total,
            None => match self.read_head() {
                ControlFlow::Continue(total) => total,
                ControlFlow::Break(frame) => return frame,
            },
        };
        self.expected = Some(total);
        if self.buffer.len() < total {
            return None;
        }
        // A copy of its own: a message kept for long does not keep the stream's buffer alive.
        let bytes = Bytes::copy_from_slice(self.buffer.get(..total).unwrap_or_default());
        self.buffer.advance(total);
        self.searched = 0;
        self.expected = None;
        Some(match parse_within(bytes.clone(), &self.limits) {
            Ok(message) => {
                self.given = bytes;
                Frame::Message(message)
            }
            Err(malformed) => Frame::Malformed(malformed),
        })
    }

    /// The bytes of the [`Frame::Message`] that [`Framer::next`] has just given, as they stood in the stream: what a message
    /// prints is the same message, but not always the same bytes.
    pub fn given(&self) -> &Bytes {
        &self.given
    }

    /// How many bytes wait for the rest of their message: for a timer against slow senders.
    pub fn pending(&self) -> usize {
        self.buffer.len() + self.skip
    }

    /// The length of the first message, or what is to be said instead.
    fn read_head(&mut self) -> ControlFlow<Option<Frame>, usize> {
        if let Some(frame) = self.skip_line_ends() {
            return ControlFlow::Break(Some(frame));
        }
        if matches!(self.buffer.first(), None | Some(b'\r' | b'\n')) {
            return ControlFlow::Break(None);
        }
        let Some(head) = self.head_len() else {
            return ControlFlow::Break(self.unfinished_head());
        };
        if head > self.limits.message {
            return ControlFlow::Break(Some(self.break_off(MalformedKind::TooLarge)));
        }
        // As in a head that comes piece by piece: too long to be a start line, whatever stands behind it.
        if first_line(&self.buffer).is_some_and(|line| line.len() > self.limits.line) {
            return ControlFlow::Break(Some(self.break_off(MalformedKind::LineTooLong)));
        }
        let length = match content_length(self.buffer.get(..head).unwrap_or_default()) {
            Ok(length) => length,
            Err(kind) => return ControlFlow::Break(Some(self.break_off(kind))),
        };
        match head.saturating_add(length) {
            total if total > self.limits.message => {
                ControlFlow::Break(Some(self.too_large(head, length)))
            }
            total => ControlFlow::Continue(total),
        }
    }

    /// Takes line ends between messages away; says whether a ping or a pong was among them.
    fn skip_line_ends(&mut self) -> Option<Frame> {
        while let Some(first) = self.buffer.first() {
            if self.pinged && self.buffer.starts_with(b"\r\n") {
                self.pinged = false;
                self.buffer.advance(2);
                return Some(Frame::Pong);
            }
            if self.buffer.starts_with(b"\r\n\r\n") {
                self.buffer.advance(4);
                return Some(Frame::Ping);
            }
            // A lone CRLF may be the first half of a ping.
            if b"\r\n\r\n".starts_with(&self.buffer) || !matches!(first, b'\r' | b'\n') {
                break;
            }
            self.buffer.advance(1);
        }
        None
    }

    /// Length of the head with its empty line, once it is complete.
    fn head_len(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        let window = self.buffer.get(from..)?;
        for lf in memchr::memchr_iter(b'\n', window) {
            let after = window.get(lf + 1..).unwrap_or_default();
            if after.starts_with(b"\n") {
                return Some(from + lf + 2);
            }
            if after.starts_with(b"\r\n") {
                return Some(from + lf + 3);
            }
        }
        self.searched = self.buffer.len();
        None
    }

    /// A head that is not complete: wait, unless it is no SIP or has no end.
    fn unfinished_head(&mut self) -> Option<Frame> {
        if self.buffer.len() > self.limits.message {
            return Some(self.break_off(MalformedKind::TooLarge));
        }
        let first = first_line(&self.buffer);
        if first.unwrap_or(&self.buffer).len() > self.limits.line {
            return Some(self.break_off(MalformedKind::LineTooLong));
        }
        let strange = first.is_some_and(|first| !is_sip(first));
        strange.then(|| self.break_off(MalformedKind::StartLine))
    }

    /// A message too large whose end is known: skip it, or break off when it would take too long.
    fn too_large(&mut self, head: usize, length: usize) -> Frame {
        if length > self.limits.message.saturating_mul(SKIP_AT_MOST) {
            return self.break_off(MalformedKind::TooLarge);
        }
        let bytes = Bytes::copy_from_slice(self.buffer.get(..head).unwrap_or_default());
        let here = self.buffer.len().min(head + length);
        self.buffer.advance(here);
        self.skip = head + length - here;
        self.searched = 0;
        Frame::Malformed(Malformed::new(MalformedKind::TooLarge, bytes))
    }

    fn break_off(&mut self, kind: MalformedKind) -> Frame {
        self.broken = true;
        let bytes = std::mem::take(&mut self.buffer).freeze();
        Frame::Broken(Malformed::new(kind, bytes))
    }
}

/// What stands before the first line feed.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..memchr::memchr(b'\n', bytes)?)
}

/// Whether a line could start a message, of whatever version.
fn is_sip(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let first = line.split(|b| *b == b' ').next().unwrap_or_default();
    let last = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    parse::is_version(first) || parse::is_version(last)
}

/// The length of the body after this head.
///
/// Without Content-Length there is no body, unless Content-Type says there is one: then its end
/// is unknown (Meta reference 5.7).
fn content_length(head: &[u8]) -> Result<usize, MalformedKind> {
    if !is_sip(first_line(head).unwrap_or_default()) {
        return Err(MalformedKind::StartLine);
    }
    let mut lines = Lines::of(head);
    lines.next();
    let mut found: Option<usize> = None;
    let mut typed = false;
    while let Next::Line(line) = lines.next() {
        let Some((name, value)) = line.split() else {
            continue;
        };
        match Name::find(name) {
            Some(Name::ContentLength) => {
                let length =
                    scan::number(value).ok_or(MalformedKind::Unreadable(Name::ContentLength))?;
                if found.is_some_and(|first| first != length) {
                    return Err(MalformedKind::Conflicting(Name::ContentLength));
                }
                found = Some(length);
            }
            Some(Name::ContentType) => typed = true,
            _ => {}
        }
    }
    match found {
        Some(length) => Ok(length),
        None if typed => Err(MalformedKind::Unframed),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n\
        From: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

    fn message(lines: &str, body: &str) -> String {
        format!("{HEAD}{lines}\r\n{body}")
    }

    /// Everything that comes out of a stream delivered in pieces of this size.
    fn frames(stream: &str, piece: usize) -> Vec<String> {
        let mut framer = Framer::new(Limits {
            message: 4096,
            line: 1024,
            headers: 50,
        });
        let mut found = Vec::new();
        for bytes in stream.as_bytes().chunks(piece) {
            framer.push(bytes);
            while let Some(frame) = framer.next() {
                found.push(match frame {
                    Frame::Message(m) => format!("message {}", m.body().len()),
                    Frame::Ping => "ping".into(),
                    Frame::Pong => "pong".into(),
                    Frame::Malformed(m) => format!("malformed {}", m.kind),
                    Frame::Broken(m) => {
                        format!("broken {} reply {}", m.kind, m.reply().is_some())
                    }
                });
            }
        }
        found
    }

    fn all_pieces(stream: &str, expected: &[&str]) {
        for piece in [1, 2, 3, 7, 64, stream.len().max(1)] {
            assert_eq!(frames(stream, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn messages_are_cut_wherever_the_pieces_fall() {
        let stream = message("Content-Length:   3\r\n", "abc")
            + "\r\n"
            + &message("l: 0\r\n", "")
            + "\r\n\r\n"
            + &message("Content-Length:\r\n 2\r\n", "\r\n");
        all_pieces(&stream, &["message 3", "message 0", "ping", "message 2"]);
    }

    #[test]
    fn a_ping_is_answered_and_a_pong_is_not() {
        all_pieces("\r\n\r\n\r\n\r\n\r\n", &["ping", "ping"]);
        all_pieces("\r\n", &[]);
    }

    #[test]
    fn a_single_crlf_after_a_ping_of_ours_is_its_answer_and_two_answers_are_no_ping() {
        let mut framer = Framer::new(Limits::default());
        for _ in 0..3 {
            framer.pinged();
            framer.push(b"\r");
            assert_eq!(framer.next(), None);
            framer.push(b"\n");
            assert_eq!(framer.next(), Some(Frame::Pong));
            assert_eq!(framer.next(), None);
        }
        framer.push(b"\r\n\r\n");
        assert_eq!(framer.next(), Some(Frame::Ping));
        // Both sides pinged at once.
        framer.pinged();
        framer.push(b"\r\n\r\n\r\n");
        assert_eq!(framer.next(), Some(Frame::Pong));
        assert_eq!(framer.next(), Some(Frame::Ping));
        assert_eq!(framer.next(), None);
    }

    #[test]
    fn bare_line_feeds_are_framed_too() {
        let stream = message("Content-Length: 1\r\n", "x").replace("\r\n", "\n");
        all_pieces(&(stream.clone() + &stream), &["message 1", "message 1"]);
    }

    #[test]
    fn a_message_without_length_or_type_has_no_body() {
        let stream = message("", "") + &message("Content-Length: 1\r\n", "x");
        all_pieces(&stream, &["message 0", "message 1"]);
    }

    #[test]
    fn a_body_without_length_ends_the_stream() {
        let stream = message("Content-Type: application/sdp\r\n", "v=0");
        all_pieces(&stream, &["broken Missing Content-Length reply true"]);
    }

    #[test]
    fn repeated_lengths_must_agree() {
        all_pieces(
            &message("Content-Length: 1\r\nl: 1\r\n", "x"),
            &["message 1"],
        );
        all_pieces(
            &message("Content-Length: 1\r\nl: 2\r\n", "xx"),
            &["broken Conflicting Content-Length reply true"],
        );
        all_pieces(
            &message("Content-Length: -1\r\n", ""),
            &["broken Unreadable Content-Length reply true"],
        );
    }

    #[test]
    fn a_malformed_message_does_not_cost_the_stream() {
        let bad = message("Content-Length: 2\r\n", "zz").replace("1 OPTIONS", "1 BYE");
        let version = message("Content-Length: 0\r\n", "").replace(" SIP/2.0\r\n", " SIP/9.0\r\n");
        let stream = bad + &version + &message("Content-Length: 0\r\n", "");
        all_pieces(
            &stream,
            &[
                "malformed CSeq method does not match",
                "malformed Version Not Supported",
                "message 0",
            ],
        );
    }

    #[test]
    fn a_message_too_large_is_skipped() {
        let stream = message("Content-Length: 9000\r\n", &"x".repeat(9000))
            + &message("Content-Length: 0\r\n", "");
        all_pieces(&stream, &["malformed Message Too Large", "message 0"]);
    }

    #[test]
    fn a_message_absurdly_large_ends_the_stream() {
        all_pieces(
            &message("Content-Length: 99999999999\r\n", ""),
            &["broken Message Too Large reply true"],
        );
        all_pieces(
            &message("Content-Length: 99999999999999999999999\r\n", ""),
            &["broken Unreadable Content-Length reply true"],
        );
    }

    #[test]
    fn what_is_not_sip_ends_the_stream() {
        all_pieces(
            "GET / HTTP/1.1\r\nHost: x\r\n",
            &["broken Unreadable start line reply false"],
        );
        all_pieces(
            &"x".repeat(1500),
            &["broken Header line too long reply false"],
        );
        let start = HEAD.replace("sip:a@b", &format!("sip:{}@b", "a".repeat(1200)));
        let whole = start + "Content-Length: 0\r\n\r\n";
        for piece in [1, 100, whole.len()] {
            let ends = frames(&whole, piece);
            assert_eq!(ends.len(), 1, "in pieces of {piece}");
            assert!(ends[0].starts_with("broken Header line too long"));
        }
        let endless = HEAD.to_owned() + &"X: y\r\n".repeat(700);
        let ends = frames(&endless, 64);
        assert_eq!(ends, ["broken Message Too Large reply true"]);
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut framer = Framer::new(Limits::default());
        framer.push(b"\x16\x03\x01 nonsense\n\n");
        assert!(matches!(framer.next(), Some(Frame::Broken(_))));
        framer.push(message("Content-Length: 0\r\n", "").as_bytes());
        assert_eq!(framer.next(), None);
        assert_eq!(framer.pending(), 0);
    }
}
