//! What a user on hold hears: the PBX's music, else that of the trunk, else silence.

use media::tone::Tone;
use sdp::plan::Sound;
use sim::report::Heard;
use sim::scene::*;
use sim::world::Party::Meta;
use sim::world::World;

/// What the trunk plays, Hz.
const MUSIC_TONE: f64 = 700.0;

/// One second of it.
fn music() -> Sound {
    let mut pcm = vec![0; 8_000];
    Tone::new(MUSIC_TONE, -10.0).fill(&mut pcm);
    Sound::new(pcm).expect("a second of sound")
}

fn musical() -> World {
    world_with(|b| with_trunk(&mut b.settings, |t| t.comfort.hold_music = Some(music())))
}

/// A user talks for 4 s, is held for 6 s, and talks on; she listens for one tone.
fn held(mut world: World, listens_for: f64, pbx_plays: bool, inactive: bool) -> Heard {
    world.tamper(move |_, _, text| {
        let hold = inactive && text.starts_with("INVITE") && text.contains("a=sendonly");
        Some(match hold {
            true => refitted(&text.replace("a=sendonly", "a=inactive")),
            false => text.to_owned(),
        })
    });
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user().hanging_up_after(secs(14));
    call.talk.expect = Some(listens_for);
    world.user_calls(call);
    world.pass(secs(5));
    world.now(|world, now| {
        world.pbx.hold(now, None, true);
        world.pbx.mute(now, None, !pbx_plays);
    });
    world.pass(secs(6));
    world.now(|world, now| {
        world.pbx.hold(now, None, false);
        world.pbx.mute(now, None, false);
    });
    let story = world.story(secs(120));
    story.is_clean();
    let heard = story.heard(Meta).clone();
    assert_eq!((heard.ssrcs, heard.lost, heard.bad), (1, 0, 0), "{heard:?}");
    // The gaps of a whole call on hold: switching from one source to another is no broken stream.
    assert!(heard.longest_gap_ms <= 60, "{heard:?}");
    heard
}

#[test]
fn a_user_on_hold_hears_the_music_of_the_trunk_while_the_pbx_plays_none() {
    for inactive in [false, true] {
        let heard = held(musical(), MUSIC_TONE, false, inactive);
        assert!(heard.tone_found && heard.tone_gaps == 0, "{heard:?}");
        assert!(heard.level_error_db.abs() <= 3.0, "{heard:?}");
    }
}

#[test]
fn a_user_on_hold_hears_the_pbxs_own_music_and_nothing_else() {
    let heard = held(musical(), AGENT_TONE, true, false);
    assert!(heard.tone_found && heard.tone_gaps == 0, "{heard:?}");
    let heard = held(musical(), MUSIC_TONE, true, false);
    assert_eq!(heard.first_tone_ms, None, "{heard:?}");
}

#[test]
fn a_user_on_hold_hears_silence_where_nobody_chose_music() {
    let heard = held(world(), MUSIC_TONE, false, true);
    assert_eq!(heard.first_tone_ms, None, "{heard:?}");
    let heard = held(world(), AGENT_TONE, false, true);
    assert_eq!(
        heard.tone_gaps, 1,
        "the agent, a pause, the agent again: {heard:?}"
    );
}

#[test]
fn a_silent_agent_who_does_not_hold_is_not_drowned_in_music() {
    let mut world = musical();
    world.pbx.script(agent_answers(secs(1)));
    let mut call = user().hanging_up_after(secs(10));
    call.talk.expect = Some(MUSIC_TONE);
    world.user_calls(call);
    world.pass(secs(4));
    world.now(|world, now| world.pbx.mute(now, None, true));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.heard(Meta).first_tone_ms, None);
}
