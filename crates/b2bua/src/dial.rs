//! Whom the other leg calls, and what it is told: the words of leg B's INVITE.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip::{Answerer, Flow, Headers, Name, Request, Target, Text, Uri};

use crate::leg::sip::words::name_addr;
use crate::leg::sip::{Outgoing, Referral, Way};
use crate::metadata::Metadata;
use crate::number::E164;
use crate::privacy::Privacy;
use crate::registration::serve::Place;
use crate::rules::{Facts, HeaderRules};
use crate::settings::{Identity, Number, Settings, Trunk, Upstream};

/// What leg B's INVITE takes over from leg A's.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The display name of the caller.
    display: Option<String>,
    /// Max-Forwards, already counted down.
    max_forwards: u8,
    /// What the caller does not want to be known.
    privacy: Privacy,
    /// All headers, where a rule may ask for them.
    headers: Headers,
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
            privacy: Privacy::of(&invite.headers),
            headers: Headers::new(),
        })
    }

    /// Keeps the headers of the INVITE, if these rules read them.
    pub(crate) fn keeping(mut self, invite: &Request, rules: &HeaderRules) -> Inherited {
        if rules.reads_caller() {
            self.headers = invite.headers.clone();
        }
        self
    }
}

/// What every INVITE of a leg B is made of.
pub(crate) struct Words<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) number: &'a Number,
    pub(crate) user: &'a str,
    /// The number of a user who has none.
    pub(crate) alias: Option<&'a E164>,
    pub(crate) trunk: &'a Trunk,
    pub(crate) inherited: &'a Inherited,
    pub(crate) offer: Bytes,
}

/// Host and port of ours as whoever sits at the far end of this flow reaches us: as the trunk is
/// told where that is true of the flow too, else where the flow ends.
pub(crate) fn ours(trunk: &Trunk, flow: &Flow) -> Arc<str> {
    let told = flow.transport == trunk.target.transport && !trunk.sent_by.is_empty();
    match told || flow.local.ip().is_unspecified() {
        true => trunk.sent_by.as_str().into(),
        false => flow.local.to_string().into(),
    }
}

/// Calls the PBX for a user of the carrier: at one of its destinations, or at a place where it has
/// registered. There its contact is the Request-URI as it stands (RFC 3261 §16.5), and everything
/// goes by the flow it registered on.
pub(crate) fn to_trunk(
    words: Words<'_>,
    target: Target,
    place: Option<&Place>,
    metadata: &Metadata,
) -> Outgoing {
    let Words {
        settings,
        number,
        user,
        alias,
        trunk,
        inherited,
        offer,
    } = words;
    let policy = &trunk.policy;
    let sent_by = place.map_or_else(|| trunk.sent_by.as_str().into(), |at| at.sent_by(trunk));
    let parameter = format!(";transport={}", target.transport.param());
    let number_shown = policy.numbers.shown(&number.e164);
    let user_shown = match alias {
        Some(alias) => policy.numbers.shown(alias),
        None => shown(trunk, user),
    };
    let called = Uri::sip(&number_shown, &trunk.domain);
    let caller = Uri::sip(&user_shown, &sent_by);
    let upstream = trunk.access.upstream.as_ref();
    let answerer = trunk_answerer(trunk);
    let display = inherited.display.as_deref();
    let own = upstream.map(|upstream| Uri::sip(&upstream.extension, &upstream.domain));
    let contact = match upstream {
        Some(upstream) => Uri::sip(&upstream.extension, &sent_by),
        None => caller.clone(),
    };
    let mut headers = named(settings);
    headers.extend(metadata.headers_for(&settings.metadata));
    let known = name_addr(display, caller.as_str());
    let private = inherited.privacy.hides_caller();
    let from = match (&own, private) {
        // A PBX takes calls of its extensions from their own address only; who calls is the name.
        (Some(own), false) => name_addr(display.or(Some(&user_shown)), own.as_str()),
        (Some(own), true) => name_addr(Some("Anonymous"), own.as_str()),
        (None, false) => known.clone(),
        (None, true) => ANONYMOUS.to_owned(),
    };
    if policy.identity == Identity::Asserted {
        headers.push((Name::PAssertedIdentity, Text::from(known)));
        if private {
            headers.push((Name::Privacy, Text::fixed("id")));
        }
    }
    let facts = Facts {
        user: &user_shown,
        number: &number_shown,
        display: inherited.display.as_deref().unwrap_or_default(),
        domain: &sent_by,
        trunk: &trunk.name,
        reference: metadata.reference().unwrap_or_default(),
        caller: &inherited.headers,
    };
    let outgoing = Outgoing {
        profile: trunk.profile.clone(),
        way: place.map_or(Way::ByDialog, |at| at.way(&target)),
        target,
        sent_by: sent_by.clone(),
        request_uri: match place {
            Some(place) => place.contact.to_string(),
            None => format!("{called}{parameter}"),
        },
        from,
        to: name_addr(None, called.as_str()),
        contact: match inherited.privacy.hides_contact() {
            true => Text::from(name_addr(
                None,
                &format!("sip:anonymous@{sent_by}{parameter}"),
            )),
            false => Text::from(name_addr(None, &format!("{contact}{parameter}"))),
        },
        call_id_host: host_of(&sent_by).to_owned(),
        max_forwards: inherited.max_forwards,
        headers,
        answerer,
        offer,
    };
    governed(outgoing, &policy.to_pbx, &facts)
}

