//! Strangers: scanners, replayers, guessers, and packets from nowhere.

use std::net::SocketAddr;

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sip::Transport;

const SOMEWHERE: &str = "198.51.100.66:5062";

fn somewhere() -> SocketAddr {
    SOMEWHERE.parse().expect("an address")
}

/// A plain request as scanners send it.
fn request(method: &str, uri: &str, transport: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {SOMEWHERE};branch=z9hG4bK-{method}-1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@198.51.100.66>;tag=scan\r\nTo: <{uri}>\r\nCall-ID: scan-{method}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:100@{SOMEWHERE}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The status lines of the final answers the stranger got, each once.
fn finals(world: &sim::World) -> Vec<&str> {
    let mut all: Vec<&str> = world
        .told_strangers
        .iter()
        .filter_map(|text| text.lines().next())
        .filter(|line| !line.starts_with("SIP/2.0 1"))
        .collect();
    all.dedup();
    all
}

#[test]
fn a_scanner_rings_no_telephone_and_learns_no_number() {
    let mut world = silent_world();
    for (transport, name, user) in [
        (Transport::Udp, "UDP", "+17125550259"),
        (Transport::Udp, "UDP", "100"),
        (Transport::Tls, "TLS", "00972595897084"),
        (Transport::Tls, "TLS", "+17120000000"),
    ] {
        world.told_strangers.clear();
        let invite = request("INVITE", &format!("sip:{user}@{HOST}"), name)
            .replace("z9hG4bK", &format!("z9hG4bK{user}"));
        world.stranger_says(transport, somewhere(), &invite);
        let told = finals(&world);
        let refused = told.len() == 1
            && (told[0].starts_with("SIP/2.0 403") || told[0].starts_with("SIP/2.0 404"));
        assert!(refused, "{name} {user}: {:?}", world.told_strangers);
    }
    let story = world.story(secs(200));
    story.is_clean();
    assert!(story.messages(Sbc, Pbx, "").is_empty());
    assert!(story.messages(Sbc, Meta, "").is_empty());
    assert_eq!(world.records.len(), 0);
    assert_eq!(world.core.counters().challenges, 0, "no digest oracle");
}

#[test]
fn a_scanner_who_guesses_a_number_meets_the_challenge() {
    let mut world = silent_world();
    let invite = request(
        "INVITE",
        &format!("sip:{NUMBER}@{HOST};transport=tls"),
        "TLS",
    );
    world.stranger_says(Transport::Tls, somewhere(), &invite);
    assert!(
        finals(&world)[0].starts_with("SIP/2.0 407"),
        "{:?}",
        world.told_strangers
    );
    let story = world.story(secs(200));
    assert!(story.messages(Sbc, Pbx, "").is_empty());
    assert_eq!(world.records.len(), 0);
}

#[test]
fn registering_and_other_noise_is_answered_and_forgotten() {
    let mut world = silent_world();
    for (method, status) in [
        ("REGISTER", "403"),
        ("BYE", "481"),
        ("OPTIONS", "200"),
        ("SUBSCRIBE", "405"),
        ("CANCEL", "481"),
    ] {
        world.told_strangers.clear();
        world.stranger_says(
            Transport::Udp,
            somewhere(),
            &request(method, "sip:100@10.0.0.5", "UDP"),
        );
        let told = finals(&world);
        assert!(
            told.len() == 1 && told[0].starts_with(&format!("SIP/2.0 {status}")),
            "{method}: {:?}",
            world.told_strangers
        );
    }
    world.story(secs(200)).is_clean();
}

#[test]
fn an_invite_that_was_recorded_and_played_again_rings_no_telephone() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(3)));
    world.story(secs(120)).is_clean();
    let recorded = world.messages(Meta, Sbc, "INVITE")[1].text.clone();
    assert!(recorded.contains("Proxy-Authorization"));
    let rung = world.messages(Sbc, Pbx, "INVITE").len();
    // Within the life of the nonce, and long after it.
    for (pause, branch) in [(secs(5), "one"), (secs(300), "two")] {
        world.pass(pause);
        world.told_strangers.clear();
        let again = recorded.replace("z9hG4bK", &format!("z9hG4bK{branch}"));
        world.stranger_says(Transport::Tls, somewhere(), &again);
        let told = finals(&world);
        assert!(
            told[0].starts_with("SIP/2.0 407"),
            "{:?}",
            world.told_strangers
        );
    }
    world.until_quiet(secs(120));
    assert_eq!(world.messages(Sbc, Pbx, "INVITE").len(), rung);
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_bye_with_guessed_tags_ends_nobodys_call() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(5));
    let bye = world.messages(Sbc, Pbx, "INVITE")[0].text.clone();
    let call_id = bye
        .lines()
        .find(|line| line.starts_with("Call-ID"))
        .unwrap_or_default();
    let guessed = request("BYE", "sip:100@10.0.0.5", "UDP")
        .replace("Call-ID: scan-BYE", call_id)
        .replace("To: <sip:100@10.0.0.5>", "To: <sip:100@10.0.0.5>;tag=guess");
    world.stranger_says(Transport::Udp, somewhere(), &guessed);
    assert!(
        finals(&world)[0].starts_with("SIP/2.0 481"),
        "{:?}",
        world.told_strangers
    );
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.ended(Meta).by, "us", "the user hung up, nobody else");
    assert!(story.ended(Meta).duration_ms >= 20_000);
}

