//! Audio over networks that lose, overtake and double, and PBXs with habits of their own. The user's
//! app takes one SSRC and one timestamp line, whatever happens behind us (Meta reference 10.1).

use b2bua::Record;
use sim::report::Heard;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx};
use sim::world::World;

/// A call of 12 s in this world; what the user heard, what the agent heard, and the record.
fn talk(world: &mut World, complete: bool) -> (Heard, Heard, Record) {
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(12)));
    let story = world.story(secs(200));
    if complete {
        story.is_clean();
    }
    let (user, agent) = (story.heard(Meta).clone(), story.heard(Pbx).clone());
    assert_eq!(user.ssrcs, 1, "{user:?}");
    (user, agent, story.record().clone())
}

fn is_intelligible(heard: &Heard) {
    let well = heard.tone_share >= 0.97
        && heard.level_error_db.abs() <= 3.0
        && heard.longest_tone_gap_ms <= 80;
    assert!(well, "{heard:#?}");
}

#[test]
fn five_percent_of_the_agents_packets_are_lost_and_the_user_understands() {
    let mut world = world_with(|b| b.pbx_link.loss = 0.05);
    let (user, _, record) = talk(&mut world, true);
    is_intelligible(&user);
    assert_eq!(
        user.lost, 0,
        "what is missing is made up here, not passed on"
    );
    assert!(
        record.media.legs[1].concealed > ms(300),
        "{:?}",
        record.media.legs[1]
    );
}

#[test]
fn five_percent_of_the_users_packets_are_lost_and_the_agent_understands() {
    let mut world = world_with(|b| b.meta_link.loss = 0.05);
    // On the way to Meta packets are lost as well, which is not ours to mend: rules of its own
    // clock may complain.
    let (_, agent, record) = talk(&mut world, false);
    is_intelligible(&agent);
    assert!(record.media.legs[0].lost > 10, "{:?}", record.media.legs[0]);
}

#[test]
fn packets_that_overtake_each_other_are_heard_in_order() {
    let mut world = world_with(|b| b.pbx_link.overtaken = 0.05);
    let (user, _, record) = talk(&mut world, true);
    is_intelligible(&user);
    assert_eq!(user.lost, 0);
    assert!(
        record.media.legs[1].reordered > 10,
        "{:?}",
        record.media.legs[1]
    );
}

#[test]
fn packets_of_the_agent_that_come_twice_are_heard_once() {
    let mut world = world_with(|b| b.pbx_link.doubled = 0.2);
    let (user, _, record) = talk(&mut world, true);
    is_intelligible(&user);
    assert!((595..=610).contains(&user.packets), "{user:?}");
    assert!(
        record.media.legs[1].duplicates > 60,
        "{:?}",
        record.media.legs[1]
    );
}

#[test]
fn packets_of_the_user_that_come_twice_are_heard_once() {
    let mut world = world_with(|b| b.meta_link.doubled = 0.2);
    // On the way to Meta they come twice as well, which the simulated Meta takes for forgeries.
    let (_, agent, record) = talk(&mut world, false);
    is_intelligible(&agent);
    assert!((595..=610).contains(&agent.packets), "{agent:?}");
    // Over SRTP a copy is a replay.
    let leg = &record.media.legs[0];
    assert!(leg.undecryptable + leg.duplicates > 60, "{leg:?}");
}

#[test]
fn everything_at_once_and_still_one_voice() {
    let mut world = world_with(|b| {
        b.pbx_link.loss = 0.03;
        b.pbx_link.overtaken = 0.03;
        b.pbx_link.doubled = 0.03;
        b.pbx_link.jitter = ms(8);
    });
    let (user, _, _) = talk(&mut world, true);
    assert_eq!(user.lost, 0);
    assert!(
        user.tone_share >= 0.95 && user.longest_tone_gap_ms <= 100,
        "{user:#?}"
    );
}

/// Rewrites the PBX's audio from its `from`th packet on.
fn changed(world: &mut World, from: u32, change: impl Fn(&mut Vec<u8>) + 'static) {
    let mut count = 0;
    world.sieve(move |party, _, bytes| {
        let audio = party == Pbx && bytes.len() == 172;
        count += u32::from(audio);
        if audio && count > from {
            change(bytes);
        }
        true
    });
}

#[test]
fn a_transfer_inside_the_pbx_is_not_heard_as_a_new_source() {
    let mut world = world();
    // From one packet to the next: another SSRC, sequence and timestamp, marker set or not.
    changed(&mut world, 300, |bytes| {
        bytes[8] ^= 0x55;
        bytes[2] ^= 0x31;
        bytes[4] ^= 0x77;
    });
    let (user, _, _) = talk(&mut world, true);
    assert!(
        user.tone_found && user.longest_tone_gap_ms <= 60,
        "{user:#?}"
    );
    assert_eq!(user.lost, 0);
}

#[test]
fn a_timestamp_that_starts_anew_under_the_same_ssrc_is_played_on() {
    let mut world = world();
    changed(&mut world, 300, |bytes| {
        bytes[4] ^= 0x40;
        bytes[5] ^= 0x12;
    });
    let (user, _, _) = talk(&mut world, true);
    assert!(
        user.tone_found && user.longest_tone_gap_ms <= 60,
        "{user:#?}"
    );
    assert_eq!(user.lost, 0);
}

#[test]
fn a_pbx_that_sends_thirty_milliseconds_is_heard_in_twenties() {
    let mut world = world();
    // A box that makes two packets of 30 ms of three of 20 ms.
    let (mut kept, mut sequence, mut next) = (Vec::new(), 100_u16, None::<u32>);
    world.sieve(move |party, _, bytes| {
        if party != Pbx || bytes.len() != 172 {
            return true;
        }
        let timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        kept.extend_from_slice(&bytes[12..]);
        if kept.len() < 240 {
            return false;
        }
        let at = next.unwrap_or_else(|| timestamp.wrapping_sub(160));
        next = Some(at.wrapping_add(240));
        sequence += 1;
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&at.to_be_bytes());
        bytes.truncate(12);
        bytes.extend(kept.drain(..240));
        true
    });
    let (user, agent, _) = talk(&mut world, true);
    assert!(
        user.tone_found && user.tone_gaps == 0 && user.level_error_db.abs() <= 3.0,
        "{user:#?}"
    );
    assert!(
        (595..=610).contains(&user.packets),
        "twenty milliseconds each: {user:?}"
    );
    is_intelligible(&agent);
}

#[test]
fn rtp_header_extensions_of_the_pbx_stop_here() {
    let mut world = world();
    changed(&mut world, 0, |bytes| {
        bytes[0] |= 0x10;
        let extension = [0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0];
        bytes.splice(12..12, extension);
    });
    let (user, _, _) = talk(&mut world, true);
    assert!(user.tone_found && user.tone_gaps == 0, "{user:#?}");
}
