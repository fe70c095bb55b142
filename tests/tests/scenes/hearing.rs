//! What they hear: tones, digits, silence, loss (Meta reference 10, field notes on media).

use b2bua::Cause;
use b2bua::event::Happened;
use sdp::report::Unopened;
use sdp::{Codec, Side};
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

#[test]
fn the_first_packet_to_meta_is_ours_and_leaves_with_the_answer() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(3)));
    assert!(world.until(secs(20), |w| w.packets.contains_key(&(Sbc, Meta))));
    let (packet, answer) = (world.at(), world.messages(Sbc, Meta, "SIP/2.0 200")[0].at);
    assert!(
        packet >= answer && packet - answer <= ms(20),
        "{:?}",
        packet - answer
    );
    assert_eq!(world.packets.get(&(Meta, Sbc)), None, "Meta waits");
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn the_user_presses_digits_for_the_menu() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)).pressing(secs(2), "159*0#"));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Pbx), "159*0#");
    let lengths = story.all(Pbx, |w| match w {
        What::Digit { duration_ms, .. } => Some(*duration_ms),
        _ => None,
    });
    assert!(
        lengths.iter().all(|ms| (80..=140).contains(ms)),
        "{lengths:?}"
    );
    assert_eq!(story.record().digits, [6, 0]);
}

#[test]
fn digits_that_meta_sends_unasked_reach_the_menu() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user().hanging_up_after(secs(5)).pressing(secs(2), "7");
    call.no_dtmf_offer = true;
    world.user_calls(call);
    let story = world.story(secs(120));
    assert_eq!(story.digits(Pbx), "7");
}

#[test]
fn the_agents_digits_reach_the_user_on_the_audios_timestamp_line() {
    let mut world = world();
    world.meta.script(user_answers(secs(1)));
    world.agent_calls(agent().hanging_up_after(secs(6)).pressing(secs(2), "42#"));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.digits(Meta), "42#");
}

#[test]
fn a_pbx_that_says_nothing_for_forty_seconds_loses_no_call() {
    let mut world = world();
    let mut script = agent_answers(secs(1));
    script.talk.mute_after = Some(secs(3));
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(45)));
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(story.ended(Meta).by, "us", "the user hung up, no timer did");
    assert!(story.ended(Meta).duration_ms >= 45_000);
}

#[test]
fn a_pbx_that_never_says_a_word_loses_no_call_in_the_first_twenty_seconds() {
    let mut world = world();
    let mut script = agent_answers(secs(1));
    script.talk.mute_after = Some(ms(0));
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(25)));
    let story = world.story(secs(200));
    story.is_clean();
    assert!(story.ended(Meta).duration_ms >= 25_000);
}

#[test]
fn a_user_whose_media_stops_is_let_go_and_the_agent_too() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user();
    call.talk.mute_after = Some(secs(5));
    world.user_calls(call);
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(story.record().cause, Cause::MediaSilent(Side::A));
    let (meta, pbx) = (story.ended(Meta), story.ended(Pbx));
    assert_eq!((meta.by, pbx.by), ("far", "far"));
    assert!((24_000..27_000).contains(&meta.duration_ms), "{meta:?}");
}

#[test]
fn a_firewall_that_swallows_our_media_ends_the_call_after_twenty_seconds() {
    let mut world = world();
    world.sieve(|from, to, _| !(from == Sbc && to == Meta));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user());
    let story = world.story(secs(200));
    // Meta, which waits for our first packet, and we, who hear nothing of Meta, lose patience together.
    let (meta, pbx) = (story.ended(Meta), story.ended(Pbx));
    assert!((19_900..20_500).contains(&meta.duration_ms), "{meta:?}");
    assert_eq!(pbx.by, "far");
}

#[test]
fn a_firewall_that_closes_in_mid_call_lets_meta_end_it_thirty_seconds_later() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user());
    world.pass(secs(10));
    world.sieve(|from, to, _| !(from == Sbc && to == Meta));
    let story = world.story(secs(200));
    let meta = story.ended(Meta);
    assert!(
        (38_000..40_500).contains(&meta.duration_ms) && meta.by == "us",
        "{meta:?}"
    );
}

#[test]
fn single_lost_packets_of_the_agent_leave_no_hole_for_the_user() {
    let mut world = world();
    let mut count = 0_u32;
    world.sieve(move |from, _, bytes| {
        count += u32::from(from == Pbx && bytes.len() > 100);
        !(from == Pbx && count % 30 == 29)
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(20)));
    let story = world.story(secs(200));
    story.is_clean();
    let heard = story.heard(Meta);
    assert!(
        heard.tone_found && heard.longest_tone_gap_ms <= 40,
        "{heard:#?}"
    );
    assert_eq!(heard.lost, 0, "what is missing is made up, not passed on");
    let leg = &story.record().media.legs[1];
    assert!(leg.lost > 20 && leg.concealed > ms(400), "{leg:?}");
}

