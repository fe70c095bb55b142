//! What a peer may use beyond RFC 3261, on the wire: Supported, Require, Unsupported.

use sip::{Headers, Name, Request, Text};

use super::session_timer;
use crate::profile::{Extensions, PeerProfile};

/// The option tags we know at all, with any peer.
const KNOWN: [&str; 3] = ["100rel", "timer", "replaces"];

/// Why a request is not taken: a status, and the header that says more.
pub(crate) struct Objection {
    pub(crate) status: u16,
    pub(crate) header: (Name, Text),
}

/// What we support with a peer, as the value of Supported.
pub(crate) fn supported(extensions: &Extensions) -> Option<Text> {
    let tags: Vec<&str> = KNOWN
        .into_iter()
        .filter(|tag| is_offered(tag, extensions))
        .collect();
    (!tags.is_empty()).then(|| Text::from(tags.join(", ")))
}

/// The methods we take of a peer, as the value of Allow.
pub(crate) fn allow(profile: &PeerProfile) -> Text {
    match profile.extensions.transfer {
        true => Text::from(format!("{}, REFER", profile.allow)),
        false => Text::fixed(profile.allow),
    }
}

fn is_offered(tag: &str, extensions: &Extensions) -> bool {
    match tag {
        "100rel" => extensions.reliable,
        "timer" => extensions.session_timer.is_some(),
        "replaces" => extensions.replaces,
        _ => false,
    }
}

/// Says what we support, if anything.
pub(crate) fn put_supported(headers: &mut Headers, extensions: &Extensions) {
    if let Some(tags) = supported(extensions) {
        headers.push(Name::Supported, tags);
    }
}

/// What an INVITE requires that we offer nobody: 420 (RFC 3261 §8.2.2.3).
pub(crate) fn unknown(invite: &Request) -> Option<Objection> {
    beyond(invite, |tag| KNOWN.contains(&tag))
}

/// What keeps us from taking the INVITE of a peer with these extensions: 420 for what it requires
/// and may not use, 422 for too short a session.
pub(crate) fn objection(invite: &Request, extensions: &Extensions) -> Option<Objection> {
    let unsupported = beyond(invite, |tag| is_offered(tag, extensions));
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

/// What bodies we read and write.
const READ: &str = "application/sdp";

/// What stands against the bodies of an INVITE: 415 for one that is no session description, 406 for a caller who accepts none
/// (RFC 3261 §8.2.3, §20.1). A body that does not say what it is, is read.
pub(crate) fn body(invite: &Request) -> Option<Objection> {
    let mut accepted = invite.headers.list(&Name::Accept).peekable();
    let is_ours = |range: Text| {
        let range = range.as_str().to_ascii_lowercase();
        let kind = range.split(';').next().unwrap_or_default().trim();
        [READ, "application/*", "*/*"].contains(&kind)
    };
    if accepted.peek().is_some() && !accepted.any(is_ours) {
        return Some(Objection {
            status: 406,
            header: (Name::Accept, Text::from(READ)),
        });
    }
    let named = invite.headers.first(&Name::ContentType)?.as_str();
    let kind = named.split(';').next().unwrap_or_default().trim();
    let strange = !invite.body.is_empty() && !kind.eq_ignore_ascii_case(READ);
    strange.then(|| Objection {
        status: 415,
        header: (Name::Accept, Text::from(READ)),
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
    fn a_body_that_says_it_is_no_description_is_not_read() {
        let with = |kind: &str, body: &'static [u8]| {
            let mut invite = Request::new(Method::Invite, Uri::sip("a", "b"));
            invite.headers.push(Name::ContentType, kind.to_owned());
            invite.body = body.into();
            body_of(&invite)
        };
        fn body_of(invite: &Request) -> Option<u16> {
            body(invite).map(|objection| objection.status)
        }
        assert_eq!(with("application/isup", b"x"), Some(415));
        assert_eq!(with("Application/SDP ; x=y", b"v=0"), None);
        assert_eq!(with("application/isup", b""), None);
        let accepting = |range: &str| {
            let mut invite = Request::new(Method::Invite, Uri::sip("a", "b"));
            invite.headers.push(Name::Accept, range.to_owned());
            body_of(&invite)
        };
        assert_eq!(accepting("text/plain, application/x-private"), Some(406));
        assert_eq!(accepting("text/plain, Application/SDP;level=1"), None);
        assert_eq!(accepting("*/*"), None);
        assert_eq!(
            body_of(&Request::new(Method::Invite, Uri::sip("a", "b"))),
            None
        );
    }

    #[test]
    fn a_peer_without_extensions_may_require_none() {
        assert!(unknown(&requiring("100rel")).is_none());
        assert!(objection(&requiring("100rel"), &Extensions::NONE).is_some());
        assert!(objection(&requiring("100REL"), &PBX.extensions).is_none());
        assert_eq!(supported(&Extensions::NONE), None);
        assert_eq!(
            supported(&PBX.extensions),
            Some(Text::from("100rel, timer, replaces"))
        );
    }

    #[test]
    fn only_whom_we_transfer_is_allowed_to_refer() {
        assert!(allow(&PBX).as_str().ends_with("PRACK, REFER"));
        let mut refused = PBX;
        refused.extensions.transfer = false;
        assert_eq!(allow(&refused), Text::from(PBX.allow));
    }
}
