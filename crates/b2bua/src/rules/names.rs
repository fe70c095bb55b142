//! Which headers a rule may name: one, or all that begin alike, and never what the call or its peer stands on.

use sip::Name;

use super::model::{Wrong, wrong};
use super::template::is_token;
use crate::profile::PeerProfile;

/// Headers no rule may touch, whoever the peer is: they are the transaction, the dialog, the way,
/// the credentials, the body, or promise what the leg can do (RFC 3261 §20).
const FIXED: [Name; 29] = [
    Name::Via,
    Name::Route,
    Name::RecordRoute,
    Name::Contact,
    Name::CSeq,
    Name::CallId,
    Name::MaxForwards,
    Name::ContentType,
    Name::ContentLength,
    Name::ContentEncoding,
    Name::ContentDisposition,
    Name::MimeVersion,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::WwwAuthenticate,
    Name::ProxyAuthenticate,
    Name::AuthenticationInfo,
    Name::Require,
    Name::ProxyRequire,
    Name::Supported,
    Name::Unsupported,
    Name::Allow,
    Name::SessionExpires,
    Name::MinSe,
    Name::RSeq,
    Name::RAck,
    Name::Replaces,
    Name::Path,
    Name::ServiceRoute,
];

/// One name, or all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    One(Name),
    /// In lower case.
    Beginning(String),
}

impl Names {
    /// Whether a header bears such a name.
    pub(super) fn fit(&self, name: &Name) -> bool {
        match self {
            Names::One(one) => one == name,
            Names::Beginning(lead) => {
                let text = name.as_str();
                text.get(..lead.len())
                    .is_some_and(|front| front.eq_ignore_ascii_case(lead))
            }
        }
    }
}

/// A name a rule may write to.
pub(super) fn name(peer: &PeerProfile, text: &str) -> Result<Name, Wrong> {
    let name = token(text)?;
    match is_fixed(peer, &name) {
        true => fixed(peer, &name),
        false => Ok(name),
    }
}

/// A name a rule may read.
pub(super) fn token(text: &str) -> Result<Name, Wrong> {
    match is_token(text) && !text.contains('*') {
        true => Ok(Name::from(text)),
        false => wrong(
            format!("`{text}` is no name of a header"),
            "write one name, as in \"X-Customer\"",
        ),
    }
}

/// A name or a beginning and `*`, which does not take in what no rule may touch.
pub(super) fn names(peer: &PeerProfile, text: &str) -> Result<Names, Wrong> {
    let Some(lead) = text.strip_suffix('*') else {
        return name(peer, text).map(Names::One);
    };
    if lead.len() < 2 || !is_token(lead) || lead.contains('*') {
        return wrong(
            format!("`{text}` does not say how the names begin"),
            "write at least two letters before the *, as in \"X-*\"",
        );
    }
    let names = Names::Beginning(lead.to_ascii_lowercase());
    match FIXED.iter().find(|fixed| names.fit(fixed)) {
        Some(taken) => fixed(peer, taken),
        None => Ok(names),
    }
}

fn is_fixed(peer: &PeerProfile, name: &Name) -> bool {
    is_of_sip(name) || is_of_peer(peer, name)
}

/// Whether SIP itself fixes a header.
pub(super) fn is_of_sip(name: &Name) -> bool {
    FIXED.contains(name) || name.as_str().eq_ignore_ascii_case("Request-URI")
}

fn is_of_peer(peer: &PeerProfile, name: &Name) -> bool {
    peer.fixed_headers
        .iter()
        .any(|fixed| name.as_str().eq_ignore_ascii_case(fixed))
}

fn fixed<T>(peer: &PeerProfile, name: &Name) -> Result<T, Wrong> {
    let whose = match is_of_sip(name) {
        true => "the call itself".to_owned(),
        false => format!("what {} accepts", peer.name),
    };
    wrong(
        format!("{name} is fixed by {whose}; no rule may touch it"),
        "remove the rule, or write to a header of your own, as in \"X-…\"",
    )
}
