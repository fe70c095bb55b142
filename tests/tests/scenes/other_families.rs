//! IPv6 on either side, and on one side only: brackets, c= lines, packets.

use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Passed, Places};

/// Every combination but IPv4 on both sides, which all other scenes are.
fn combinations() -> [(Places, bool, bool); 3] {
    let usual = Places::default();
    [
        (usual.with_meta_on_ipv6().with_pbx_on_ipv6(), true, true),
        (usual.with_meta_on_ipv6(), true, false),
        (usual.with_pbx_on_ipv6(), false, true),
    ]
}

/// The c= line of a description says this family, and there is no other.
fn speaks(message: &Passed, is_ipv6: bool) {
    let (right, wrong) = match is_ipv6 {
        true => ("c=IN IP6 ", "c=IN IP4 "),
        false => ("c=IN IP4 ", "c=IN IP6 "),
    };
    let body = message.body();
    assert!(body.contains(right) && !body.contains(wrong), "{body}");
    let origin = body.lines().find(|line| line.starts_with("o="));
    let family = right.trim_start_matches("c=").trim_end();
    assert!(origin.is_some_and(|line| line.contains(family)), "{body}");
}

#[test]
fn users_and_agents_hear_each_other_over_ipv6_on_either_side_or_both() {
    for (places, meta_is_6, pbx_is_6) in combinations() {
        let mut world = world_with(|b| b.move_to(places));
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(5)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let invite = story.messages(Sbc, Pbx, "INVITE")[0];
        speaks(invite, pbx_is_6);
        let answer = story.messages(Sbc, Meta, "SIP/2.0 200");
        speaks(answer[0], meta_is_6);
        assert_eq!(story.record().cause.label(), "normal");
    }
}

#[test]
fn agents_call_users_over_ipv6_on_either_side_or_both() {
    for (places, meta_is_6, pbx_is_6) in combinations() {
        let mut world = world_with(|b| b.move_to(places));
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(5)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        speaks(story.messages(Sbc, Meta, "INVITE")[0], meta_is_6);
        let ok = story.messages(Sbc, Pbx, "SIP/2.0 200");
        speaks(ok[0], pbx_is_6);
    }
}

#[test]
fn an_address_of_ours_stands_in_brackets_wherever_a_pbx_reads_it() {
    let places = Places::default().with_pbx_on_ipv6();
    let mut world = silent_world_with(|b| b.move_to(places));
    world.user_calls(user().hanging_up_after(secs(2)));
    let story = world.story(secs(60));
    story.is_clean();
    let invite = story.messages(Sbc, Pbx, "INVITE")[0];
    let start = "INVITE sip:+17125550259@[fd00::20];transport=udp SIP/2.0";
    assert!(invite.text.starts_with(start), "{}", invite.text);
    for (name, part) in [
        ("Via", "SIP/2.0/UDP [fd00::5]:5060;rport;branch="),
        ("Contact", "<sip:+12195550714@[fd00::5]:5060;transport=udp>"),
        ("From", "<sip:+12195550714@[fd00::5]:5060>;tag="),
        ("To", "<sip:+17125550259@[fd00::20]>"),
    ] {
        let value = invite.header(name).expect(name);
        assert!(value.contains(part), "{name}: {value}");
    }
    // Their answer's Via is ours with where it came from, without brackets (RFC 3261 §20.42).
    let ok = story.messages(Pbx, Sbc, "SIP/2.0 200")[0];
    let via = ok.header("Via").expect("a Via");
    assert!(via.contains("received=fd00::5"), "{via}");
    // And the goodbye went to the Contact the PBX wrote with brackets.
    let bye = story.messages(Sbc, Pbx, "BYE sip:")[0];
    assert!(bye.text.contains("@[fd00::20]:5060"), "{}", bye.text);
}

#[test]
fn hold_transfer_and_a_telephone_that_moves_work_over_ipv6_too() {
    let places = Places::default().with_meta_on_ipv6().with_pbx_on_ipv6();
    let mut world = world_with(|b| b.move_to(places));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(12)));
    world.pass(secs(3));
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(1));
    world.now(|world, now| world.pbx.hold(now, None, false));
    world.pass(secs(1));
    world.now(|world, now| world.pbx.move_telephone(now, None));
    world.pass(secs(1));
    world.pbx.script(agent_answers(secs(1)));
    let referral = sim::pbx::refer::Referral::blind("201");
    world.now(|world, now| world.pbx.refer(now, None, &referral));
    let story = world.story(secs(120));
    story.is_clean();
    let user = story.heard(Meta);
    assert!(user.tone_found && user.ssrcs == 1, "{user:?}");
    let invites = story.messages(Sbc, Pbx, "INVITE");
    let colleague = invites.last().expect("the colleague is called");
    assert!(
        colleague.text.starts_with("INVITE sip:201@[fd00::20]"),
        "{}",
        colleague.text
    );
}
