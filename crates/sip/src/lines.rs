//! Lines: the head of a message taken apart, folded lines joined (RFC 3261 §7.3.1).
//!
//! Lines end with CRLF or with LF alone; a line that begins with a blank continues the one above.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use memchr::{memchr, memchr2};

/// One logical line of a message head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The line without its end; line ends of folds inside.
    pub(crate) raw: &'a [u8],
    /// Whether it was folded.
    pub(crate) folded: bool,
}

/// Walks the lines of a head; stops after the empty line.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
}

/// What comes next in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A line.
    Line(Line<'a>),
    /// The empty line that ends the head; what follows is the body.
    Body(&'a [u8]),
    /// The bytes end before the head does.
    Short,
}

impl<'a> Lines<'a> {
    /// Starts at the start line; empty lines before it are skipped (RFC 3261 §7.5).
    pub(crate) fn of(bytes: &'a [u8]) -> Lines<'a> {
        let start = bytes
            .iter()
            .position(|b| !matches!(b, b'\r' | b'\n'))
            .unwrap_or(bytes.len());
        Lines {
            rest: bytes.get(start..).unwrap_or_default(),
        }
    }

    /// The next line, the body, or the lack of either.
    pub(crate) fn next(&mut self) -> Next<'a> {
        let all = self.rest;
        let Some((mut end, mut after)) = line_end(all, 0) else {
            return Next::Short;
        };
        if end == 0 {
            return Next::Body(all.get(after..).unwrap_or_default());
        }
        let mut folded = false;
        while matches!(all.get(after), Some(b' ' | b'\t')) {
            let Some((next_end, next_after)) = line_end(all, after) else {
                return Next::Short;
            };
            folded = true;
            (end, after) = (next_end, next_after);
        }
        self.rest = all.get(after..).unwrap_or_default();
        Next::Line(Line {
            raw: all.get(..end).unwrap_or_default(),
            folded,
        })
    }
}

/// Where the line starting at `from` ends, and where the next begins.
fn line_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let lf = from + memchr(b'\n', bytes.get(from..)?)?;
    let end = match lf.checked_sub(1).and_then(|before| bytes.get(before)) {
        Some(b'\r') if lf > from => lf - 1,
        _ => lf,
    };
    Some((end, lf + 1))
}

impl<'a> Line<'a> {
    /// Name and value, trimmed; the value still folded. `None` without a colon, without a token
    /// for a name, or with a stray CR or NUL inside.
    pub(crate) fn split(self) -> Option<(&'a [u8], &'a [u8])> {
        let colon = memchr(b':', self.raw)?;
        let (name, value) = self.raw.split_at(colon);
        let name = name.trim_ascii_end();
        let value = crate::scan::trim(value.get(1..)?);
        if !crate::scan::is_token(name) {
            return None;
        }
        if !self.folded && memchr2(b'\r', 0, value).is_some() {
            return None;
        }
        Some((name, value))
    }
}

/// Joins a folded value: every line end with the blanks around it becomes one blank. `None` if a
/// stray CR or NUL remains.
pub(crate) fn unfolded(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    for piece in value.split(|b| *b == b'\n') {
        let piece = crate::scan::trim(piece.strip_suffix(b"\r").unwrap_or(piece));
        if memchr2(b'\r', 0, piece).is_some() {
            return None;
        }
        if !out.is_empty() && !piece.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(piece);
    }
    Some(out)
}

/// Whether every line end inside is CRLF, so that the line can be printed again as it came.
pub(crate) fn folds_are_crlf(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw)
        .all(|at| at.checked_sub(1).and_then(|before| raw.get(before)) == Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> (Vec<(String, bool)>, Next<'_>) {
        let mut lines = Lines::of(text.as_bytes());
        let mut found = Vec::new();
        loop {
            match lines.next() {
                Next::Line(line) => {
                    found.push((String::from_utf8(line.raw.to_vec()).unwrap(), line.folded));
                }
                end => return (found, end),
            }
        }
    }

    #[test]
    fn crlf_and_lf_and_folds_are_lines() {
        let (found, end) = lines("\r\n\r\nA: 1\r\nB: 2\n  3\r\n\t4\r\n\r\nbody");
        assert_eq!(
            found,
            [("A: 1".into(), false), ("B: 2\n  3\r\n\t4".into(), true)]
        );
        assert_eq!(end, Next::Body(b"body"));
    }

    #[test]
    fn a_head_without_its_empty_line_is_short() {
        assert_eq!(lines("A: 1\r\nB: 2").1, Next::Short);
        assert_eq!(lines("A: 1\r\n b").1, Next::Short);
        assert_eq!(lines("").1, Next::Short);
    }

    #[test]
    fn folds_become_single_blanks() {
        assert_eq!(unfolded(b"a  \r\n   b\n\tc").unwrap(), b"a b c");
        assert_eq!(unfolded(b"a\rb"), None);
        assert!(folds_are_crlf(b"a\r\n b"));
        assert!(!folds_are_crlf(b"a\n b"));
    }
}
