//! What an operator reads when something outside is broken: the record, the log and the ladder name it in plain words. The
//! table of all faults is docs/faults.md.

use sdp::Codec;
use sim::meta::knobs::BusinessNumber;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;
use sip::Method;

/// The first line of the log with these words.
fn told(world: &World, words: &str) -> String {
    let line = world.log.iter().find(|line| line.text.contains(words));
    let line = line.unwrap_or_else(|| panic!("{words:?} is not in the log: {:#?}", world.log));
    line.text.clone()
}

#[test]
fn a_number_that_is_missing_in_the_configuration_is_named_in_the_log() {
    let mut world = silent_world_with(|b| {
        let other = BusinessNumber::new("+17120000000", HOST, 5061, PASSWORD);
        b.meta.numbers.push(other);
    });
    let mut call = user();
    call.number = "17120000000".into();
    world.user_calls(call);
    assert_eq!(world.story(secs(120)).refused(Meta).0, 404);
    let line = told(&world, "INVITE refused, unknown_number");
    assert!(
        line.contains("+1712…0000 is no number of the configuration"),
        "{line}"
    );
}

#[test]
fn a_number_called_at_another_host_is_named_with_the_host_it_has() {
    let mut world = silent_world_with(|b| b.meta.numbers[0].hostname = "other.example.com".into());
    world.user_calls(user());
    world.pass(secs(5));
    let line = told(&world, "INVITE refused, unknown_number");
    assert!(
        line.contains("is ours, but is called at another host"),
        "{line}"
    );
    assert!(line.contains(HOST), "{line}");
}

#[test]
fn a_number_whose_keying_fell_back_to_dtls_says_so_in_its_record() {
    let mut world = silent_world();
    world.tamper(|from, to, text| {
        let offer = from == Meta && to == Sbc && text.starts_with("INVITE");
        Some(match offer {
            true => refitted(&text.replace(" RTP/SAVP ", " UDP/TLS/RTP/SAVPF ")),
            false => text.to_owned(),
        })
    });
    world.user_calls(user());
    let story = world.story(secs(120));
    assert_eq!(story.refused(Meta).0, 488);
    let cause = &story.record().cause;
    assert_eq!(cause.label(), "no_common_media");
    assert!(cause.to_string().contains("UDP/TLS/RTP/SAVPF"), "{cause}");
    assert!(cause.hint().contains("keying"), "{}", cause.hint());
}

#[test]
fn a_pbx_without_a_common_codec_says_so_in_the_record() {
    let mut world = silent_world_with(|b| {
        b.pbx.codecs = vec![Codec::Pcmu, Codec::TelephoneEvent];
    });
    world.tamper(|from, _, text| {
        let answer = from == Pbx && text.starts_with("SIP/2.0 200") && text.contains("m=audio");
        Some(match answer {
            true => {
                let other = text.replace("RTP/AVP 8", "RTP/AVP 0");
                refitted(&other.replace("rtpmap:8 PCMA", "rtpmap:0 PCMU"))
            }
            false => text.to_owned(),
        })
    });
    world.pbx.settings_mut().codecs = vec![Codec::Pcma, Codec::TelephoneEvent];
    world.user_calls(user());
    let story = world.story(secs(120));
    let cause = &story.record().cause;
    assert!(cause.to_string().contains("codec"), "{cause}");
    assert!(cause.hint().contains("codecs"), "{}", cause.hint());
}

#[test]
fn a_range_of_media_ports_that_is_used_up_says_so_in_the_record() {
    let mut world = silent_world();
    world.no_ports = true;
    world.user_calls(user());
    let story = world.story(secs(120));
    let cause = &story.record().cause;
    assert!(cause.to_string().contains("no free media port"), "{cause}");
    assert!(cause.hint().contains("widen the range"), "{}", cause.hint());
}

#[test]
fn a_limit_that_is_reached_is_named_in_the_log() {
    let mut world = silent_world_with(|b| b.settings.max_calls = 1);
    world.user_calls(user());
    let mut second = user();
    second.caller = "+12195550715".into();
    world.user_calls(second);
    world.pass(secs(5));
    let line = told(&world, "INVITE refused, limit");
    assert!(line.contains("calls"), "{line}");
}

#[test]
fn a_pbx_that_is_silent_is_named_by_leg_in_the_record() {
    let mut world = silent_world();
    world.tamper(|_, to, text| (to != Pbx).then(|| text.to_owned()));
    world.user_calls(user());
    let story = world.story(secs(200));
    let cause = &story.record().cause;
    assert_eq!(cause.label(), "timeout");
    assert!(cause.to_string().contains("leg B"), "{cause}");
    assert!(cause.hint().contains("silent"), "{}", cause.hint());
}

#[test]
fn a_user_whose_packets_never_come_is_named_by_leg_in_the_record() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user();
    call.talk.mute_after = Some(secs(5));
    world.user_calls(call);
    let story = world.story(secs(200));
    let cause = &story.record().cause;
    assert!(cause.to_string().contains("leg A"), "{cause}");
    assert!(
        cause.hint().contains("no packet came from that leg"),
        "{}",
        cause.hint()
    );
}

#[test]
fn a_pbx_that_reinvites_in_a_loop_is_named_once_and_the_call_goes_on() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(30)));
    world.pass(secs(5));
    const SDP: (&str, &str) = ("Content-Type", "application/sdp");
    const CONTACT: (&str, &str) = ("Contact", "<sip:pbx@10.0.0.20:5060>");
    for turn in 0..40 {
        world.now(|world, now| {
            let body = world.pbx.description(1, turn % 2 == 0);
            world
                .pbx
                .ask_with(now, None, Method::Update, &[SDP, CONTACT], &body);
        });
        world.pass(ms(200));
    }
    assert_eq!(world.story(secs(120)).record().cause.label(), "normal");
    let words = "offers again and again";
    let line = told(&world, words);
    assert!(
        line.contains("leg B (pbx)") && line.contains("session timers"),
        "{line}"
    );
    let times = world
        .log
        .iter()
        .filter(|line| line.text.contains(words))
        .count();
    assert_eq!(times, 1, "said once a call");
    assert!(
        world.messages(Sbc, Meta, "UPDATE").is_empty(),
        "no word of it reaches Meta"
    );
}
