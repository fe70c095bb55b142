//! Scanning: the few grammar pieces every header shares (RFC 3261 §25.1): tokens, white space,
//! quoted strings, commas between values, semicolons between parameters.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

/// Without surrounding blanks, tabs and line ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// `token` of RFC 3261 §25.1.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// An unsigned decimal number, blanks around it allowed, nothing else.
pub(crate) fn number<N: std::str::FromStr>(bytes: &[u8]) -> Option<N> {
    let digits = trim(bytes);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Splits at the first `mark` that stands outside quotes and angle brackets.
pub(crate) fn split_outside(bytes: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match position_outside(bytes, mark) {
        Some(at) => {
            let (before, after) = bytes.split_at(at);
            (before, after.get(1..))
        }
        None => (bytes, None),
    }
}

/// Where the first `mark` outside quotes and angle brackets stands.
pub(crate) fn position_outside(bytes: &[u8], mark: u8) -> Option<usize> {
    let mut quoted = false;
    let mut angled = false;
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == mark && !angled {
            return Some(at);
        } else {
            match byte {
                b'"' if !angled => quoted = true,
                b'<' => angled = true,
                b'>' => angled = false,
                _ => {}
            }
        }
    }
    None
}

/// The values of a header that is a comma-separated list (RFC 3261 §7.3.1), trimmed, empty ones
/// left out.
#[derive(Clone, Debug)]
pub(crate) struct Values<'a>(Option<&'a [u8]>);

impl<'a> Values<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Values<'a> {
        Values(Some(bytes))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (value, rest) = split_outside(self.0?, b',');
            self.0 = rest;
            let value = trim(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
    }
}

/// The parameters in `;name=value;flag;…`, in order; a flag has an empty value, quotes around a
/// value are taken off, escapes inside stay.
#[derive(Clone, Debug)]
pub(crate) struct Params<'a>(Option<&'a [u8]>);

impl<'a> Params<'a> {
    /// `bytes` starts at the first semicolon (or is empty).
    pub(crate) fn of(bytes: &'a [u8]) -> Params<'a> {
        let after = split_outside(bytes, b';').1;
        Params(after)
    }

    /// The value of the first parameter of this name (compared without case).
    pub(crate) fn find(mut self, name: &str) -> Option<&'a [u8]> {
        self.find_map(|(n, value)| n.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            let (param, rest) = split_outside(self.0?, b';');
            self.0 = rest;
            let (name, value) = split_outside(param, b'=');
            let name = trim(name);
            if !name.is_empty() {
                return Some((name, unquoted(trim(value.unwrap_or_default()))));
            }
        }
    }
}

/// Without the surrounding quotes, if there are any.
pub(crate) fn unquoted(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

/// Takes the backslashes of quoted pairs away (RFC 3261 §25.1 `quoted-pair`).
pub(crate) fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'\\' => out.extend(rest.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_angles_do_not_split() {
        let values: Vec<_> = Values::of(br#""a, \", b" <sip:x,y@z>;q=1 , <sip:c>,, d"#).collect();
        assert_eq!(
            values,
            [&br#""a, \", b" <sip:x,y@z>;q=1"#[..], b"<sip:c>", b"d"]
        );
    }

    #[test]
    fn parameters_are_found_without_case_and_without_quotes() {
        let params = Params::of(b" ; A=1;flag ; text = \"x;y\" ;;last=z");
        assert_eq!(params.clone().find("a"), Some(&b"1"[..]));
        assert_eq!(params.clone().find("FLAG"), Some(&b""[..]));
        assert_eq!(params.clone().find("text"), Some(&b"x;y"[..]));
        assert_eq!(params.clone().find("last"), Some(&b"z"[..]));
        assert_eq!(params.find("none"), None);
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(number::<u32>(b"  643 "), Some(643));
        assert_eq!(number::<u32>(b"+1"), None);
        assert_eq!(number::<u32>(b"4294967296"), None);
        assert_eq!(number::<u32>(b""), None);
    }
}
