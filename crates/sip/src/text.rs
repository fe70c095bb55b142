//! Text: a piece of a message as it came, cheap to clone.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A byte string taken from a message or made by us: usually UTF-8, never required to be
/// (RFC 3261 §7.3.1 allows any UTF-8 in `TEXT-UTF8`, and display names of strangers hold anything).
///
/// Cloning shares the buffer. Equality and hashing are by bytes, hence case-sensitive.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// The empty text.
    pub const EMPTY: Text = Text(Bytes::new());

    /// A text in static memory, without allocation.
    pub const fn fixed(text: &'static str) -> Text {
        Text(Bytes::from_static(text.as_bytes()))
    }

    /// The bytes as they stand in the message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text for people and for comparison with our own strings; bytes that are not UTF-8
    /// become U+FFFD.
    pub fn as_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The text if it is UTF-8.
    pub fn utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Equality with ASCII letters compared without case (RFC 3261 §7.3.1).
    pub fn eq_ignore_case(&self, other: impl AsRef<[u8]>) -> bool {
        self.0.eq_ignore_ascii_case(other.as_ref())
    }

    /// The shared buffer itself.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// A part of this text sharing its buffer. `part` must be a subslice of `self.as_bytes()`.
    pub(crate) fn part(&self, part: &[u8]) -> Text {
        if part.is_empty() {
            return Text::EMPTY;
        }
        Text(self.0.slice_ref(part))
    }

    /// A private copy that does not keep the received buffer alive.
    pub fn detached(&self) -> Text {
        Text(Bytes::copy_from_slice(&self.0))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(Bytes::from(text))
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Text {
        Text::from(text.as_str())
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Text {
        text.clone()
    }
}

impl From<Bytes> for Text {
    fn from(bytes: Bytes) -> Text {
        Text(bytes)
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_are_kept_and_shown_lossily() {
        let text = Text::from(Bytes::from_static(b"caf\xe9"));
        assert_eq!(text.as_bytes(), b"caf\xe9");
        assert_eq!(text.utf8(), None);
        assert_eq!(text.to_string(), "caf\u{fffd}");
    }

    #[test]
    fn comparison_without_case_is_a_separate_question() {
        let text = Text::from("tls");
        assert_ne!(text, "TLS");
        assert!(text.eq_ignore_case("TLS"));
    }
}
