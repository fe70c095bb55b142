//! 100 calls with audio while strangers do their worst: 10,000 INVITEs a second from one address, 200 TLS connections that never
//! finish their handshake, 1,000 guesses of a password a second. No call ends, no audio is lost, and a new call gets through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::hostile;
use tests::load::{Generator, Pace, Talk};
use tests::metronome::undisturbed;
use tests::place::Place;
use tests::sbc::{NUMBER, Sbc, Setup};
use tests::simulated::{meta_address, pbx_address};

const CALLS: u32 = 100;
const ATTACK: Duration = Duration::from_secs(8);

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
    let stop = &AtomicBool::new(false);

    let mut talk = None;
    let ended = generator.hold(CALLS, Pace::AtOnce(16), |generator| {
        talk = Some(Talk::during(generator, |generator| {
            generator.carry_for(Duration::from_secs(1));
            std::thread::scope(|scope| {
                let began = Instant::now();
                let half_open = hostile::half_open(&strangers[..10], tls, 200);
                let (one, ca) = (place.address(61), authority.certificate.as_path());
                let flooding = scope.spawn(move || hostile::flood(one, sip, 10_000, stop));
                let guessing =
                    scope.spawn(|| hostile::guess(&strangers[10..], tls, ca, 1_000, stop));
                generator.carry_for(ATTACK / 2);
                assert_eq!(generator.ask(NUMBER), 200, "a new call gets through");
                generator.carry_for(ATTACK / 2);
                let took = began.elapsed().as_secs_f64();
                stop.store(true, Ordering::Relaxed);
                let flooded = flooding.join().expect("a flood");
                let guessed = guessing.join().expect("guesses");
                println!(
                    "flood: {:.0} INVITEs and {:.0} guesses a second, {} half-open connections, for {took:.1} s",
                    flooded as f64 / took,
                    guessed as f64 / took,
                    half_open.len()
                );
            });
        }));
    });
    assert_eq!(
        ended.done,
        CALLS + 1,
        "every call was ended by Meta and by nobody else"
    );
    let records = sbc.wait_for_records(CALLS as usize + 1, Duration::from_secs(20));
    let normal = records
        .iter()
        .filter(|record| record["cause"] == "normal")
        .count();
    assert_eq!(normal, CALLS as usize + 1);
    talk.expect("it was held")
        .assert_whole(&records, CALLS, 0.001);
    assert!(!sbc.running.log().contains("panicked"));
}