#[test]
fn lost_packets_of_the_user_leave_no_hole_for_the_agent() {
    let mut world = world_with(|b| b.meta_link.loss = 0.03);
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(20)));
    let story = world.story(secs(200));
    let heard = story.heard(Pbx);
    assert!(
        heard.tone_found && heard.longest_tone_gap_ms <= 40,
        "{heard:#?}"
    );
    let leg = &story.record().media.legs[0];
    assert!(leg.lost > 5, "{leg:?}");
}

#[test]
fn packets_that_overtake_each_other_are_put_in_order() {
    let mut world = world_with(|b| b.pbx_link.jitter = ms(25));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(10)));
    let story = world.story(secs(200));
    story.is_clean();
    let heard = story.heard(Meta);
    assert!(
        heard.tone_found && heard.longest_tone_gap_ms <= 40,
        "{heard:#?}"
    );
    assert!(story.record().media.legs[1].reordered > 0);
}

#[test]
fn hold_and_back_keep_one_ssrc_and_one_timestamp_line_for_the_user() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(16)));
    world.pass(secs(5));
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(3));
    world.now(|world, now| world.pbx.hold(now, None, false));
    let story = world.story(secs(120));
    story.is_clean();
    let heard = story.heard(Meta);
    assert_eq!((heard.ssrcs, heard.lost), (1, 0));
    assert!(heard.tone_found, "{heard:#?}");
}

#[test]
fn a_change_of_the_agents_telephone_in_mid_call_is_not_heard_as_a_new_source() {
    let mut world = world();
    // A transfer inside the PBX: from one moment to the next other SSRC, sequence and timestamps.
    let mut count = 0_u32;
    world.sieve(move |from, _, bytes| {
        if from == Pbx && bytes.len() > 100 {
            count += 1;
            if count > 200 {
                bytes[8] ^= 0x55;
                bytes[2] ^= 0x21;
                bytes[5] ^= 0x42;
            }
        }
        true
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(10)));
    let story = world.story(secs(120));
    story.is_clean();
    let heard = story.heard(Meta);
    assert!(
        heard.ssrcs == 1 && heard.tone_found && heard.longest_tone_gap_ms <= 60,
        "{heard:#?}"
    );
}

#[test]
fn forged_packets_from_meta_are_not_heard() {
    let mut world = world();
    let mut count = 0_u32;
    world.sieve(move |from, _, bytes| {
        if from == Meta {
            count += 1;
            if count.is_multiple_of(10) && bytes.len() > 30 {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }
        }
        true
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)));
    let story = world.story(secs(120));
    assert!(story.record().media.legs[0].undecryptable > 10);
    assert!(story.heard(Pbx).tone_found, "{:#?}", story.heard(Pbx));
}

#[test]
fn the_moment_packets_of_meta_can_no_longer_be_opened_is_told_once_each_time() {
    let mut world = world();
    let mut count = 0_u32;
    world.sieve(move |from, _, bytes| {
        if from == Meta {
            count += 1;
            // Two seconds of it after five, and again after twenty more.
            if (250..350).contains(&count) || (1_350..1_450).contains(&count) {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }
        }
        true
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(40)));
    let count = |world: &World| {
        let all = world.events.iter();
        all.filter(|event| match &event.happened {
            Happened::Unopened { side, why, .. } => {
                assert_eq!((*side, *why), (Side::A, Unopened::Tag));
                true
            }
            _ => false,
        })
        .count()
    };
    for (until, told) in [(5, 0), (9, 1), (24, 1), (31, 2)] {
        while world.at() < secs(until) {
            world.pass(ms(100));
        }
        assert_eq!(count(&world), told, "after {until} s");
    }
    let story = world.story(secs(120));
    let leg = &story.record().media.legs[0];
    assert!((198..=202).contains(&leg.undecryptable), "{leg:?}");
}

#[test]
fn the_short_srtp_suite_is_spoken_where_meta_offers_it() {
    let mut world = world_with(|b| {
        with_number(&mut b.settings, |n| {
            n.suites = vec![
                sdp::Suite::AesCm128HmacSha1_80,
                sdp::Suite::AesCm128HmacSha1_32,
            ];
        });
    });
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user().hanging_up_after(secs(4));
    call.suite = "AES_CM_128_HMAC_SHA1_32".into();
    world.user_calls(call);
    world.story(secs(120)).is_clean().both_heard_each_other();
}

#[test]
fn every_codec_pair_carries_both_voices() {
    for meta in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
        for pbx in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
            let mut world = world_with(|b| {
                b.meta.numbers[0].g711 = true;
                with_number(&mut b.settings, |n| {
                    n.codecs = vec![meta, Codec::TelephoneEvent]
                });
                b.pbx.codecs = vec![pbx, Codec::TelephoneEvent];
                with_trunk(&mut b.settings, |t| {
                    t.codecs = vec![pbx, Codec::TelephoneEvent]
                });
            });
            world.pbx.script(agent_answers(secs(1)));
            world.user_calls(user().hanging_up_after(secs(4)));
            let story = world.story(secs(120));
            story.is_clean().both_heard_each_other();
            let legs: Vec<Codec> = story
                .record()
                .legs
                .iter()
                .flatten()
                .map(|leg| leg.codec)
                .collect();
            assert_eq!(legs, [meta, pbx]);
        }
    }
}