#[test]
fn packets_from_nowhere_are_heard_by_nobody() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)));
    world.pass(secs(3));
    // A-law noise, well formed, from an address nobody named.
    for sequence in 0..100_u8 {
        let mut packet = vec![0x80, 8, 0x40, sequence, 0, 0, sequence, 0, 9, 9, 9, 9];
        packet.extend([0x55, 0x2a].repeat(80));
        world.stranger_throws(somewhere(), &packet);
        world.pass(ms(20));
    }
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let [a, b] = &story.record().media.legs;
    assert!(a.undecryptable >= 100 && b.foreign >= 100, "{a:?} {b:?}");
}

#[test]
fn a_pbx_that_asks_what_we_can_do_learns_what_holds_for_its_calls_and_a_stranger_learns_little() {
    for (from, learns) in [("10.0.0.20:5060", true), ("198.51.100.7:5060", false)] {
        let mut world = silent_world();
        let options = format!(
            "OPTIONS sip:10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKasks\r\n\
             From: <sip:a@{from}>;tag=a\r\nTo: <sip:10.0.0.5>\r\nCall-ID: asks\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let from = from.parse().expect("an address");
        world.stranger_says(sip::Transport::Udp, from, &options);
        let told = world.told_strangers.join("");
        assert!(told.contains("Accept: application/sdp\r\n"), "{told}");
        let allow = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS";
        let all = format!("{allow}, UPDATE, INFO, PRACK, REFER\r\n");
        let line = if learns { all } else { format!("{allow}\r\n") };
        assert!(told.contains(&line), "{told}");
        let supported = "Supported: 100rel, timer, replaces\r\n";
        assert_eq!(told.contains(supported), learns, "{told}");
    }
}

#[test]
fn nobody_becomes_meta_by_a_header() {
    let claim = "X-FB-External-Domain: wa.meta.vc";
    // A stranger is challenged like any other.
    let mut world = silent_world();
    let uri = format!("sip:{NUMBER}@{HOST};transport=tls");
    let invite = request("INVITE", &uri, "TLS").replace(
        "Content-Length",
        &format!("{claim}\r\nUser-Agent: Facebook SipGateway\r\nContent-Length"),
    );
    world.stranger_says(Transport::Tls, somewhere(), &invite);
    assert!(finals(&world)[0].starts_with("SIP/2.0 407"));
    assert_eq!(world.core.counters().admitted, 0);

    // The PBX stays the PBX: what it asks for is a call to a user.
    let mut world = silent_world();
    world.meta.script(user_answers(secs(1)));
    let mut call = agent().hanging_up_after(secs(2));
    call.headers = vec![("X-FB-External-Domain".into(), "wa.meta.vc".into())];
    world.agent_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(
        story.messages(Sbc, Meta, "INVITE").len(),
        2,
        "asked, challenged, asked"
    );
    let passed = story.messages(Sbc, Meta, "INVITE")[0];
    assert_eq!(passed.header("X-FB-External-Domain"), None);
    assert_eq!(story.record().direction.label(), "business_initiated");
}
