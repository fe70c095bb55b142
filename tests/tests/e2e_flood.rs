//! 100 calls with audio while strangers do their worst: 10,000 INVITEs a second from one address, 200 TLS connections that never
//! finish their handshake, 1,000 guesses of a password a second. No call ends, no audio is lost, and a new call gets through.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::hostile;
use tests::load::{Generator, Pace};
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{NUMBER, Sbc, Setup};
use tests::simulated::{meta_address, pbx_address};

const CALLS: u32 = 100;
const ATTACK: Duration = Duration::from_secs(8);
/// Of all packets, so many may be lost.
const LOSS: f64 = 0.001;

/// What came of one line of audio at Meta: the first and the last sequence number (extended), and how many packets.
#[derive(Default)]
struct Line {
    first: u64,
    last: u64,
    packets: u64,
}

/// Speaks on every call, 20 ms of A-law at a time, until told to stop; how many packets on each.
fn speak(from: &UdpSocket, to: &[SocketAddr], stop: &AtomicBool) -> u64 {
    let (began, mut said) = (Instant::now(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let mut packet = vec![0x80, 8];
        packet.extend((said as u16).to_be_bytes());
        packet.extend((said as u32 * 160).to_be_bytes());
        packet.extend(0x5bc_u32.to_be_bytes());
        packet.extend([0x55; 160]);
        for port in to {
            from.send_to(&packet, port).expect("loopback carries it");
        }
        said += 1;
        std::thread::sleep(
            (Duration::from_millis(20) * said as u32).saturating_sub(began.elapsed()),
        );
    }
    said
}

/// Listens at Meta's media port until told to stop. The header of SRTP is in the clear.
fn listen(at: &UdpSocket, stop: &AtomicBool) -> HashMap<u32, Line> {
    at.set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout above zero");
    let mut lines: HashMap<u32, Line> = HashMap::new();
    let mut packet = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length @ 12..) = at.recv(&mut packet) else {
            continue;
        };
        // RTCP is not counted.
        if length < 100 || (200..=211).contains(&packet[1]) {
            continue;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let line = lines.entry(ssrc).or_default();
        if line.packets == 0 {
            (line.first, line.last) = (u64::from(sequence), u64::from(sequence));
        }
        let step = sequence.wrapping_sub(line.last as u16);
        if step < 0x8000 {
            line.last += u64::from(step);
        }
        line.packets += 1;
    }
    lines
}

#[test]
fn a_flood_that_a_hundred_calls_do_not_notice() {
    undisturbed(story);
}

fn story() {
    let place = Place::new("flood");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.meta_codecs = vec!["PCMA"];
    // Everybody else on the loopback network is a stranger.
    setup.meta_networks = format!("{}/32", meta_address(&place).ip());
    // A machine that is busy with other tests would refuse the new call, rightly.
    setup.tables =
        "[admission]\noverload_lag = 0\noverload_queue = 0\noverload_media = 0\n".to_owned();
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let mut generator = Generator::new(&place, &authority, &sbc);
    let (sip, tls) = (sbc.sip, sbc.tls);
    let strangers: Vec<_> = (100..140).map(|host| place.address(host)).collect();
    let (stop, quiet) = (&AtomicBool::new(false), &AtomicBool::new(false));

    let mut told = (0, HashMap::new());
    let ended = generator.hold(CALLS, Pace::AtOnce(16), |generator| {
        let ports = generator.rtp().to_vec();
        assert_eq!(ports.len(), CALLS as usize);
        let clone = |at: usize| generator.media()[at].try_clone().expect("a socket can be shared");
        let (meta, pbx) = (clone(0), clone(1));
        std::thread::scope(|scope| {
            let speaking = scope.spawn(|| speak(&pbx, &ports, stop));
            let listening = scope.spawn(|| listen(&meta, quiet));
            generator.carry_for(Duration::from_secs(1));

            let began = Instant::now();
            let half_open = hostile::half_open(&strangers[..10], tls, 200);
            let (one, ca) = (place.address(61), authority.certificate.as_path());
            let flooding = scope.spawn(move || hostile::flood(one, sip, 10_000, stop));
            let guessing = scope.spawn(|| hostile::guess(&strangers[10..], tls, ca, 1_000, stop));
            generator.carry_for(ATTACK / 2);
            assert_eq!(generator.ask(NUMBER), 200, "a new call gets through");
            generator.carry_for(ATTACK / 2);
            let took = began.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            let (flooded, guessed) = (flooding.join().expect("a flood"), guessing.join().expect("guesses"));
            println!(
                "flood: {:.0} INVITEs and {:.0} guesses a second, {} half-open connections, for {took:.1} s",
                flooded as f64 / took,
                guessed as f64 / took,
                half_open.len()
            );
            let said = speaking.join().expect("a voice");
            generator.carry_for(Duration::from_millis(500));
            quiet.store(true, Ordering::Relaxed);
            told = (said, listening.join().expect("an ear"));
        });
    });
    assert_eq!(
        ended.done,
        CALLS + 1,
        "every call was ended by Meta and by nobody else"
    );

    let (said, lines) = told;
    let whole = |line: &&Line| line.packets >= 50;
    let heard: Vec<&Line> = lines.values().filter(whole).collect();
    assert!(
        heard.len() >= CALLS as usize,
        "{} calls were heard",
        heard.len()
    );
    let expected: u64 = heard.iter().map(|line| line.last - line.first + 1).sum();
    let arrived: u64 = heard.iter().map(|line| line.packets).sum();
    let records = sbc.wait_for_records(CALLS as usize + 1, Duration::from_secs(20));
    let lost: u64 = records
        .iter()
        .filter_map(|record| record["pbx"]["lost"].as_u64())
        .sum();
    println!(
        "flood: {said} packets spoken on each of {CALLS} calls, {lost} lost on the way in; {arrived} of {expected} arrived at Meta"
    );
    let all = (said * u64::from(CALLS)) as f64;
    assert!(lost as f64 <= all * LOSS, "audio was lost under the flood");
    assert!(
        arrived as f64 >= expected as f64 * (1.0 - LOSS),
        "audio was lost under the flood"
    );
    assert!(
        arrived as f64 >= all * 0.95,
        "every call was heard all the time"
    );
    let normal = records
        .iter()
        .filter(|record| record["cause"] == "normal")
        .count();
    assert_eq!(normal, CALLS as usize + 1);
    assert!(!sbc.running.log().contains("panicked"));
}
