//! Headers: an ordered list of lines, each kept as it came.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use bytes::{BufMut, Bytes};

use crate::scan::Values;
use crate::{Name, Text};

/// One header line: what it is called, what it says, and how it was written.
#[derive(Clone)]
struct Line {
    name: Name,
    value: Text,
    /// The received line without its end, printed again byte for byte; empty for our own lines.
    raw: Bytes,
}

/// The headers of a message in order (RFC 3261 §7.3).
///
/// Looking up ignores case and knows the compact forms; printing repeats every line we did not
/// touch exactly: spelling, padding and folding included. Lines of one name need not be
/// neighbours; their order among each other is what counts.
///
/// A value we set cannot break out of its line: CR and LF in it become blanks.
#[derive(Clone, Default)]
pub struct Headers {
    lines: Vec<Line>,
}

impl Headers {
    /// No headers.
    pub fn new() -> Headers {
        Headers::default()
    }

    pub(crate) fn with_capacity(lines: usize) -> Headers {
        Headers {
            lines: Vec::with_capacity(lines),
        }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line below the others.
    pub fn push(&mut self, name: impl Into<Name>, value: impl Into<Text>) {
        self.lines.push(Line::ours(name.into(), value.into()));
    }

    /// Adds a line above all others.
    pub fn insert_first(&mut self, name: impl Into<Name>, value: impl Into<Text>) {
        self.lines.insert(0, Line::ours(name.into(), value.into()));
    }

    /// Makes this the only line of its name: in the place of the first, or below all others.
    pub fn set(&mut self, name: impl Into<Name>, value: impl Into<Text>) {
        let line = Line::ours(name.into(), value.into());
        match self.lines.iter().position(|l| l.name == line.name) {
            Some(at) => {
                let mut index = 0;
                self.lines.retain(|l| {
                    index += 1;
                    index - 1 == at || l.name != line.name
                });
                if let Some(first) = self.lines.get_mut(at) {
                    *first = line;
                }
            }
            None => self.lines.push(line),
        }
    }

    /// Takes every line of this name away; says whether there was one.
    pub fn remove(&mut self, name: &Name) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line.name != *name);
        self.lines.len() != before
    }

    /// The value of the first line of this name.
    pub fn first(&self, name: &Name) -> Option<&Text> {
        self.lines
            .iter()
            .find(|line| line.name == *name)
            .map(|line| &line.value)
    }

    /// The values of all lines of this name, one per line.
    pub fn all<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Text> {
        self.lines
            .iter()
            .filter(move |line| line.name == *name)
            .map(|line| &line.value)
    }

    /// The values of all lines of this name, comma-joined ones taken apart (RFC 3261 §7.3.1):
    /// for Via, Route, Record-Route, Contact, Allow, Supported and their like.
    pub fn list<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = Text> + 'a {
        self.all(name)
            .flat_map(|value| Values::of(value.as_bytes()).map(|v| value.part(v)))
    }

    /// Whether a list header such as Supported or Allow names this token (compared without case).
    pub fn lists(&self, name: &Name, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| Values::of(value.as_bytes()))
            .any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Text)> {
        self.lines.iter().map(|line| (&line.name, &line.value))
    }

    /// Copies every line of this name from `other` to the end, byte for byte and in order
    /// (RFC 3261 §12.1.1 asks it for Record-Route, §8.2.6.2 for Via).
    pub fn copy(&mut self, name: &Name, other: &Headers) {
        self.lines.extend(
            other
                .lines
                .iter()
                .filter(|line| line.name == *name)
                .cloned(),
        );
    }

    /// Replaces the first comma-separated value of the first line of this name.
    pub(crate) fn replace_first_value(&mut self, name: &Name, value: Text) {
        let Some(line) = self.lines.iter_mut().find(|line| line.name == *name) else {
            return;
        };
        let (_, rest) = crate::scan::split_outside(line.value.as_bytes(), b',');
        let value = match rest {
            None => value,
            Some(rest) => {
                let mut joined = value.as_bytes().to_vec();
                joined.push(b',');
                joined.extend_from_slice(rest);
                Text::from(Bytes::from(joined))
            }
        };
        *line = Line::ours(line.name.clone(), value);
    }

    /// Adds a received line; `raw` is the whole line without its end.
    pub(crate) fn push_received(&mut self, name: Name, value: Text, raw: Bytes) {
        self.lines.push(Line { name, value, raw });
    }

    pub(crate) fn print(&self, out: &mut Vec<u8>) {
        for line in &self.lines {
            if line.raw.is_empty() {
                out.put_slice(line.name.as_bytes());
                out.put_slice(b": ");
                out.put_slice(line.value.as_bytes());
            } else {
                out.put_slice(&line.raw);
            }
            out.put_slice(b"\r\n");
        }
    }

    pub(crate) fn printed_len(&self) -> usize {
        self.lines
            .iter()
            .map(|line| match line.raw.len() {
                0 => line.name.as_bytes().len() + line.value.len() + 4,
                raw => raw + 2,
            })
            .sum()
    }
}

impl Line {
    fn ours(name: Name, value: Text) -> Line {
        let breaks = |b: &u8| matches!(b, b'\r' | b'\n');
        let value = if value.as_bytes().iter().any(breaks) {
            let flat: Vec<u8> = value
                .as_bytes()
                .iter()
                .map(|b| if breaks(b) { b' ' } else { *b })
                .collect();
            Text::from(Bytes::from(flat))
        } else {
            value
        };
        Line {
            name,
            value,
            raw: Bytes::new(),
        }
    }
}

/// Equality of names and values in order; how the lines were written does not matter.
impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let secret = matches!(name, Name::Authorization | Name::ProxyAuthorization);
                (
                    name.as_str(),
                    if secret {
                        Text::fixed("(credentials)")
                    } else {
                        value.clone()
                    },
                )
            }))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        headers.push(Name::Via, "a, b");
        headers.push("X-One", "1");
        headers.push(Name::Via, "c");
        headers
    }

    fn printed(headers: &Headers) -> String {
        let mut out = Vec::new();
        headers.print(&mut out);
        assert_eq!(out.len(), headers.printed_len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_one_name_keep_their_order_across_others() {
        let headers = sample();
        let list: Vec<_> = headers.list(&Name::Via).map(|v| v.to_string()).collect();
        assert_eq!(list, ["a", "b", "c"]);
        assert_eq!(headers.first(&Name::from("x-one")).unwrap(), "1");
    }

    #[test]
    fn set_replaces_all_lines_in_the_place_of_the_first() {
        let mut headers = sample();
        headers.set(Name::Via, "z");
        assert_eq!(printed(&headers), "Via: z\r\nX-One: 1\r\n");
        headers.set(Name::To, "t");
        assert_eq!(printed(&headers), "Via: z\r\nX-One: 1\r\nTo: t\r\n");
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_header() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "x\r\nEvil: yes");
        assert_eq!(printed(&headers), "Subject: x  Evil: yes\r\n");
    }

    #[test]
    fn only_the_top_value_of_a_joined_line_is_replaced() {
        let mut headers = sample();
        headers.replace_first_value(&Name::Via, Text::from("A"));
        assert_eq!(printed(&headers), "Via: A, b\r\nX-One: 1\r\nVia: c\r\n");
    }

    #[test]
    fn credentials_are_not_shown_in_debug_output() {
        let mut headers = Headers::new();
        headers.push(Name::ProxyAuthorization, "Digest response=\"0123\"");
        assert!(!format!("{headers:?}").contains("0123"));
    }
}
