//! A PBX behind a NAT: its addresses are of no use outside, and the calls work all the same.

use std::sync::Arc;

use b2bua::profile::Nat;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Beginning, Places, World};
use sip::Transport;

fn behind_nat(transport: Transport) -> impl Fn(&mut Beginning) {
    move |b| {
        b.move_to(Places::default().with_pbx_behind_nat());
        b.pbx.sbc.transport = transport;
        with_trunk(&mut b.settings, |trunk| trunk.target.transport = transport);
    }
}

fn policy(b: &mut Beginning, nat: Nat) {
    with_trunk(&mut b.settings, |trunk| {
        Arc::make_mut(&mut trunk.profile).nat = nat;
    });
}

/// Everything we asked of the PBX arrived there.
fn all_arrived(world: &World) {
    for method in ["INVITE", "ACK", "BYE"] {
        let messages = world.messages(Sbc, Pbx, method);
        assert!(
            messages.iter().all(|message| message.arrived.is_some()),
            "{method}\n{}",
            world.ladder()
        );
    }
}

/// Our ACK reached the PBX, before the call was over.
fn is_acknowledged(world: &World) -> bool {
    let acks = world.messages(Sbc, Pbx, "ACK");
    acks.iter().any(|ack| ack.at < secs(2))
}

#[test]
fn a_user_who_calls_an_agent_behind_a_nat_hears_him_and_hangs_up() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = world_with(behind_nat(transport));
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(5)));
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        let bye = story.messages(Sbc, Pbx, "BYE")[0];
        assert!(
            bye.text
                .starts_with("BYE sip:+17125550259@192.168.178.20:5060"),
            "the name stays what the Contact says: {}",
            bye.text
        );
        assert_eq!(story.ended(Pbx).by, "far");
        all_arrived(&world);
    }
}

#[test]
fn an_agent_behind_a_nat_calls_a_user_who_hangs_up() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = world_with(behind_nat(transport));
        let mut script = user_answers(secs(1));
        script.talk.hang_up_after = Some(secs(5));
        world.meta.script(script);
        world.agent_calls(agent());
        let story = world.story(secs(120));
        story.is_clean().both_heard_each_other();
        assert_eq!(story.ended(Pbx).by, "far");
        let ok = story.messages(Sbc, Pbx, "SIP/2.0 200")[0];
        let via = ok.header("Via").expect("a Via");
        let seen = via.contains(";received=198.51.100.20");
        assert!(seen, "the PBX learns where it is seen: {via}");
        assert_eq!(
            via.contains(";rport=5060"),
            transport == Transport::Udp,
            "{via}"
        );
        all_arrived(&world);
    }
}

#[test]
fn an_agent_behind_a_nat_who_holds_and_moves_keeps_his_call() {
    let mut world = world_with(behind_nat(Transport::Udp));
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(8)));
    world.pass(secs(3));
    world.now(|world, now| world.pbx.hold(now, None, true));
    world.pass(secs(1));
    world.now(|world, now| world.pbx.hold(now, None, false));
    world.pass(secs(1));
    world.now(|world, now| world.pbx.move_telephone(now, None));
    let story = world.story(secs(120));
    story.is_clean();
    let user = story.heard(Meta);
    assert!(user.tone_found && user.ssrcs == 1, "{user:?}");
    all_arrived(&world);
}

#[test]
fn a_trunk_that_believes_contacts_loses_such_a_call_and_one_that_believes_none_keeps_it() {
    for (nat, kept) in [(Nat::Never, false), (Nat::Always, true), (Nat::Seen, true)] {
        let mut world = silent_world_with(|b| {
            behind_nat(Transport::Udp)(b);
            policy(b, nat);
        });
        world.user_calls(user().hanging_up_after(secs(2)));
        world.story(secs(300));
        assert_eq!(is_acknowledged(&world), kept, "{nat:?}\n{}", world.ladder());
    }
}

#[test]
fn inside_one_network_the_contact_of_another_host_is_believed_unless_the_trunk_says_otherwise() {
    for (nat, believed) in [(Nat::Seen, true), (Nat::Always, false)] {
        let mut world = silent_world_with(|b| policy(b, nat));
        // The proxy at 10.0.0.20 hands the call to a host of its own, and stays out of the dialog.
        world.tamper(|from, to, text| {
            let ok = (from, to) == (Pbx, Sbc) && text.starts_with("SIP/2.0 200");
            Some(match ok {
                true => text.replace(
                    "Contact: <sip:+17125550259@10.0.0.20:5060",
                    "Contact: <sip:+17125550259@10.0.0.21:5060",
                ),
                false => text.to_owned(),
            })
        });
        world.user_calls(user().hanging_up_after(secs(2)));
        world.pass(secs(60));
        // Nobody lives at 10.0.0.21 here: what goes there is not seen.
        assert_eq!(
            is_acknowledged(&world),
            !believed,
            "{nat:?}\n{}",
            world.ladder()
        );
        world.until_quiet(secs(300));
    }
}

#[test]
fn an_agent_whose_nat_gives_him_another_port_in_mid_call_still_hears_the_goodbye() {
    for (host, followed) in [("198.51.100.20", true), ("198.51.100.66", false)] {
        let mut world = silent_world_with(behind_nat(Transport::Udp));
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent());
        world.pass(secs(4));
        let dialog = world.pbx.replaces(None).expect("a call");
        let mut parts = dialog.split(['=', ';']);
        let call_id = parts.next().expect("a Call-ID");
        let (ours, theirs) = (parts.nth(1).expect("a tag"), parts.nth(1).expect("a tag"));
        let request = format!(
            "OPTIONS sip:x@203.0.113.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.178.20:5060;rport;branch=z9hG4bKnew\r\n\
             From: <sip:{NUMBER}@192.168.178.20>;tag={theirs}\r\nTo: <sip:x@203.0.113.20>;tag={ours}\r\n\
             Call-ID: {call_id}\r\nCSeq: 5000 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let from = format!("{host}:61000").parse().expect("an address");
        world.stranger_says(Transport::Udp, from, &request);
        world.pass(secs(1));
        world.now(|world, now| world.meta.hang_up(now, None));
        world.pass(secs(1));
        let told = world.told_strangers.join("\n");
        assert!(told.contains("SIP/2.0 200"), "{told}");
        assert_eq!(told.contains("BYE sip:"), followed, "{host}: {told}");
        assert_eq!(
            world.messages(Sbc, Pbx, "BYE").is_empty(),
            followed,
            "{host}"
        );
    }
}

#[test]
fn an_agent_behind_a_nat_who_has_called_before_is_called_and_hung_up() {
    for first_is_dead in [false, true] {
        let mut world = world_with(|b| {
            behind_nat(Transport::Udp)(b);
            with_trunk(&mut b.settings, |trunk| {
                let real = trunk.target.clone();
                if first_is_dead {
                    trunk.target.host = "10.0.0.99".into();
                    trunk.backups = vec![real];
                }
            });
        });
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(2)));
        world.pass(secs(10));
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(5)));
        let story = world.story(secs(120));
        assert_eq!(story.messages(Sbc, Pbx, "BYE").len(), 1);
        all_arrived(&world);
        let ends: Vec<_> = world.records.iter().map(|r| r.cause.label()).collect();
        assert_eq!(ends, ["normal", "normal"]);
    }
}