#[test]
fn the_agents_first_word_is_not_clipped_however_long_the_way_to_meta_takes() {
    for codec in [Codec::Pcma, Codec::Opus] {
        // 200 ms each way: what the agent says in the first 400 ms would be lost on the way.
        let mut world = world_with(|b| {
            b.meta_link = sim::net::Link::after(ms(200));
            b.pbx.codecs = vec![codec, Codec::TelephoneEvent];
            with_trunk(&mut b.settings, |t| {
                t.codecs = vec![codec, Codec::TelephoneEvent]
            });
        });
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(20)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let record = story.record();
        let leg = &record.media.legs[0];
        assert_eq!(leg.clipped, 0, "{leg:?}");
        assert!((ms(300)..=ms(500)).contains(&leg.held), "{leg:?}");
        let to_user = record.answer_to_first_audio(sdp::Side::A);
        let to_agent = record.answer_to_first_audio(sdp::Side::B);
        assert!(
            (ms(380)..=ms(480)).contains(&to_user.unwrap()),
            "{to_user:?}"
        );
        assert!(
            (ms(380)..=ms(480)).contains(&to_agent.unwrap()),
            "{to_agent:?}"
        );
    }
}

#[test]
fn the_first_word_of_an_agent_who_called_is_not_clipped_either() {
    for codec in [Codec::Pcma, Codec::Opus] {
        let mut world = world_with(|b| {
            b.meta_link = sim::net::Link::after(ms(200));
            b.pbx.codecs = vec![codec, Codec::TelephoneEvent];
            with_trunk(&mut b.settings, |t| {
                t.codecs = vec![codec, Codec::TelephoneEvent]
            });
        });
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(20)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let record = story.record();
        let leg = &record.media.legs[1];
        assert_eq!(leg.clipped, 0, "{leg:?}");
        assert!((ms(300)..=ms(500)).contains(&leg.held), "{leg:?}");
        for side in Side::BOTH {
            let first = record.answer_to_first_audio(side);
            assert!(
                first.is_some_and(|after| after <= ms(480)),
                "{side:?}: {first:?}"
            );
        }
    }
}

#[test]
fn a_user_who_falls_silent_is_named_in_the_log_long_before_the_call_ends() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user();
    call.talk.mute_after = Some(secs(5));
    world.user_calls(call);
    let cause = world.story(secs(200)).record().cause.label();
    assert_eq!(cause, "media_silent");
    assert_eq!(warnings(&world, "no audio from leg A (meta) for 10s"), 1);
}

#[test]
fn an_agent_who_says_nothing_is_named_in_the_log_and_keeps_the_call() {
    let mut world = world();
    let mut script = agent_answers(secs(1));
    script.talk.mute_after = Some(secs(3));
    world.pbx.script(script);
    world.user_calls(user().hanging_up_after(secs(45)));
    let cause = world.story(secs(200)).record().cause.label();
    assert_eq!(cause, "normal");
    assert_eq!(warnings(&world, "no audio from leg B (pbx) for 10s"), 1);
}

fn warnings(world: &sim::world::World, text: &str) -> usize {
    world
        .log
        .iter()
        .filter(|line| line.text.contains(text))
        .count()
}

/// A world whose trunk lets an agent go who is silent for so long.
fn impatient_with_agents(patience: std::time::Duration) -> sim::world::World {
    world_with(|b| {
        with_trunk(&mut b.settings, |t| {
            let mut profile = (*t.profile).clone();
            profile.inactivity = Some(patience);
            t.profile = profile.into();
        });
    })
}

#[test]
fn an_agent_who_falls_silent_is_let_go_where_the_trunk_says_so() {
    let mut world = impatient_with_agents(secs(15));
    let mut script = agent_answers(secs(1));
    script.talk.mute_after = Some(secs(5));
    world.pbx.script(script);
    world.user_calls(user());
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(story.record().cause, Cause::MediaSilent(Side::B));
    let meta = story.ended(Meta);
    assert!((19_000..22_000).contains(&meta.duration_ms), "{meta:?}");
}

#[test]
fn an_agent_on_hold_may_be_silent_and_is_let_go_only_for_silence_behind_it() {
    let mut world = impatient_with_agents(secs(15));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user());
    world.pass(secs(5));
    world.now(|world, now| {
        world.pbx.hold(now, None, true);
        world.pbx.mute(now, None, true);
    });
    world.pass(secs(60));
    assert!(world.records.is_empty(), "a minute of hold in silence");
    world.now(|world, now| world.pbx.hold(now, None, false));
    let back = world.at();
    assert!(world.until(secs(60), |world| !world.records.is_empty()));
    let after = world.at() - back;
    assert!((secs(15)..secs(17)).contains(&after), "{after:?}");
    let story = world.story(secs(200));
    story.is_clean();
    assert_eq!(story.record().cause, Cause::MediaSilent(Side::B));
}
