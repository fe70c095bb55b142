//! Where a call goes when the first place does not take it.

use std::sync::Arc;
use std::time::Duration;

use b2bua::Input;
use b2bua::cause::{Refusal, RefusalRule};
use b2bua::profile::PeerProfile;
use sip::{Target, Transport};

use crate::bench::{
    Bench, CARRIER, INVITE, PBX_ANSWER, carrier_flow, flow, pbx_flow, response, settings,
};

/// Two PBXs behind one trunk, pinged every 30 s if `ping`.
fn two_destinations(ping: bool) -> Bench {
    let mut settings = settings();
    let trunk = Arc::make_mut(&mut settings.trunks[0]);
    trunk.backups = vec![Target {
        host: "10.0.0.21".into(),
        ..trunk.target.clone()
    }];
    trunk.ping = ping.then_some(Duration::from_secs(30));
    Bench::with(settings)
}

fn invites(bench: &Bench) -> usize {
    bench
        .sent
        .iter()
        .filter(|(_, text)| text.starts_with("INVITE"))
        .count()
}

#[test]
fn a_pbx_in_trouble_hands_the_call_to_its_backup() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (first, invite) = bench.take("INVITE");
    bench.receive(
        pbx_flow(),
        &response(&invite, "503 Service Unavailable", "p", "", ""),
    );
    bench.take("ACK");
    let (second, invite) = bench.take("INVITE");
    assert_ne!(first, second);
    let contact = "Contact: <sip:agent@10.0.0.21:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&invite, "200 OK", "q", contact, PBX_ANSWER),
    );
    bench.take("ACK sip:agent@10.0.0.21:5060");
    bench.take("SIP/2.0 200");
}

#[test]
fn a_busy_extension_is_busy_on_every_pbx() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (_, invite) = bench.take("INVITE");
    bench.receive(pbx_flow(), &response(&invite, "486 Busy Here", "p", "", ""));
    bench.take("SIP/2.0 486");
    assert_eq!(invites(&bench), 0);
}

#[test]
fn a_pbx_that_says_nothing_is_left_for_its_backup_and_hung_up_should_it_wake() {
    let mut bench = two_destinations(false);
    bench.receive(carrier_flow(), INVITE);
    let (first, late) = bench.take("INVITE");
    bench.sent.clear();
    bench.pass(Duration::from_millis(3_900));
    assert!(
        bench.sent.iter().all(|(flow, _)| *flow == first),
        "only repeats to the first"
    );
    bench.pass(Duration::from_millis(200));
    bench.sent.retain(|(flow, _)| *flow != first);
    let (_, invite) = bench.take("INVITE");
    bench.receive(pbx_flow(), &response(&invite, "180 Ringing", "q", "", ""));
    // The first wakes up and answers: acknowledged and hung up, the second goes on ringing.
    let contact = "Contact: <sip:late@10.0.0.20:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&late, "200 OK", "p", contact, PBX_ANSWER),
    );
    bench.take("ACK sip:late@10.0.0.20:5060");
    let (_, bye) = bench.take("BYE sip:late@10.0.0.20:5060");
    bench.receive(
        pbx_flow(),
        &response(&bye, "200 OK", "p", "", "").replacen(";tag=p", "", 1),
    );
    let contact = "Contact: <sip:agent@10.0.0.21:5060>\r\n";
    bench.receive(
        pbx_flow(),
        &response(&invite, "200 OK", "q", contact, PBX_ANSWER),
    );
    bench.take("SIP/2.0 200");
    // The next call goes to the living one at once.
    let again = INVITE
        .replace("outgoing:wacid", "outgoing:wacid2")
        .replace("+12195550714@", "+12195550715@");
    bench.receive(
        carrier_flow(),
        &again.replace("branch=z9hG4bKPj1e", "branch=z9hG4bKPj2e"),
    );
    let (flow, _) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    assert_ne!(flow, first);
}

#[test]
fn a_pbx_that_answers_no_options_is_tried_last_until_it_does() {
    let mut bench = two_destinations(true);
    bench.pass(Duration::from_millis(1));
    bench.handle(Input::Tick);
    let (first, _) = bench.take("OPTIONS sip:10.0.0.20:5060;transport=udp");
    let answer_second = |bench: &mut Bench| {
        while let Some(i) = bench
            .sent
            .iter()
            .position(|(_, t)| t.starts_with("OPTIONS sip:10.0.0.21"))
        {
            let (_, options) = bench.sent.remove(i);
            bench.receive(pbx_flow(), &response(&options, "200 OK", "o", "", ""));
        }
    };
    for _ in 0..80 {
        answer_second(&mut bench);
        bench.pass(Duration::from_secs(1));
    }
    bench.sent.clear();
    bench.receive(carrier_flow(), INVITE);
    let (flow, _) = bench.take("INVITE");
    assert_ne!(flow, first, "two pings went unanswered");
}

const TROUBLE: &[RefusalRule] = &[RefusalRule {
    status: 503,
    text: None,
    meaning: Refusal {
        label: "carrier_trouble",
        sip: 503,
        q850: 41,
        hint: "",
        alarm: true,
        again: Some((Duration::from_secs(2), Duration::from_secs(5))),
    },
}];

/// A business call the carrier refuses with 503 and these headers; how many INVITEs it got in 6 s.
fn refused_with(headers: &str) -> (usize, Bench) {
    let mut settings = settings();
    let profile = PeerProfile {
        refusals: TROUBLE,
        ..CARRIER
    };
    settings.carrier.profile = Arc::new(profile);
    let mut bench = Bench::with(settings);
    bench.receive(
        pbx_flow(),
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         From: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\nContent-Length: 0\r\n\r\n",
    );
    let mut invites = 0;
    for _ in 0..60 {
        while let Some(i) = bench
            .sent
            .iter()
            .position(|(_, text)| text.starts_with("INVITE"))
        {
            let (id, invite) = bench.sent.remove(i);
            invites += 1;
            let meta = flow(id.0, Transport::Tls, "157.240.19.130:5061");
            bench.receive(
                meta,
                &response(&invite, "503 Service Unavailable", "m", headers, ""),
            );
        }
        bench.pass(Duration::from_millis(100));
    }
    (invites, bench)
}

#[test]
fn trouble_of_the_carrier_that_passes_is_tried_once_more() {
    let (invites, mut bench) = refused_with("");
    assert_eq!(invites, 2);
    bench.take("SIP/2.0 503");
    assert_eq!(bench.records.len(), 1);
    let (invites, mut bench) = refused_with("Retry-After: 120 (maintenance)\r\n");
    assert_eq!(
        invites, 1,
        "who is to come back in two minutes does not wait on the line"
    );
    bench.take("SIP/2.0 503");
}
