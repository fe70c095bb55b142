//! Hold, in all its dialects: answered here, never one byte of it to Meta (Meta reference 5.3, 10.9).

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// How a PBX says "hold".
#[derive(Clone, Copy, Debug)]
enum Dialect {
    SendOnly,
    Inactive,
    /// RFC 2543: the address becomes 0.0.0.0.
    Nowhere,
}

/// A user is put on hold for so long; the PBX is mute meanwhile unless it plays music.
fn held(dialect: Dialect, seconds: u64) {
    let mut world = world();
    world.tamper(move |from, _, text| {
        let hold = from == Pbx && text.starts_with("INVITE") && text.contains("a=sendonly");
        Some(match (hold, dialect) {
            (false, _) | (_, Dialect::SendOnly) => text.to_owned(),
            (_, Dialect::Inactive) => refitted(&text.replace("a=sendonly", "a=inactive")),
            (_, Dialect::Nowhere) => {
                let nowhere = text.replace("c=IN IP4 10.0.0.20", "c=IN IP4 0.0.0.0");
                refitted(&nowhere.replace("a=sendonly", "a=sendrecv"))
            }
        })
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(9 + seconds)));
    world.pass(secs(5));
    let music = matches!(dialect, Dialect::SendOnly);
    world.now(|world, now| {
        world.pbx.hold(now, None, true);
        world.pbx.mute(now, None, !music);
    });
    let signalling = world.messages(Sbc, Meta, "").len();
    world.pass(secs(1));
    let answer = world.messages(Sbc, Pbx, "SIP/2.0 200")[0].clone();
    let direction = match dialect {
        Dialect::SendOnly | Dialect::Nowhere => "a=recvonly",
        Dialect::Inactive => "a=inactive",
    };
    assert!(
        answer.body().contains(direction),
        "{dialect:?}: {}",
        answer.text
    );

    let to_pbx = world.packets.get(&(Sbc, Pbx)).copied().unwrap_or_default();
    let to_meta = world.packets.get(&(Sbc, Meta)).copied().unwrap_or_default();
    world.pass(secs(seconds));
    let to_pbx = world.packets.get(&(Sbc, Pbx)).copied().unwrap_or_default() - to_pbx;
    let to_meta = world.packets.get(&(Sbc, Meta)).copied().unwrap_or_default() - to_meta;
    assert!(
        to_pbx < 2 + seconds / 2,
        "{dialect:?}: who does not want to hear gets RTCP at most, got {to_pbx}"
    );
    assert!(
        to_meta >= 48 * seconds,
        "{dialect:?}: Meta gets a packet every 20 ms, got {to_meta}"
    );

    world.now(|world, now| {
        world.pbx.hold(now, None, false);
        world.pbx.mute(now, None, false);
    });
    world.pass(secs(3));
    assert_eq!(
        world.messages(Sbc, Meta, "").len(),
        signalling,
        "{dialect:?}\n{}",
        world.ladder()
    );
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(
        story.ended(Meta).by,
        "us",
        "{dialect:?}: the user hung up, no timer did"
    );
    let (user, agent) = (story.heard(Meta), story.heard(Pbx));
    assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{dialect:?}");
    // The agent listened before and afterwards.
    assert!(agent.packets > 300, "{dialect:?}: {agent:?}");
    assert!(
        (user.level_error_db.abs() <= 3.0) && user.packets >= 48 * (9 + seconds),
        "{dialect:?}: {user:?}"
    );
}

#[test]
fn the_agent_holds_with_music_and_comes_back() {
    held(Dialect::SendOnly, 5);
}

#[test]
fn the_agent_holds_in_silence_for_longer_than_metas_patience_and_comes_back() {
    held(Dialect::Inactive, 40);
}

#[test]
fn an_old_pbx_holds_by_an_address_of_zeros_and_comes_back() {
    held(Dialect::Nowhere, 5);
}

#[test]
fn a_hold_nobody_acknowledges_costs_no_call() {
    let mut world = silent_world();
    world.tamper(|from, to, text| {
        // The ACK of the re-INVITE is lost for good.
        let lost = from == Pbx && to == Sbc && text.starts_with("ACK");
        (!lost).then(|| text.to_owned())
    });
    world.user_calls(user().hanging_up_after(secs(60)));
    world.pass(secs(5));
    world.now(|world, now| world.pbx.hold(now, None, true));
    let story = world.story(secs(200));
    story.is_clean();
    assert!(story.ended(Meta).duration_ms >= 60_000);
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_hold_that_crosses_the_users_goodbye_leaves_nothing_behind() {
    let mut world = silent_world();
    let call = world.user_calls(user());
    world.pass(secs(5));
    world.now(|world, now| {
        world.meta.hang_up(now, Some(call));
        world.pbx.hold(now, None, true);
    });
    let story = world.story(secs(200));
    assert_eq!(story.ended(Pbx).by, "far");
    assert_eq!(story.record().cause.label(), "normal");
}
