//! The messages of RFC 5118, told by a PBX that speaks IPv6: what is answered, and where the answer goes. The parser's part
//! stands in the tests of `sip`.

use std::net::SocketAddr;

use bytes::Bytes;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Places, World};
use sip::Transport;

/// Somebody at the PBX' address: heard, not a stranger.
fn neighbour() -> SocketAddr {
    "[fd00::20]:5062".parse().expect("an address")
}

fn ipv6() -> World {
    silent_world_with(|b| b.move_to(Places::default().with_pbx_on_ipv6()))
}

/// A request with the headers every one has.
fn told(uri: &str, method: &str, via: &str, lines: &str, body: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: \"T\" <sip:t@[fd00::20]>;tag=torture\r\n\
         To: <sip:u@[fd00::5]>\r\nCall-ID: 6@[fd00::20]\r\nCSeq: 42 {method}\r\nContact: <sip:t@[fd00::20]:5062>\r\n\
         {lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const VIA: &str = "SIP/2.0/UDP [fd00::20]:5062;branch=z9hG4bKt";

fn options(uri: &str, via: &str) -> String {
    told(uri, "OPTIONS", via, "", "")
}

/// What was answered, as the shell does it: what cannot be read is answered from its own bytes.
fn answers(text: &str) -> Vec<String> {
    let mut world = ipv6();
    let answers = match sip::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Err(malformed) => {
            let reply = malformed
                .reply()
                .map(|reply| String::from_utf8_lossy(&reply).into_owned());
            reply.into_iter().collect()
        }
        Ok(_) => {
            world.stranger_says(Transport::Udp, neighbour(), text);
            world.pass(secs(1));
            let mut finals = world.told_strangers.clone();
            finals.retain(|line| !line.starts_with("SIP/2.0 1"));
            finals.dedup();
            finals
        }
    };
    let story = world.story(secs(200));
    assert!(
        story.messages(Sbc, Meta, "").is_empty(),
        "nothing of it reaches Meta:\n{text}"
    );
    answers
}

#[test]
fn each_message_is_answered_and_its_vias_come_back_as_they_were() {
    let down = "SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200";
    let mixed = format!("{VIA}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKj\r\nVia: {down}");
    let received = |value: &str| {
        format!("{VIA}\r\nVia: SIP/2.0/UDP [2001:db8::9:1];received={value};branch=z9hG4bKas3")
    };
    for (section, text, status, part) in [
        (
            "4.1 an address in brackets",
            options("sip:[fd00::5]", VIA),
            200,
            VIA,
        ),
        (
            "4.2 an address without them",
            options("sip:fd00::5", VIA),
            400,
            "",
        ),
        (
            "4.3 a port inside them, which is none",
            options("sip:[fd00::5:5060]", VIA),
            200,
            VIA,
        ),
        (
            "4.4 a port outside",
            options("sip:[fd00::5]:5060", VIA),
            200,
            VIA,
        ),
        (
            "4.5 received with brackets",
            options("sip:[fd00::5]", &received("[2001:db8::9:255]")),
            200,
            "received=[2001:db8::9:255];branch=z9hG4bKas3",
        ),
        (
            "4.5 received without",
            options("sip:[fd00::5]", &received("2001:db8::9:255")),
            200,
            "received=2001:db8::9:255;branch=z9hG4bKas3",
        ),
        (
            "4.7 both families in one message",
            options("sip:[fd00::5]", &mixed),
            200,
            down,
        ),
        (
            "4.9 a mapped address in a Via",
            options(
                "sip:[fd00::5]",
                "SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
            ),
            200,
            "[::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19;received=fd00::20",
        ),
        (
            "4.10 the three colons of an old grammar",
            options(
                "sip:u@[2001:db8:::192.0.2.1]",
                &format!("{VIA}\r\nVia: SIP/2.0/UDP [2001:db8:::192.0.2.1];branch=z9hG4bK10"),
            ),
            200,
            "[2001:db8:::192.0.2.1];branch=z9hG4bK10",
        ),
        (
            "4.10 the two that are meant",
            options("sip:u@[2001:db8::192.0.2.1]", VIA),
            200,
            VIA,
        ),
    ] {
        let told = answers(&text);
        let right = told.len() == 1
            && told[0].starts_with(&format!("SIP/2.0 {status}"))
            && told[0].contains(part);
        assert!(right, "{section}: got {told:?} for\n{text}");
    }
}

