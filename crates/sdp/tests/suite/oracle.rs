//! A foreign reader of what we write: `sdp-rs`, as far as it goes.
//!
//! It does not go all the way: it prints `opus/48000/2` back as `opus/48000 2`, and it knows
//! nothing of `a=crypto`. So it judges what it reads, never what it prints.

use std::net::IpAddr;

use proptest::prelude::*;
use sdp::Description;
use sdp::compose;
use sdp_rs::SessionDescription;
use sdp_rs::lines::Attribute;

use crate::{properties, samples};

/// What an SDP says of its audio stream: port, transport, formats, address, mappings, ptime.
#[derive(Debug, PartialEq)]
struct Said {
    port: u16,
    transport: String,
    formats: String,
    address: Option<IpAddr>,
    mappings: Vec<(u8, String, u32)>,
    ptime: Option<u32>,
}

fn by_the_oracle(text: &str) -> Said {
    let read = SessionDescription::try_from(text).expect("the oracle reads it");
    let audio = read
        .media_descriptions
        .iter()
        .find(|media| media.media.port != 0)
        .expect("audio");
    let connection = audio.connections.first().or(read.connection.as_ref());
    let mut mappings = Vec::new();
    let mut ptime = None;
    for attribute in &audio.attributes {
        match attribute {
            Attribute::Rtpmap(map) => mappings.push((
                u8::try_from(map.payload_type).expect("a payload type"),
                map.encoding_name.to_lowercase(),
                u32::try_from(map.clock_rate).expect("a clock"),
            )),
            Attribute::Ptime(millis) => ptime = Some(*millis as u32),
            _ => {}
        }
    }
    Said {
        port: audio.media.port,
        transport: audio.media.proto.to_string(),
        formats: audio.media.fmt.clone(),
        address: connection.map(|connection| connection.connection_address.base),
        mappings,
        ptime,
    }
}

fn by_us(text: &str) -> Said {
    let read = Description::parse(text.as_bytes()).expect("we read it");
    let audio = read.audio().expect("audio");
    let formats = audio.formats();
    Said {
        port: audio.port(),
        transport: audio.transport().to_owned(),
        formats: formats
            .iter()
            .map(|format| format.pt.to_string())
            .collect::<Vec<_>>()
            .join(" "),
        address: audio.address(),
        mappings: formats
            .iter()
            .map(|format| {
                (
                    format.pt,
                    format.codec.name().to_lowercase(),
                    format.codec.clock(),
                )
            })
            .collect(),
        ptime: audio.ptime(),
    }
}

proptest! {
    #[test]
    fn a_foreign_reader_finds_in_our_offers_and_answers_what_we_meant(
        profile in properties::profile(), offerer in properties::local(), answerer in properties::local(),
    ) {
        let offer = compose::offer(&profile, &offerer);
        prop_assert_eq!(by_the_oracle(&offer.to_string()), by_us(&offer.to_string()));
        let answer = compose::answer(&offer, &profile, &answerer, None).expect("an answer");
        prop_assert_eq!(by_the_oracle(&answer.to_string()), by_us(&answer.to_string()));
    }
}

#[test]
fn both_readers_see_the_same_address_and_port_in_the_published_descriptions() {
    let mut compared = 0;
    for (name, bytes) in samples::all() {
        let text = String::from_utf8(bytes).expect("the samples are UTF-8");
        let (theirs, ours) = (by_the_oracle(&text), by_us(&text));
        assert_eq!(
            (theirs.port, theirs.address, &theirs.transport),
            (ours.port, ours.address, &ours.transport),
            "{name}"
        );
        assert!(
            ours.mappings
                .iter()
                .all(|mapping| theirs.mappings.contains(mapping)),
            "{name}"
        );
        compared += 1;
    }
    assert!(compared >= 11);
}
