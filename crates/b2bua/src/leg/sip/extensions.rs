//! What a peer may use beyond RFC 3261, on the wire: Supported, Require, Unsupported.

use sip::{Headers, Name, Request, Text};

use super::session_timer;
use crate::profile::Extensions;

/// The option tags we know at all, with any peer.
const KNOWN: [&str; 2] = ["100rel", "timer"];

/// Why a request is not taken: a status, and the header that says more.
pub(crate) struct Objection {
    pub(crate) status: u16,
    pub(crate) header: (Name, Text),
}

/// What we support with a peer, as the value of Supported.
pub(crate) fn supported(extensions: &Extensions) -> Option<&'static str> {
    match (extensions.reliable, extensions.session_timer.is_some()) {
        (true, true) => Some("100rel, timer"),
        (true, false) => Some("100rel"),
        (false, true) => Some("timer"),
        (false, false) => None,
    }
}

/// Says what we support, if anything.
pub(crate) fn put_supported(headers: &mut Headers, extensions: &Extensions) {
    if let Some(tags) = supported(extensions) {
        headers.push(Name::Supported, Text::fixed(tags));
    }
}

/// What an INVITE requires that we offer nobody: 420 (RFC 3261 §8.2.2.3).
pub(crate) fn unknown(invite: &Request) -> Option<Objection> {
    beyond(invite, |tag| KNOWN.contains(&tag))
}

/// What keeps us from taking the INVITE of a peer with these extensions: 420 for what it requires
/// and may not use, 422 for too short a session.
pub(crate) fn objection(invite: &Request, extensions: &Extensions) -> Option<Objection> {
    let unsupported = beyond(invite, |tag| {
        tag == "100rel" && extensions.reliable
            || tag == "timer" && extensions.session_timer.is_some()
    });
    unsupported.or_else(|| {
        let least = session_timer::too_small(extensions.session_timer, invite)?;
        Some(Objection {
            status: 422,
            header: (Name::MinSe, least),
        })
    })
}

fn beyond(invite: &Request, offered: impl Fn(&str) -> bool) -> Option<Objection> {
    let missing: Vec<String> = invite
        .headers
        .list(&Name::Require)
        .map(|tag| tag.as_str().trim().to_ascii_lowercase())
        .filter(|tag| !tag.is_empty() && !offered(tag))
        .collect();
    (!missing.is_empty()).then(|| Objection {
        status: 420,
        header: (Name::Unsupported, Text::from(missing.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use sip::{Method, Uri};

    use super::*;
    use crate::profile::PBX;

    fn requiring(value: &str) -> Request {
        let mut invite = Request::new(Method::Invite, Uri::sip("a", "b"));
        invite.headers.push(Name::Require, value.to_owned());
        invite
    }

    #[test]
    fn only_what_is_missing_is_named() {
        let objection = objection(&requiring("100rel, answermode, timer"), &PBX.extensions);
        let objection = objection.expect("answermode is unknown");
        assert_eq!(objection.status, 420);
        assert_eq!(objection.header.1, Text::from("answermode"));
    }

    #[test]
    fn a_peer_without_extensions_may_require_none() {
        assert!(unknown(&requiring("100rel")).is_none());
        assert!(objection(&requiring("100rel"), &Extensions::NONE).is_some());
        assert!(objection(&requiring("100REL"), &PBX.extensions).is_none());
        assert_eq!(supported(&Extensions::NONE), None);
        assert_eq!(supported(&PBX.extensions), Some("100rel, timer"));
    }
}
