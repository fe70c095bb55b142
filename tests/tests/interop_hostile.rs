//! Strangers at every port while a call talks: 100,000 mutated messages and packets over TLS, UDP, TCP and at the RTP ports.
//! The call does not notice, and neither does the next one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::baresip::Codec;
use tests::certificates::Authority;
use tests::hostile::{at_media, over_tcp, over_tls, over_udp};
use tests::phones::{Caller, Phones};
use tests::place::Place;
use tests::sbc::Sbc;
use tests::tools::present;

// 100,000 in all.
const UDP: usize = 40_000;
const TLS: usize = 25_000;
const TCP: usize = 5_000;
const MEDIA: usize = 30_000;

#[test]
fn a_hundred_thousand_broken_messages_leave_the_call_untouched() {
    let story = "hostile";
    if !present(story, &["baresip"]) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let mut phones = Phones::start(
        &place,
        &authority,
        Caller::User,
        (Codec::Opus, Codec::Pcma),
        280.0,
    );
    phones.connect(Caller::User);
    let media = media_ports(&phones.sbc);
    assert!(media.len() >= 2, "the call's RTP ports are open: {media:?}");

    let began = Instant::now();
    let (tls, sip, ca) = (
        phones.sbc.tls,
        phones.sbc.sip,
        authority.certificate.as_path(),
    );
    let (stranger, other, third) = (place.address(61), place.address(62), place.address(63));
    std::thread::scope(|scope| {
        scope.spawn(move || over_udp(stranger, sip, UDP, 1));
        scope.spawn(move || over_tls(stranger, tls, ca, TLS, 2));
        scope.spawn(move || over_tcp(other, sip, TCP, 3));
        scope.spawn(|| at_media(&[other, third], &media, MEDIA, 4));
    });
    let attacked = began.elapsed();
    // The audio of the whole attack is judged, and at least ten seconds of it.
    std::thread::sleep(Duration::from_secs(12).saturating_sub(attacked));
    assert!(
        phones.sbc.running.alive(),
        "wa-sbc is still there: {}",
        phones.sbc.running.tail()
    );
    assert!(phones.talking(), "the call is still up after {attacked:?}");
    phones.hang_up(true);
    let judged = (attacked.as_secs_f64() - 1.5).clamp(10.0, 250.0);
    let (at_user, at_desk) = phones
        .verdict(judged)
        .unwrap_or_else(|why| panic!("during the attack: {why}"));
    println!("{story}: attacked for {attacked:.1?}; user heard {at_user}; desk heard {at_desk}");

    let log = phones.sbc.running.log();
    assert!(!log.contains("panicked"), "nothing a stranger sends panics");
    assert_eq!(
        phones
            .sbc
            .wait_for_records(1, Duration::from_secs(10))
            .len(),
        1,
        "and nothing of it became a call"
    );
    phones.connect(Caller::User);
}

// The UDP ports of wa-sbc from the media range.
fn media_ports(sbc: &Sbc) -> Vec<SocketAddr> {
    sbc.running
        .udp_sockets()
        .iter()
        .filter_map(|socket| {
            let (address, port) = socket.split_once(':')?;
            let octets = u32::from_str_radix(address, 16).ok()?.to_le_bytes();
            let port = u16::from_str_radix(port, 16).ok()?;
            (20_000..30_000)
                .contains(&port)
                .then(|| SocketAddr::from((octets, port)))
        })
        .collect()
}
