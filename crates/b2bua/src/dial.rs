//! Whom the other leg calls, and what it is told: the words of leg B's INVITE.

use std::sync::Arc;

use bytes::Bytes;
use sip::{Answerer, Name, Request, Secret, Target, Text};

use crate::leg::sip::words::name_addr;
use crate::leg::sip::{Outgoing, Referral};
use crate::metadata::Metadata;
use crate::settings::{Number, Settings, Trunk};

/// What leg B's INVITE takes over from leg A's.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The display name of the caller.
    display: Option<String>,
    /// Max-Forwards, already counted down.
    max_forwards: u8,
}

impl Inherited {
    /// `None` when the INVITE has been forwarded too often (RFC 3261 §16.3).
    pub(crate) fn from(invite: &Request) -> Option<Inherited> {
        let left = invite
            .headers
            .first(&Name::MaxForwards)
            .map_or(70, |value| {
                value.as_str().trim().parse::<u8>().unwrap_or(70)
            });
        Some(Inherited {
            display: invite
                .from()
                .and_then(|from| from.display.map(|text| text.to_string())),
            max_forwards: left.checked_sub(1)?,
        })
    }
}

/// What every INVITE of a leg B is made of.
pub(crate) struct Words<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) number: &'a Number,
    pub(crate) user: &'a str,
    pub(crate) inherited: &'a Inherited,
    pub(crate) offer: Bytes,
}

/// Calls the PBX for a user of the carrier.
pub(crate) fn to_trunk(
    words: Words<'_>,
    trunk: &Trunk,
    target: Target,
    metadata: &Metadata,
) -> Outgoing {
    let Words {
        settings,
        number,
        user,
        inherited,
        offer,
    } = words;
    let parameter = format!(";transport={}", target.transport.param());
    let called = format!("sip:{}@{}", number.e164.plus(), trunk.domain);
    let caller = format!("sip:{user}@{}", trunk.sent_by);
    Outgoing {
        profile: trunk.profile.clone(),
        target,
        sent_by: trunk.sent_by.as_str().into(),
        anchored: false,
        request_uri: format!("{called}{parameter}"),
        from: name_addr(inherited.display.as_deref(), &caller),
        to: name_addr(None, &called),
        contact: Text::from(name_addr(None, &format!("{caller}{parameter}"))),
        call_id_host: host_of(&trunk.sent_by).to_owned(),
        max_forwards: inherited.max_forwards,
        headers: metadata.headers_for(&settings.metadata),
        answerer: None,
        offer,
    }
}

/// Calls whom the PBX names in a REFER, for the user. A target at our own address, or without any, is one
/// of the trunk's.
pub(crate) fn to_referred(
    words: Words<'_>,
    trunk: &Trunk,
    target: Target,
    metadata: &Metadata,
    referral: &Referral,
) -> Outgoing {
    let uri = &referral.uri;
    let called = match uri.scheme() {
        sip::Scheme::Sip | sip::Scheme::Sips if !trunk.is_us(uri.host()) => uri.as_str().to_owned(),
        _ => format!(
            "sip:{}@{}",
            uri.user_base().unwrap_or_default(),
            trunk.domain
        ),
    };
    let mut out = to_trunk(words, trunk, target, metadata);
    out.to = name_addr(None, &called);
    out.request_uri = called;
    let headers = referral.headers.iter().cloned();
    out.headers.extend(headers);
    out
}

/// Calls a user of the carrier for the PBX.
///
/// Request-URI, To and the `uri` of the digest are made from one value, because the carrier
/// compares them (Meta reference 4.3).
pub(crate) fn to_carrier(words: Words<'_>) -> Outgoing {
    let Words {
        settings,
        number,
        user,
        inherited,
        offer,
    } = words;
    let carrier = &settings.carrier;
    let plus = |with: String| match number.plus {
        true => with,
        false => with.trim_start_matches('+').to_owned(),
    };
    let parameter = format!(";transport={}", carrier.target.transport.param());
    let called = format!("sip:{}@{}", plus(user.to_owned()), carrier.domain);
    let answerer = number
        .password
        .as_ref()
        .map(|password: &Secret<String>| Answerer::new(number.username.clone(), password.clone()));
    Outgoing {
        profile: carrier.profile.clone(),
        target: carrier.target.clone(),
        sent_by: format!("{}:{}", number.host, number.port).into(),
        anchored: true,
        request_uri: format!("{called}{parameter}"),
        from: name_addr(
            None,
            &format!("sip:{}@{}", plus(number.e164.plus()), number.domain),
        ),
        to: name_addr(None, &called),
        contact: carrier_contact(settings, number),
        call_id_host: number.host.clone(),
        max_forwards: inherited.max_forwards,
        headers: Vec::new(),
        answerer,
        offer,
    }
}

/// Our Contact towards the carrier: reachable from outside, never an inner address.
pub(crate) fn carrier_contact(settings: &Settings, number: &Number) -> Text {
    let parameter = settings.carrier.target.transport.param();
    let (e164, host, port) = (number.e164.plus(), &number.host, number.port);
    Text::from(name_addr(
        None,
        &format!("sip:{e164}@{host}:{port};transport={parameter}"),
    ))
}

/// Our Contact towards a PBX that called `user`.
pub(crate) fn trunk_contact(trunk: &Trunk, user: &str, transport: sip::Transport) -> Text {
    let uri = format!(
        "sip:{user}@{};transport={}",
        trunk.sent_by,
        transport.param()
    );
    Text::from(name_addr(None, &uri))
}

/// Host and port for our Via towards the carrier.
pub(crate) fn carrier_sent_by(number: &Number) -> Arc<str> {
    format!("{}:{}", number.host, number.port).into()
}

fn host_of(sent_by: &str) -> &str {
    sent_by
        .rsplit_once(':')
        .map_or(sent_by, |(host, _)| host)
        .trim_matches(['[', ']'])
}
