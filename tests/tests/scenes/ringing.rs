//! What an agent hears of ringing while a WhatsApp user's phone rings, or says nothing of it.

use b2bua::comfort::Ringback;
use media::source;
use sim::meta::knobs::BusinessScript;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

/// A user whose Meta says nothing of ringing, and who picks up after so long.
fn silently(answers_after: u64) -> BusinessScript {
    let mut script = user_answers(secs(answers_after));
    script.ring = None;
    script
}

fn with_ringback(ringback: Ringback) -> World {
    world_with(|b| with_trunk(&mut b.settings, |t| t.comfort.ringback = ringback))
}

/// Statuses above 100 the agent's telephone got, each with whether it had SDP.
fn progress(story: &Story<'_>) -> Vec<(u16, bool)> {
    story.all(Pbx, |what| match what {
        What::Progress { status, body } if *status > 100 => Some((*status, *body)),
        _ => None,
    })
}

#[test]
fn an_agent_hears_ringing_after_three_seconds_though_meta_says_nothing() {
    let mut world = world();
    world.meta.script(silently(8));
    world.agent_calls(agent().hanging_up_after(secs(3)));
    assert!(!world.until(ms(2_900), |w| {
        !w.messages(Sbc, Pbx, "SIP/2.0 180").is_empty()
    }));
    assert!(world.until(ms(500), |w| !w.messages(Sbc, Pbx, "SIP/2.0 180").is_empty()));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(progress(&story), [(180, false)]);
}

#[test]
fn an_agent_whose_telephone_rings_by_itself_hears_nothing_of_us() {
    let mut world = with_ringback(Ringback::Off);
    world.meta.script(silently(6));
    world.agent_calls(agent().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(progress(&story), []);
}

#[test]
fn an_agent_hears_metas_own_ringing_once_and_no_tone_of_ours() {
    let tone = source::ringback("de").expect("Germany rings");
    let mut world = with_ringback(Ringback::Tone(tone));
    world.meta.script(user_answers(secs(8)));
    world.agent_calls(agent().hanging_up_after(secs(3)));
    assert!(!world.until(secs(7), |w| w.packets.contains_key(&(Sbc, Pbx))));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(progress(&story), [(180, false)]);
}

#[test]
fn an_agent_hears_the_tone_of_his_country_and_then_the_user_on_the_same_stream() {
    let tone = source::ringback("de").expect("Germany rings");
    let mut world = with_ringback(Ringback::Tone(tone));
    world.meta.script(silently(12));
    let mut call = agent().hanging_up_after(secs(4));
    call.talk.expect = Some(425.0);
    world.agent_calls(call);
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(progress(&story), [(183, true)]);
    let agent = story.heard(Pbx);
    // Rings at 3 s and 8 s; the user picks up at 12 s, and is heard for 4 s.
    assert_eq!((agent.ssrcs, agent.lost, agent.bad), (1, 0, 0), "{agent:?}");
    assert_eq!(agent.tone_gaps, 1, "one pause between two rings: {agent:?}");
    assert!(
        (3_900..=4_100).contains(&agent.longest_tone_gap_ms),
        "{agent:?}"
    );
    assert!(
        agent.longest_gap_ms <= 60,
        "never a broken stream: {agent:?}"
    );
    assert!(agent.packets >= 50 * 12, "{agent:?}");
    let user = story.heard(Meta);
    assert!(user.tone_found && user.tone_gaps == 0, "{user:?}");
    // The answer is the one of the 183, word for word.
    let early = story.messages(Sbc, Pbx, "SIP/2.0 183")[0].body();
    let answer = story.messages(Sbc, Pbx, "SIP/2.0 200")[0].body();
    assert_eq!(early, answer);
}

#[test]
fn an_agent_who_gives_up_while_our_tone_plays_leaves_nothing_behind() {
    let tone = source::ringback("us").expect("America rings");
    let mut world = with_ringback(Ringback::Tone(tone));
    world.meta.script(silently(30));
    world.agent_calls(agent().giving_up_after(secs(7)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "cancelled");
    assert_eq!(story.ended(Pbx).status, 487);
}

#[test]
fn a_user_who_declines_while_our_tone_plays_ends_it_with_her_status() {
    let tone = source::ringback("gb").expect("Britain rings");
    let mut world = with_ringback(Ringback::Tone(tone));
    let mut script = user_refuses(secs(6), 603, "Decline");
    script.ring = None;
    world.meta.script(script);
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.refused(Pbx).0, 603);
    assert!(world_packets(&story) > 100, "the tone was heard");
}

fn world_packets(story: &Story<'_>) -> u64 {
    story.heard(Pbx).packets
}

#[test]
fn an_agent_hears_nothing_ring_while_meta_cannot_be_reached() {
    let mut world = silent_world_with(|b| b.meta_link.down = true);
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(progress(&story), []);
    assert_eq!(story.refused(Pbx).0, 503);
}

#[test]
fn two_phones_of_the_user_ring_and_the_agents_telephone_is_not_confused() {
    let mut world = world();
    let mut script = user_answers(secs(5));
    (script.ring, script.second_tag) = (Some((ms(400), 180)), true);
    world.meta.script(script);
    world.agent_calls(agent().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    let tags: std::collections::BTreeSet<String> = story
        .messages(Sbc, Pbx, "SIP/2.0 1")
        .iter()
        .filter_map(|m| {
            m.header("To")?
                .split_once(";tag=")
                .map(|(_, tag)| tag.to_owned())
        })
        .collect();
    assert_eq!(tags.len(), 1, "one telephone rings, as far as the PBX sees");
}
