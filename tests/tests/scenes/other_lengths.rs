//! A PBX that sends Opus in packets of another length than it was asked for; Meta takes 20 ms and nothing else.

use std::time::Duration;

use b2bua::{Input, Load};
use sdp::Codec;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx};
use sim::world::World;

/// Opus on both legs, from a PBX that calls these lengths its ptime.
fn world(ptime: u8) -> World {
    world_with(|b| {
        b.pbx.codecs = vec![Codec::Opus, Codec::TelephoneEvent];
        b.pbx.ptime = ptime;
        with_trunk(&mut b.settings, |t| {
            t.codecs = vec![Codec::Opus, Codec::TelephoneEvent]
        });
    })
}

fn lengths(of: &[u64]) -> Vec<Duration> {
    of.iter().copied().map(ms).collect()
}

/// Packets of the PBX, which is this leg of the call, that were coded anew by the record, and all it sent.
fn recut(story: &Story, leg: usize) -> (u64, u64) {
    let legs = &story.record().media.legs;
    assert_eq!(legs[1 - leg].recut, 0, "Meta's own are of its length");
    let pbx = &legs[leg];
    assert_eq!((pbx.lost, pbx.late, pbx.malformed), (0, 0, 0));
    (pbx.recut, pbx.packets_received)
}

#[test]
fn a_user_hears_an_agent_who_sends_packets_of_any_length_in_twenties() {
    for (ptime, of) in [
        (20, &[10][..]),
        (40, &[40]),
        (20, &[60]),
        (20, &[20, 20, 20, 40]),
        (20, &[60, 20, 10, 40, 10]),
    ] {
        let mut world = world(ptime);
        let mut agent = agent_answers(secs(1));
        agent.talk.packets = lengths(of);
        (agent.talk.digits_after, agent.talk.digits) = (Some(secs(4)), "5#".into());
        world.pbx.script(agent);
        let user = user().hanging_up_after(secs(10)).pressing(secs(7), "90");
        world.user_calls(user);
        let story = world.story(secs(60));
        // Meta's judge: 20 ms in every packet, one source, a line that keeps to its frames and to the clock.
        story.is_clean();
        assert_eq!(
            (story.digits(Meta), story.digits(Pbx)),
            ("5#".into(), "90".into()),
            "{of:?}"
        );
        for party in [Meta, Pbx] {
            let heard = story.heard(party);
            assert!(heard.tone_found, "{of:?}: {heard:?}");
            assert!(heard.level_error_db.abs() <= 2.0, "{of:?}: {heard:?}");
            assert_eq!((heard.ssrcs, heard.lost, heard.bad), (1, 0, 0), "{of:?}");
            // Two keys of somewhat more than 100 ms each, and a frame begun before and after.
            assert!(heard.longest_tone_gap_ms <= 260, "{of:?}: {heard:?}");
        }
        let (recut, sent) = recut(&story, 1);
        assert!(
            recut > sent / 2 && recut <= sent,
            "{of:?}: {recut} of {sent}"
        );
    }
}

#[test]
fn a_user_who_is_called_by_a_pbx_that_sends_sixty_milliseconds_hears_it() {
    let mut world = world(60);
    world.meta.script(user_answers(secs(2)));
    let mut agent = agent().hanging_up_after(secs(8));
    agent.talk.packets = lengths(&[60]);
    world.agent_calls(agent);
    let story = world.story(secs(60));
    story.is_clean();
    let user = story.heard(Meta);
    assert!(user.tone_found && user.tone_gaps == 0, "{user:?}");
    let (recut, sent) = recut(&story, 0);
    assert!(recut + 2 >= sent && sent > 100, "{recut} of {sent}");
}

#[test]
fn a_pbx_that_sends_twenty_milliseconds_is_not_coded_anew() {
    let mut world = world(20);
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(6)));
    let story = world.story(secs(60));
    story.is_clean();
    let (recut, sent) = recut(&story, 1);
    assert!(recut == 0 && sent >= 290, "{recut} of {sent}");
}

/// Whether another call finds room beside one that takes more than half of a media thread, and talks in packets of this length.
fn finds_room(length: u64) -> bool {
    let mut world = world(20);
    let mut agent = agent_answers(secs(1));
    agent.talk.packets = lengths(&[length]);
    world.pbx.script(agent);
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(4));
    let load = Load {
        media: 60,
        media_ran: 60,
        ..Load::default()
    };
    for _ in 0..3 {
        world.tell_core(Input::Load(load));
    }
    let mut other = user().hanging_up_after(secs(2));
    other.caller = "+12195550001".into();
    world.user_calls(other);
    world.pass(secs(1));
    world.core.counters().refused.get("overload") != Some(&1)
}

#[test]
fn a_call_that_is_coded_anew_weighs_what_one_weighs_that_is_transcoded() {
    // What takes so much and passes, leaves no room for another like it; what takes it because it is coded anew does.
    assert!(!finds_room(20));
    assert!(finds_room(40));
}
