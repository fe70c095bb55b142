//! The scene of a capture of ours nobody described: who is who, as its messages say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sip::{Message, Name, Transport};

use super::scene::Scene;
use super::taken::{self, Kind, Taken};
use crate::pcap::Packet;
use crate::trace::{Gap, word};

/// What can be told from the capture; the rest is as in the simulator's usual world. `None`: it is no
/// live capture of ours.
pub(super) fn guess(packets: &[Packet]) -> Option<Scene> {
    packets
        .iter()
        .find(|packet| word(&packet.comment, "gap").is_some())?;
    let mut scene = Scene::default();
    let taken = taken::read(packets, &scene);
    let ours: BTreeSet<IpAddr> = taken.iter().map(|taken| taken.local.ip()).collect();
    scene.sbc = ours.into_iter().collect();
    scene.challenge = false;
    let mut offered = [false; 2];
    for taken in &taken {
        let Kind::Sip(transport, bytes) = &taken.what else {
            continue;
        };
        let Ok(message) = sip::parse(bytes.clone()) else {
            continue;
        };
        if taken.gap == Gap::Pbx && taken.remote.port() != 0 {
            scene.pbx = taken.remote;
            scene.pbx_transport = match transport {
                Transport::Udp => "udp".into(),
                _ => "tcp".into(),
            };
        }
        invited(&mut scene, taken, &message);
        if !taken.inward && taken.gap == Gap::Carrier && status(&message) == Some(407) {
            scene.challenge = true;
        }
        let (codecs, known) = match taken.gap {
            Gap::Carrier => (&mut scene.meta_codecs, &mut offered[0]),
            Gap::Pbx => (&mut scene.pbx_codecs, &mut offered[1]),
        };
        let ours = codecs_of(message.body());
        // What we offer or answer is what we are configured for, or a part of it.
        if !taken.inward && !ours.is_empty() && !std::mem::replace(known, true) {
            *codecs = ours;
        }
    }
    Some(scene)
}

/// The number, and the names it goes by, from the INVITE at Meta's side.
fn invited(scene: &mut Scene, taken: &Taken, message: &Message) {
    let Message::Request(request) = message else {
        return;
    };
    if taken.gap != Gap::Carrier || request.method != sip::Method::Invite {
        return;
    }
    let header = |name| {
        let value = request.headers.first(&name);
        value
            .map(|value| value.as_str().into_owned())
            .unwrap_or_default()
    };
    let (name, host) = match taken.inward {
        true => (header(Name::To), &mut scene.host),
        false => (header(Name::From), &mut scene.domain),
    };
    if let Some((user, at)) = address(&name) {
        scene.number = format!("+{}", user.trim_start_matches('+'));
        *host = at;
    }
}

/// User and host of a SIP URI in a header.
fn address(value: &str) -> Option<(String, String)> {
    let uri = &value[value.find("sip:")? + 4..];
    let (user, rest) = uri.split_once('@')?;
    let host = rest.split([';', '>', ':', ' ', '?']).next()?;
    let user = user.split(';').next()?;
    Some((user.to_owned(), host.to_owned()))
}

fn status(message: &Message) -> Option<u16> {
    match message {
        Message::Response(response) => Some(response.status),
        Message::Request(_) => None,
    }
}

/// The codecs of a description, in its order.
fn codecs_of(body: &[u8]) -> Vec<String> {
    let body = String::from_utf8_lossy(body);
    let mut codecs: Vec<String> = Vec::new();
    for line in body.lines() {
        let name = line
            .strip_prefix("a=rtpmap:")
            .and_then(|map| map.split([' ', '/']).nth(1));
        if let Some(name) = name.filter(|name| !codecs.iter().any(|known| known == name)) {
            codecs.push(name.to_owned());
        }
    }
    codecs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_codecs_are_read_from_what_stands_there() {
        let of = |text: &str| address(text).map(|(user, host)| format!("{user} at {host}"));
        assert_eq!(
            of("<sip:+17125550259@sbc.example.com;transport=tls>;tag=1").as_deref(),
            Some("+17125550259 at sbc.example.com")
        );
        assert_eq!(
            of("\"A\" <sip:17125550259;tgrp=x@h:5061>").as_deref(),
            Some("17125550259 at h")
        );
        assert_eq!(of("<tel:+1>"), None);
        let body = b"v=0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\na=rtpmap:127 telephone-event/48000\r\n";
        assert_eq!(codecs_of(body), ["opus", "telephone-event"]);
    }
}
