//! Meta's id of a call (`wacid`), as the log shows it.
//!
//! The id is base64, and both telephone numbers are among what it hides. So above DEBUG the log shows a short one
//! in its place, which finds the same call with `wa-sbc ladder`, `calls` and `capture`:
//!
//! ```text
//!   outgoing:wacid.HBgLMTIxOTU1NTA3MTQVAgASGCA…  ─►  outgoing:wacid~kdmqrfbtchns
//!                  └── SHA-256, its first 48 bits ──────────────────┘
//! ```
//!
//! Nobody finds the numbers from it by trying: 128 bits of chance are in the id as well. It is written in letters
//! alone, so that nothing which shortens numbers touches it.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;
use sha2::{Digest, Sha256};
use whatsapp::facts::WACID_PREFIX;

/// How a short id begins.
const SHORT: &str = "wacid~";
/// Letters of it: four bits each.
const LETTERS: usize = 12;
/// Consonants, so that no words come out.
const ALPHABET: &[u8; 16] = b"bcdfghjklmnpqrst";

/// The text with a short id in place of each of Meta's.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut out = String::new();
    while let Some(id) = next(rest.as_bytes()) {
        out.push_str(&rest[..id.start]);
        out.push_str(&short(rest[id.clone()].as_bytes()));
        rest = &rest[id.end..];
    }
    match out.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(out + rest),
    }
}

/// The short id somebody asks for: alone, or in the Call-ID the log shows.
pub(crate) fn asked(query: &str) -> Option<&str> {
    let short = &query[query.find(SHORT)?..];
    let letters = short[SHORT.len()..].bytes();
    let is_one = letters.len() == LETTERS && letters.into_iter().all(|c| ALPHABET.contains(&c));
    is_one.then_some(short)
}

/// Whether an id with this short one stands in a text.
pub(crate) fn stands_in(asked: &str, mut text: &[u8]) -> bool {
    while let Some(id) = next(text) {
        if short(&text[id.clone()]) == asked {
            return true;
        }
        text = &text[id.end..];
    }
    false
}

/// Where the next id stands.
fn next(text: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(text, WACID_PREFIX.as_bytes())?;
    let mut end = start + WACID_PREFIX.len();
    while let Some((_, length)) = letter(&text[end..]) {
        end += length;
    }
    Some(start..end)
}

/// The first letter of base64, and how many bytes it takes: those that are no letters of the alphabet stand
/// escaped in the headers of a URI.
fn letter(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'%', b'2', b'b' | b'B', ..] => Some((b'+', 3)),
        [b'%', b'2', b'f' | b'F', ..] => Some((b'/', 3)),
        [b'%', b'3', b'd' | b'D', ..] => Some((b'=', 3)),
        [c, ..] if c.is_ascii_alphanumeric() || b"+/=-_".contains(c) => Some((*c, 1)),
        _ => None,
    }
}

fn short(id: &[u8]) -> String {
    let mut digest = Sha256::new();
    let mut rest = &id[WACID_PREFIX.len()..];
    while let Some((letter, length)) = letter(rest) {
        // Some leave out the padding.
        if letter != b'=' {
            digest.update([letter]);
        }
        rest = &rest[length..];
    }
    let nibbles = digest.finalize();
    let nibbles = nibbles.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let letters = nibbles.map(|nibble| char::from(ALPHABET[usize::from(nibble)]));
    SHORT.chars().chain(letters.take(LETTERS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "wacid.HBgLMTIxOTU1NTA3MTQVAgASGCBBQkNE+/8=";

    #[test]
    fn an_id_is_shortened_wherever_it_stands_and_however_it_is_escaped() {
        let short = shortened(ID).into_owned();
        assert_eq!(asked(&short), Some(&*short));
        let escaped = ID
            .replace('+', "%2B")
            .replace('/', "%2f")
            .replace('=', "%3D");
        for text in [
            format!("{{\"reference\":\"{ID}\",\"carrier_call_id\":\"outgoing:{ID}\"}}"),
            format!("call 7 ({ID}): ü; Replaces=outgoing%3A{escaped}%3Bto-tag%3D1"),
            ID.trim_end_matches('=').to_owned(),
        ] {
            let expected = text
                .replace(ID, &short)
                .replace(&escaped, &short)
                .replace(ID.trim_end_matches('='), &short);
            assert_eq!(shortened(&text), expected);
            assert!(stands_in(&short, text.as_bytes()), "{text}");
        }
        assert!(!stands_in(
            &short,
            ID.replace("ABQ", "ABR").replace("BQk", "BQl").as_bytes()
        ));
        for other in ["", "x-wa-meta-wacid: 1", "ü"] {
            assert_eq!(shortened(other), other);
        }
    }

    #[test]
    fn a_short_id_is_asked_for_alone_or_in_its_call_id() {
        let short = shortened(ID).into_owned();
        assert_eq!(asked(&format!("outgoing:{short}")), Some(&*short));
        for other in ["wacid~", "wacid~bcdfghjklmn", "wacid~bcdfghjklmn7", ID, ""] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
