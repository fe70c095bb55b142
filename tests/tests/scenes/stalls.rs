//! A side stalls once a second, and then sends all it owes: a throttled thread, a telephone on Wi-Fi, a PBX in a virtual machine.

use b2bua::Record;
use sdp::Codec;
use sim::meta::knobs::Stalls;
use sim::report::Heard;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx};

/// Towards Meta, towards the PBX: passed on, passed on, decoded.
const WAYS: [[Codec; 2]; 3] = [
    [Codec::Opus, Codec::Opus],
    [Codec::Pcma, Codec::Pcma],
    [Codec::Opus, Codec::Pcma],
];
/// How long a stall lasts, in ms.
const STALLS: [u64; 3] = [50, 80, 150];

/// A call of 12.5 s between a user and an agent of whom one stalls; what the other heard, what the first heard, and the record.
fn talk([user, agent]: [Codec; 2], who: sim::world::Party, stall: u64) -> (Heard, Heard, Record) {
    let mut world = world_with(|b| {
        b.meta.numbers[0].g711 = true;
        with_number(&mut b.settings, |n| {
            n.codecs = vec![user, Codec::TelephoneEvent]
        });
        b.pbx.codecs = vec![agent, Codec::TelephoneEvent];
        with_trunk(&mut b.settings, |t| {
            t.codecs = vec![agent, Codec::TelephoneEvent]
        });
    });
    let stalls = Some(Stalls {
        every: secs(1),
        last: ms(stall),
    });
    let (mut caller, mut called) = (
        sim::scene::user().hanging_up_after(ms(12_500)),
        agent_answers(secs(1)),
    );
    match who {
        Meta => caller.talk.stalls = stalls,
        _ => called.talk.stalls = stalls,
    }
    world.pbx.script(called);
    world.user_calls(caller);
    let story = world.story(secs(200));
    // Of Meta's rules, too: one line, 20 ms each, never far from the clock.
    story.is_clean();
    let (stalled, other) = (
        story.heard(who),
        story.heard(if who == Meta { Pbx } else { Meta }),
    );
    (other.clone(), stalled.clone(), story.record().clone())
}

#[test]
fn whoever_stalls_once_a_second_is_heard_whole_and_hears_as_ever() {
    for way in WAYS {
        for (who, leg) in [(Meta, 0), (Pbx, 1)] {
            for stall in STALLS {
                let what = format!("{way:?} {who:?} {stall} ms");
                let (heard, by_the_other, record) = talk(way, who, stall);
                let passes = way[0] == way[1];
                // What was under way when they hung up was not heard any more. Where we decode, what surprised us is said faster.
                let faster = if passes { 0 } else { 2 * stall };
                let said = 20 * by_the_other.sent;
                assert!(
                    heard.tone_ms + 80 + faster >= said,
                    "{what}: {} ms of {said}",
                    heard.tone_ms
                );
                assert!(heard.level_error_db.abs() <= 3.0, "{what}: {heard:?}");
                assert_eq!((heard.lost, heard.ssrcs, heard.bad), (0, 1, 0), "{what}");
                let leg = &record.media.legs[leg];
                assert_eq!((leg.lost, leg.late), (0, 0), "{what}");
                // What was filled in while the first stall surprised us is caught up with: where payloads pass by the ear itself.
                let more = heard.packets.saturating_sub(by_the_other.sent);
                let filled = if passes { stall / 20 } else { 0 };
                assert!(
                    more <= filled + 2,
                    "{what}: {more} packets more than were said"
                );
                let well = by_the_other.tone_share >= 0.99 && by_the_other.tone_gaps == 0;
                assert!(well, "{what}: {by_the_other:?}");
            }
        }
    }
}