/// The address of ours a call of this trunk's PBX lives on: a datagram came to the very socket our
/// requests are to leave from, a connection of ours has a port of its own.
pub(crate) fn home(trunk: &Trunk, flow: &Flow) -> Option<SocketAddr> {
    match flow.transport.is_reliable() {
        true => trunk.target.from,
        false => Some(flow.local),
    }
}

/// Calls whom the PBX names in a REFER, for the user. A target at our own address, or without any, is one
/// of the trunk's.
pub(crate) fn to_referred(
    words: Words<'_>,
    target: Target,
    place: Option<&Place>,
    metadata: &Metadata,
    referral: &Referral,
) -> Outgoing {
    let (uri, trunk) = (&referral.uri, words.trunk);
    let called = match uri.scheme() {
        sip::Scheme::Sip | sip::Scheme::Sips if !trunk.is_us(uri.host()) => uri.as_str().to_owned(),
        _ => format!(
            "sip:{}@{}",
            uri.user_base().unwrap_or_default(),
            trunk.domain
        ),
    };
    let mut out = to_trunk(words, target, place, metadata);
    out.to = name_addr(None, &called);
    if place.is_none_or(|place| !place.is_named_by(uri)) {
        out.request_uri = called;
    }
    let headers = referral.headers.iter().cloned();
    out.headers.extend(headers);
    out
}

/// Calls a user of the carrier for the PBX.
///
/// Request-URI, To and the `uri` of the digest are made from one value, because the carrier
/// compares them (Meta reference 4.3).
pub(crate) fn to_carrier(words: Words<'_>, target: Target) -> Outgoing {
    let Words {
        settings,
        number,
        user,
        trunk,
        inherited,
        offer,
        ..
    } = words;
    let carrier = &settings.carrier;
    let plus = |with: String| match number.plus {
        true => with,
        false => with.trim_start_matches('+').to_owned(),
    };
    let parameter = format!(";transport={}", carrier.target.transport.param());
    let number_shown = plus(number.e164.plus());
    let called = format!("sip:{}@{}", plus(user.to_owned()), carrier.domain);
    let answerer = carrier_answerer(number);
    let facts = Facts {
        user,
        number: &number_shown,
        display: inherited.display.as_deref().unwrap_or_default(),
        domain: &number.domain,
        trunk: &trunk.name,
        reference: "",
        caller: &inherited.headers,
    };
    let outgoing = Outgoing {
        profile: carrier.profile.clone(),
        way: Way::to(target.clone()),
        target,
        sent_by: format!("{}:{}", number.host, number.port).into(),
        request_uri: format!("{called}{parameter}"),
        from: name_addr(None, &format!("sip:{number_shown}@{}", number.domain)),
        to: name_addr(None, &called),
        contact: carrier_contact(settings, number),
        call_id_host: number.host.clone(),
        max_forwards: inherited.max_forwards,
        headers: named(settings),
        answerer,
        offer,
    };
    governed(outgoing, &trunk.policy.to_carrier, &facts)
}

/// RFC 3323 §4.1.1.3.
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// The carrier's user as the trunk shows him; who has no number, by his name.
fn shown(trunk: &Trunk, user: &str) -> String {
    E164::parse(user).map_or_else(
        || user.to_owned(),
        |number| trunk.policy.numbers.shown(&number),
    )
}

/// Our own name, unless we have none.
fn named(settings: &Settings) -> Vec<(Name, Text)> {
    let product = Some(settings.product.as_str()).filter(|name| !name.is_empty());
    let header = |name| (Name::UserAgent, Text::from(name));
    product.map(header).into_iter().collect()
}

/// The INVITE as the operator's rules want it.
fn governed(mut outgoing: Outgoing, rules: &HeaderRules, facts: &Facts<'_>) -> Outgoing {
    if rules.is_empty() {
        return outgoing;
    }
    let mut headers = Headers::new();
    headers.push(Name::From, outgoing.from.as_str());
    headers.push(Name::To, outgoing.to.as_str());
    for (name, value) in outgoing.headers.drain(..) {
        headers.push(name, value);
    }
    rules.apply(&mut headers, facts);
    for (name, value) in headers.iter() {
        match name {
            Name::From => outgoing.from = value.as_str().into_owned(),
            Name::To => outgoing.to = value.as_str().into_owned(),
            _ => outgoing.headers.push((name.clone(), value.clone())),
        }
    }
    outgoing
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

/// Our Contact towards a PBX that called `user` over this flow.
pub(crate) fn trunk_contact(trunk: &Trunk, user: &str, flow: &Flow) -> Text {
    let (ours, transport) = (ours(trunk, flow), flow.transport.param());
    Text::from(name_addr(
        None,
        &format!("sip:{user}@{ours};transport={transport}"),
    ))
}

/// What answers challenges of the carrier.
pub(crate) fn carrier_answerer(number: &Number) -> Option<Answerer> {
    let password = number.password.clone()?;
    Some(Answerer::new(number.username.clone(), password))
}

/// What answers challenges of a trunk, where we have an account with it.
pub(crate) fn trunk_answerer(trunk: &Trunk) -> Option<Answerer> {
    trunk.access.upstream.as_ref().map(Upstream::answerer)
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
