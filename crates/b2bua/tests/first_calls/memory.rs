//! What an established call keeps in the core: everything signalling remembers of it, media apart.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::{
    Bench, INVITE, PBX_ANSWER, carrier_flow, carrier_request, pbx_flow, response, settings,
};

/// Calls whose share is measured. Tables double as they grow, so that the figure goes up and down with their number;
/// behind a power of two it is at its highest.
const CALLS: usize = 1_100;
/// What a call may keep while its transactions last, and afterwards.
const MOST: [u64; 2] = [8_500, 7_600];

/// The published INVITE as another call's.
fn invite(call: usize) -> String {
    INVITE
        .replace("12195550714", &format!("1219{call:07}"))
        .replace("Call-ID: ", &format!("Call-ID: {call:05}"))
        .replace(";branch=z9hG4bK", &format!(";branch=z9hG4bK{call:05}"))
        .replace(";tag=", &format!(";tag={call:05}"))
}

/// Octets that many more calls keep, each: while their transactions last, and afterwards.
fn kept(bench: &mut Bench, calls: std::ops::Range<usize>) -> [u64; 2] {
    let count = calls.len() as u64;
    let mut fresh = 0;
    let settled = allocation_counter::measure(|| {
        fresh = allocation_counter::measure(|| {
            for call in calls {
                let ok = established(bench, &invite(call));
                bench.receive(carrier_flow(), &carrier_request("ACK", &ok, 9989));
                bench.pass(Duration::from_millis(5));
                // What went out is no longer the core's.
                (bench.sent, bench.media) = (Vec::new(), Vec::new());
                bench.connects = Vec::new();
            }
        })
        .bytes_current;
        bench.pass(Duration::from_secs(40));
        (bench.sent, bench.media) = (Vec::new(), Vec::new());
    })
    .bytes_current;
    [fresh, settled].map(|octets| u64::try_from(octets).expect("calls take memory") / count)
}

fn established(bench: &mut Bench, invite: &str) -> String {
    bench.receive(carrier_flow(), invite);
    let (_, to_pbx) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    bench.receive(pbx_flow(), &response(&to_pbx, "180 Ringing", "p", "", ""));
    let contact = "Contact: <sip:agent@10.0.0.20:5060>\r\n";
    let answer = response(&to_pbx, "200 OK", "p", contact, PBX_ANSWER);
    bench.receive(pbx_flow(), &answer);
    bench.take("SIP/2.0 200").1
}

#[test]
fn an_established_call_keeps_less_than_8_kb_of_signalling() {
    let mut settings = settings();
    settings.max_calls = 100_000;
    Arc::make_mut(&mut settings.numbers[0]).limits.calls = 100_000;
    Arc::make_mut(&mut settings.trunks[0]).max_calls = 100_000;
    let mut bench = Bench::with(settings);
    // Whatever is made once.
    kept(&mut bench, 0..4);
    let [fresh, settled] = kept(&mut bench, 4..4 + CALLS);
    assert_eq!(bench.core.calls(), 4 + CALLS);
    println!("octets an established call keeps: {fresh} with its transactions, {settled} without");
    assert!(fresh < MOST[0], "{fresh}");
    assert!(settled < MOST[1], "{settled}");
    assert!(settled > 1_000, "the call was not counted: {settled}");
}
