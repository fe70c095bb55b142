//! Takes the secrets out of a SIP message and leaves its shape: no length changes, so Content-Length
//! still holds, and an SDP can still be read.
//!
//! | secret | becomes |
//! |---|---|
//! | the key of an `a=crypto` line (RFC 4568) | as many `A`: a key of zeros |
//! | `response` of a digest (RFC 7616) | as many zeros |
//! | credentials of any other scheme | as many `x` |

use bytes::Bytes;

/// The attribute of a key, and what captures with media in the clear call it: analysers that read the first
/// would look for SRTP where there is none any more.
const KEYED: &[u8] = b"a=crypto:";
const OPENED: &[u8] = b"a=opened:";

/// A message beside media in the clear: its SDP no longer promises SRTP to whoever analyses the capture.
pub(crate) fn opened(message: &Bytes) -> Bytes {
    renamed(message, KEYED, OPENED)
}

/// The message as it was before [`opened`].
pub(crate) fn closed(message: &Bytes) -> Bytes {
    renamed(message, OPENED, KEYED)
}

/// The message with every line of its body that begins with one name beginning with the other.
fn renamed(message: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    if find(message, from).is_none() {
        return message.clone();
    }
    let mut out = message.to_vec();
    let mut start = find(message, b"\r\n\r\n").map_or(out.len(), |at| at + 4);
    while start < out.len() {
        let line = &mut out[start..];
        let end = line.iter().position(|byte| *byte == b'\n');
        if line.starts_with(from) {
            line[..to.len()].copy_from_slice(to);
        }
        start += end.map_or(line.len(), |at| at + 1);
    }
    out.into()
}

/// The message without its secrets.
pub fn redacted(message: &Bytes) -> Bytes {
    let mut out = message.to_vec();
    let mut start = 0;
    let mut credentials = false;
    while start < out.len() {
        let end = out[start..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(out.len(), |at| start + at + 1);
        let line = &mut out[start..end];
        // A folded line goes on with the header before it.
        credentials = match line.first() {
            Some(b' ' | b'\t') => credentials,
            _ => has_credentials(line),
        };
        if credentials {
            digest(line);
        } else if line.starts_with(b"a=crypto") {
            keys(line);
        }
        start = end;
    }
    out.into()
}

fn has_credentials(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let name = line[..colon].trim_ascii();
    name.eq_ignore_ascii_case(b"authorization") || name.eq_ignore_ascii_case(b"proxy-authorization")
}

/// `response="…"`, quoted or not; everything behind the scheme where it is no digest.
fn digest(line: &mut [u8]) {
    let value = line
        .iter()
        .position(|byte| *byte == b':')
        .map_or(0, |at| at + 1);
    let scheme = line[value..].trim_ascii_start();
    let scheme_at = line.len() - scheme.len();
    let folded = matches!(line.first(), Some(b' ' | b'\t'));
    if !folded
        && !scheme
            .get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"digest"))
    {
        let from = scheme
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(line.len(), |at| scheme_at + at + 1);
        return blank(&mut line[from..], b'x', |byte| !byte.is_ascii_whitespace());
    }
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = find(&lower[from..], b"response") {
        let begin = from + at;
        from = begin + b"response".len();
        let named = begin == 0 || !lower[begin - 1].is_ascii_alphanumeric();
        let rest = lower[from..].trim_ascii_start();
        if named && rest.first() == Some(&b'=') {
            let mut value = lower.len() - rest.len() + 1;
            value += lower[value..]
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'"'))
                .count();
            blank(&mut line[value..], b'0', u8::is_ascii_hexdigit);
        }
    }
}

fn keys(line: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = find(&line[from..], b"inline:") {
        from += at + b"inline:".len();
        blank(&mut line[from..], b'A', |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
        });
    }
}

/// Overwrites the bytes in front that belong to a value.
fn blank(bytes: &mut [u8], with: u8, belongs: impl Fn(&u8) -> bool) {
    for byte in bytes.iter_mut().take_while(|byte| belongs(byte)) {
        *byte = with;
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let redacted = redacted(&Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(redacted.len(), text.len(), "lengths hold");
        String::from_utf8(redacted.to_vec()).expect("text stays text")
    }

    #[test]
    fn keys_and_answers_are_gone_and_the_shape_stays() {
        let key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
        let text = format!(
            "INVITE sip:x SIP/2.0\r\nproxy-authorization: Digest username=\"1\", nonce=\"abc\",\r\n \
             response=\"0123456789abcdef0123456789abcdef\", qop=auth\r\n\r\n\
             v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4\r\n"
        );
        let out = of(&text);
        assert!(
            !out.contains(key) && !out.contains("0123456789abcdef"),
            "{out}"
        );
        assert!(
            out.contains(&format!("inline:{}|2^20|1:4", "A".repeat(40))),
            "{out}"
        );
        assert!(
            out.contains(&format!("response=\"{}\", qop", "0".repeat(32))),
            "{out}"
        );
        assert!(out.contains("nonce=\"abc\""), "the challenge is no secret");
    }

    #[test]
    fn keys_are_renamed_in_the_body_alone_and_back() {
        let text = "INVITE sip:x SIP/2.0\r\nSubject: y\r\na=crypto: z\r\n\r\nv=0\r\na=crypto:1 S inline:K\r\na=crypto:2";
        let message = Bytes::from_static(text.as_bytes());
        let renamed = opened(&message);
        let shown = String::from_utf8_lossy(&renamed).into_owned();
        assert!(
            shown.ends_with("v=0\r\na=opened:1 S inline:K\r\na=opened:2"),
            "{shown}"
        );
        assert!(shown.contains("a=crypto: z"), "{shown}");
        assert_eq!(closed(&renamed), message);
        let without = Bytes::from_static(b"BYE sip:x SIP/2.0\r\n\r\n");
        assert_eq!(opened(&without), without);
    }

    #[test]
    fn other_schemes_are_blanked_whole_and_words_that_only_look_alike_stay() {
        assert_eq!(
            of("X sip:x SIP/2.0\r\nAuthorization: Bearer abc.def\r\n\r\n"),
            "X sip:x SIP/2.0\r\nAuthorization: Bearer xxxxxxx\r\n\r\n"
        );
        let harmless =
            "SIP/2.0 200 OK\r\nSubject: response=\"00ff\"\r\n\r\na=ssrc:1 cname:inline\r\n";
        assert_eq!(of(harmless), harmless);
    }
}
