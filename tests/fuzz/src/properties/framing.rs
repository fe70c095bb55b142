//! A stream: wherever it is cut into pieces, the same frames come out of it, and memory stays bounded.

use sip::{Frame, Framer, Limits};

const LIMITS: Limits = Limits {
    message: 4096,
    line: 512,
    headers: 40,
};

/// The first byte says how large the pieces are, the second how their size changes; the rest is the stream.
pub(super) fn holds(bytes: &[u8]) {
    let [size, step, stream @ ..] = bytes else {
        return;
    };
    let whole = frames(stream, stream.len().max(1), 0);
    let pieces = frames(stream, usize::from(*size).max(1), usize::from(*step));
    assert_eq!(pieces, whole);
    assert_eq!(frames(stream, 1, 0), whole, "byte by byte");
}

fn frames(stream: &[u8], first: usize, step: usize) -> Vec<String> {
    let (mut framer, mut found) = (Framer::new(LIMITS), Vec::new());
    let (mut rest, mut size) = (stream, first);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        framer.push(piece);
        while let Some(frame) = framer.next() {
            found.push(match frame {
                Frame::Message(message) => format!("{:?}", message.to_bytes()),
                Frame::Ping => "ping".to_owned(),
                Frame::Malformed(malformed) => {
                    format!("malformed {:?} {:?}", malformed.kind, malformed.reply())
                }
                // How much of what cannot be read was there already is a matter of the pieces.
                Frame::Pong => "pong".to_owned(),
                Frame::Broken(_) => "broken".to_owned(),
            });
        }
        // More than a message is never waited for, unless its end is known and skipped.
        assert!(framer.pending() <= 65 * LIMITS.message + piece.len());
        rest = after;
        size = (size + step) % 700 + 1;
    }
    found
}
