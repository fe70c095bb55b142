//! A PBX that is where it registered: what is said to it in a call, and where its agents' transfers lead.

use sim::pbx::account::Registering;
use sim::pbx::refer::Referral;
use sim::report::What;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Beginning, World};
use sip::Transport;

use crate::registering::{DESK, SECRET, register, registers};

const COLLEAGUE: &str = "201";

/// The PBX speaks over this transport, and the trunk is known by another one where they differ.
fn over(b: &mut Beginning, transport: Transport) {
    registers(b);
    b.pbx.sbc.transport = transport;
    b.settings.registrar.carrier_door = "203.0.113.20:5061".parse().ok();
}

/// A contact only its own connection leads to.
fn hidden(transport: Transport) -> Registering {
    let contact = match transport {
        Transport::Udp => "<sip:desk@192.168.7.7:5070;ob>".to_owned(),
        other => format!("<sip:desk@192.168.7.7:49152;transport={}>", other.param()),
    };
    Registering::new(DESK, SECRET, &contact)
}

/// All the connections the PBX's messages of one kind went over, in either direction.
fn connections(world: &World, start: &str) -> Vec<usize> {
    let sent = world.messages(Sbc, Pbx, start);
    let mut all: Vec<usize> = sent.iter().map(|passed| passed.connection).collect();
    all.dedup();
    all
}

#[test]
fn a_user_is_sent_on_by_a_telephone_that_registered_whatever_it_speaks_over() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut world = world_with(|b| over(b, transport));
        assert_eq!(register(&mut world, hidden(transport)).0, 200);
        world.pbx.script(agent_answers(secs(1)));
        world.user_calls(user().hanging_up_after(secs(12)));
        world.pass(secs(4));
        world.pbx.script(agent_answers(secs(1)));
        world.now(|world, now| world.pbx.refer(now, None, &Referral::blind(COLLEAGUE)));
        let registered = world.messages(Pbx, Sbc, "REGISTER")[0].connection;
        let story = world.story(secs(120));
        story.is_clean();
        let told = story.all(Pbx, |what| match what {
            What::Notified { status, .. } => Some(*status),
            _ => None,
        });
        assert_eq!(told, [100, 180, 200], "{transport:?}");
        let user = story.heard(Meta);
        assert_eq!((user.ssrcs, user.lost, user.bad), (1, 0, 0), "{user:?}");
        let colleague = story.messages(Sbc, Pbx, "INVITE sip:201@10.0.0.20");
        assert_eq!(colleague.len(), 1, "{transport:?}");
        for start in ["INVITE", "ACK", "BYE"] {
            let ways = connections(&world, start);
            assert_eq!(
                ways,
                [registered],
                "{transport:?} {start}\n{}",
                world.ladder()
            );
        }
    }
}

#[test]
fn a_user_is_sent_on_to_the_telephone_that_is_named_and_not_to_the_one_that_rings_first() {
    let mut world = silent_world_with(|b| over(b, Transport::Tcp));
    let mut both = hidden(Transport::Tcp);
    both.contacts = vec![
        "<sip:desk@192.168.7.7:49152;transport=tcp>;q=1.0".into(),
        "<sip:desk@192.168.7.8:49152;transport=tcp>;q=0.1".into(),
    ];
    assert_eq!(register(&mut world, both).0, 200);
    world.tamper(|from, _, text| {
        let refer = from == Pbx && text.starts_with("REFER");
        Some(match refer {
            // As telephones write it: without the parameters of the contact.
            true => text.replace("sip:201@10.0.0.20:5060", "sip:desk@192.168.7.8:49152"),
            false => text.to_owned(),
        })
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(12)));
    world.pass(secs(4));
    // It is busy: nobody else is called in its place.
    world
        .pbx
        .script(pbx_refuses(ms(200), 503, "Service Unavailable"));
    world.now(|world, now| world.pbx.refer(now, None, &Referral::blind(COLLEAGUE)));
    let story = world.story(secs(120));
    story.is_clean();
    let invites = story.messages(Sbc, Pbx, "INVITE");
    let called: Vec<&str> = invites
        .iter()
        .filter_map(|m| m.text.split(' ').nth(1))
        .collect();
    assert_eq!(
        called,
        [
            "sip:desk@192.168.7.7:49152;transport=tcp",
            "sip:desk@192.168.7.8:49152;transport=tcp"
        ]
    );
    assert_eq!(story.record().cause.label(), "normal");
}

#[test]
fn a_telephone_is_told_an_address_of_ours_that_speaks_what_it_speaks() {
    // The trunk is known by a UDP port; this telephone came in by another door.
    for (transport, ours) in [
        (Transport::Tls, "@10.0.0.5:5061;transport=tls>"),
        (Transport::Tcp, "@10.0.0.5:5060;transport=tcp>"),
        (Transport::Udp, "@10.0.0.5:5060;transport=udp>"),
    ] {
        let mut world = silent_world_with(|b| {
            over(b, transport);
            // What the trunk is told over UDP, and is true of nothing else.
            if transport == Transport::Tcp {
                with_trunk(&mut b.settings, |trunk| {
                    trunk.sent_by = "10.0.0.9:5070".into()
                });
            }
        });
        register(&mut world, hidden(transport));
        world.user_calls(user().hanging_up_after(secs(2)));
        world.story(secs(60)).is_clean();
        world.meta.script(user_answers(secs(1)));
        world.agent_calls(agent().hanging_up_after(secs(2)));
        world.story(secs(120)).is_clean();
        let called = world.messages(Sbc, Pbx, "INVITE");
        let answered = world.messages(Sbc, Pbx, "SIP/2.0 200");
        let answered = answered
            .into_iter()
            .filter(|m| m.body().contains("m=audio"));
        let told: Vec<_> = called.into_iter().chain(answered).collect();
        assert_eq!(told.len(), 2, "{transport:?}");
        for message in told {
            let contact = message.header("Contact").unwrap_or_default();
            assert!(contact.ends_with(ours), "{transport:?}: {contact}");
        }
    }
}
