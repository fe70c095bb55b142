//! Strangers at every port while a call talks: 100,000 mutated messages and packets over TLS, UDP, TCP and at the RTP ports.
//! The call does not notice, and the next one neither.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::hostile::{at_media, over_tcp, over_tls, over_udp};
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};

// 100,000 in all.
const UDP: usize = 40_000;
const TLS: usize = 25_000;
const TCP: usize = 5_000;
const MEDIA: usize = 30_000;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_hundred_thousand_broken_messages_leave_the_call_untouched() {
    let place = Place::new("hostile");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let speech = |speaks: [String; 4], more: &[&str]| -> Vec<String> {
        speaks
            .into_iter()
            .chain(more.iter().map(|one| (*one).to_owned()))
            .collect()
    };
    let desk = speech(agent_speaks(), &["--exit-after", "2", "--at-most", "300"]);
    let user = speech(
        user_speaks(),
        &["--calls", "1", "--exit-after", "2", "--at-most", "300"],
    );
    let mut desk = Simulated::pbx(
        &place,
        "pbx",
        &desk.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut user = Simulated::meta(
        &place,
        &authority,
        "meta",
        &user.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    user.wait_for("confirmed", 1, SOON);
    let media = media_ports(&sbc);
    assert!(media.len() >= 2, "the call's RTP ports are open: {media:?}");

    let before = sbc.running.resident_kib();
    let began = Instant::now();
    let (tls, sip, ca) = (sbc.tls, sbc.sip, authority.certificate.as_path());
    let (stranger, other, third) = (place.address(61), place.address(62), place.address(63));
    std::thread::scope(|scope| {
        scope.spawn(move || over_udp(stranger, sip, UDP, 1));
        scope.spawn(move || over_tls(stranger, tls, ca, TLS, 2));
        scope.spawn(move || over_tcp(other, sip, TCP, 3));
        // From strangers, and from the peers' own addresses: another port is not the peer.
        scope.spawn(|| {
            at_media(
                &[other, third, user.listen.ip(), desk.listen.ip()],
                &media,
                MEDIA,
                4,
            )
        });
    });
    let attacked = began.elapsed();
    let sockets = sbc.running.udp_sockets();
    let unread: u64 = sockets
        .iter()
        .map(|socket| sbc.running.udp_drops(socket))
        .sum();
    println!("hostile: {unread} datagrams were never read");
    assert!(
        unread < (UDP + MEDIA) as u64 / 10,
        "most of the attack reached wa-sbc"
    );
    std::thread::sleep(Duration::from_secs(12).saturating_sub(attacked));
    assert!(
        sbc.running.alive(),
        "wa-sbc is still there: {}",
        sbc.running.tail()
    );
    assert!(
        user.events("ended").is_empty() && desk.events("ended").is_empty(),
        "the call is still up"
    );
    user.running.say("hangup");
    user.wait_for("ended", 1, SOON);
    desk.wait_for("ended", 1, SOON);
    let heard = user
        .heard(0)
        .unwrap_or_else(|why| panic!("the user did not hear the agent under attack: {why}"));
    println!("hostile: {attacked:.1?} of attack; user heard {heard}");
    let heard = desk
        .heard(0)
        .unwrap_or_else(|why| panic!("the agent did not hear the user under attack: {why}"));
    println!("hostile: desk heard {heard}");
    println!(
        "hostile: {before} KiB before, {} KiB after",
        sbc.running.resident_kib()
    );

    // And the next call is as good as the first.
    user.running.say("call");
    user.wait_for("confirmed", 2, SOON);
    std::thread::sleep(Duration::from_secs(3));
    user.running.say("hangup");
    user.succeed(SOON);
    desk.succeed(SOON);
    user.heard(1)
        .unwrap_or_else(|why| panic!("the user does not hear the agent afterwards: {why}"));
    desk.heard(1)
        .unwrap_or_else(|why| panic!("the agent does not hear the user afterwards: {why}"));
    assert!(
        !sbc.running.log().contains("panicked"),
        "nothing a stranger sends panics"
    );
    let records = sbc.wait_for_records(2, SOON);
    assert_eq!(records.len(), 2, "nothing a stranger sent became a call");
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