/// 4.6: a call whose description has IPv6 addresses only.
#[test]
fn s4_6_a_call_described_in_ipv6_is_placed_and_answered_in_ipv6() {
    let sdp = "v=0\r\no=assistant 971731711378798081 0 IN IP6 fd00::20\r\ns=-\r\nc=IN IP6 fd00::20\r\nt=3338481189 3370017201\r\n\
               m=audio 6000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
    let uri = format!("sip:{USER}@[fd00::5]");
    let text = told(
        &uri,
        "INVITE",
        VIA,
        "Content-Type: application/sdp\r\n",
        sdp,
    )
    .replace("<sip:t@[fd00::20]>", &format!("<sip:{NUMBER}@[fd00::20]>"));
    let mut world = ipv6();
    world.meta.script(user_answers(secs(1)));
    world.stranger_says(Transport::Udp, neighbour(), &text);
    world.pass(secs(3));
    let ok = world
        .told_strangers
        .iter()
        .find(|text| text.starts_with("SIP/2.0 200"))
        .unwrap_or_else(|| panic!("no answer: {:?}", world.told_strangers));
    assert!(ok.contains("\r\nc=IN IP6 fd00::5\r\n"), "{ok}");
    assert!(ok.contains("\r\nt=3338481189 3370017201\r\n"), "{ok}");
    assert!(
        ok.contains("Contact: <sip:+12195550714@[fd00::5]:5060"),
        "{ok}"
    );
    assert!(!world.messages(Sbc, Meta, "ACK").is_empty());
}

/// 4.8: a stream of each family; the one that is audio counts, the other is refused and its family is no matter.
#[test]
fn s4_8_a_description_of_both_families_is_taken_by_its_audio_stream() {
    for places in [Places::default(), Places::default().with_pbx_on_ipv6()] {
        let mut world = silent_world_with(|b| b.move_to(places));
        world.tamper(|from, to, text| {
            let invite = (from, to) == (Pbx, Sbc) && text.starts_with("INVITE");
            Some(match invite {
                // The address moves from the session to the stream; video of the other family follows.
                true => {
                    let other = match text.contains("IN IP6") {
                        true => "IP4 192.0.2.1",
                        false => "IP6 2001:db8::1",
                    };
                    let line = text.lines().find(|line| line.starts_with("c=")).expect("a c= line");
                    let audio = text.lines().find(|line| line.starts_with("m=audio")).expect("audio");
                    let text = text
                        .replace(&format!("{line}\r\n"), "")
                        .replace(audio, &format!("{audio}\r\n{line}"));
                    refitted(&format!(
                        "{text}m=video 6024 RTP/AVP 107\r\nc=IN {other}\r\na=rtpmap:107 H263-1998/90000\r\n"
                    ))
                }
                false => text.to_owned(),
            })
        });
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(3)));
        let story = world.story(secs(120));
        let ok = story.messages(Sbc, Pbx, "SIP/2.0 200");
        let ok = ok
            .iter()
            .find(|ok| !ok.body().is_empty())
            .expect("an answer");
        assert!(ok.body().contains("m=video 0 RTP/AVP 107"), "{}", ok.body());
        assert!(!ok.body().contains("m=audio 0 "), "{}", ok.body());
        assert_eq!(story.record().cause.label(), "normal");
    }
}

/// 4.9: a mapped address is the IPv4 address it stands for.
#[test]
fn s4_9_packets_for_a_mapped_address_go_to_the_ipv4_address_it_stands_for() {
    let mut world = world();
    world.tamper(|from, to, text| {
        let offer = (from, to) == (Pbx, Sbc) && text.starts_with("INVITE");
        Some(match offer {
            true => refitted(&text.replace("IN IP4 10.0.0.20", "IN IP6 ::ffff:10.0.0.20")),
            false => text.to_owned(),
        })
    });
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(4)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
}
