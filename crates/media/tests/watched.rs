//! Whoever watches a session sees what crosses it as it is under SRTP, and nothing that was not believed.

#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

mod support;

use media::rtp::header_len;
use media::{Channel, Outbox, Session};
use sdp::{Codec, Side};
use support::*;

fn payload(packet: &[u8]) -> &[u8] {
    &packet[header_len(packet).expect("RTP")..]
}

#[test]
fn a_watched_session_shows_both_legs_in_the_clear() {
    let plans = [
        secured(plan(Side::A, Codec::Pcma)),
        plan(Side::B, Codec::Pcma),
    ];
    let mut call = Call::new(plans);
    call.run(ms(200));
    let now = call.now;
    let mut out = Outbox::new();
    let mut take = |session: &mut Session, from, packet: &mut media::Packet| {
        let source = address(from);
        session.receive(now, from, Channel::Rtp, source, packet, &mut out)
    };

    let mut unseen = call.peer(Side::A).say();
    take(&mut call.session, Side::A, &mut unseen).expect("it goes on");
    assert_eq!((call.session.came(), call.session.left()), (None, None));

    call.session.watch(true);
    let mut packet = call.peer(Side::A).say();
    let sealed = packet.as_slice().to_vec();
    let to = take(&mut call.session, Side::A, &mut packet).expect("it goes on");
    assert_eq!(to.to, Side::B);
    let came = call.session.came().expect("opened").to_vec();
    assert_eq!(came.len() + 10, sealed.len(), "an SRTP tag of 80 bits less");
    assert_ne!(payload(&came), &sealed[12..sealed.len() - 10]);
    assert_eq!(call.session.left(), Some(packet.as_slice()));
    assert_eq!(payload(&came), payload(packet.as_slice()), "the same G.711");

    let mut packet = call.peer(Side::B).say();
    let plain = packet.as_slice().to_vec();
    let to = take(&mut call.session, Side::B, &mut packet).expect("it goes on");
    assert_eq!(to.to, Side::A);
    assert_eq!(call.session.came(), Some(&plain[..]));
    let left = call.session.left().expect("sent");
    assert_eq!(payload(left), payload(&plain));
    assert_eq!(left.len() + 10, packet.len(), "on the wire it is sealed");

    let mut forged = call.peer(Side::A).say();
    let last = forged.len() - 1;
    forged.as_mut_slice()[last] ^= 1;
    take(&mut call.session, Side::A, &mut forged);
    assert_eq!(call.session.came(), None, "nobody believes it");

    call.session.watch(false);
    assert_eq!(call.session.left(), None);
}
