//! The two words of a SIP message a trace needs of every one, without parsing it.

/// The value of the first `Call-ID` header, compact form included.
pub(crate) fn call_id(message: &[u8]) -> Option<&str> {
    let mut lines = message.split(|byte| *byte == b'\n').skip(1);
    lines
        .by_ref()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = line[..colon].trim_ascii();
            let is = name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i");
            is.then(|| std::str::from_utf8(line[colon + 1..].trim_ascii()).ok())?
        })
}

/// Whether it is an INVITE.
pub(crate) fn is_invite(message: &[u8]) -> bool {
    message.starts_with(b"INVITE ")
}

/// Whether it is a final answer that is no, and no challenge either.
pub(super) fn is_refusal(message: &[u8]) -> bool {
    let status = message
        .strip_prefix(b"SIP/2.0 ")
        .and_then(|rest| rest.get(..3));
    status.is_some_and(|status| status[0] >= b'3' && status != b"401" && status != b"407")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ids_are_found_in_every_spelling_and_never_in_the_body() {
        assert_eq!(
            call_id(b"BYE sip:x SIP/2.0\r\nVia: z\r\ncall-id :  a:b.c=@h \r\n\r\n"),
            Some("a:b.c=@h")
        );
        assert_eq!(call_id(b"SIP/2.0 200 OK\r\ni: 77\r\n\r\n"), Some("77"));
        assert_eq!(call_id(b"SIP/2.0 200 OK\r\n\r\nCall-ID: 1\r\n"), None);
        assert_eq!(call_id(b"Call-ID: 1"), None);
    }
}
