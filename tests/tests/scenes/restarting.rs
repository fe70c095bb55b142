//! We began anew, and the PBX does not know: it registered for an hour and is called all the same.

use b2bua::{Input, Whereabouts};
use sim::pbx::account::Registering;
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::{Beginning, World};
use sip::Transport;

use crate::registering::{CONTACT, DESK, SECRET, account, register, registers};

/// A PBX that listens where its contact says.
const OWN: &str = "<sip:desk@10.0.0.20:5060;transport=tcp>";
/// One behind a NAT: the number is that of a port of its own connection.
const HIDDEN: &str = "<sip:desk@192.168.7.7:49152;transport=tcp>";

fn over_tcp(b: &mut Beginning) {
    registers(b);
    b.pbx.sbc.transport = Transport::Tcp;
}

fn contact(text: &str) -> Registering {
    Registering::new(DESK, SECRET, text)
}

/// What is on the disk: of each trunk what was told last.
fn on_disk(world: &World) -> Vec<Whereabouts> {
    world.whereabouts.last().cloned().into_iter().collect()
}

/// The next life, with what the last one kept.
fn again(before: &World, begin: impl FnOnce(&mut Beginning)) -> World {
    let kept = on_disk(before);
    let mut world = silent_world_with(begin);
    world.tell_core(Input::Whereabouts(kept));
    world
}

fn is_called(world: &mut World) {
    world.user_calls(user().hanging_up_after(secs(3)));
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.record().cause.label(), "normal");
}

fn is_nowhere(world: &mut World) {
    world.user_calls(user());
    assert_eq!(world.story(secs(120)).refused(Meta).0, 480);
}

#[test]
fn a_telephone_behind_a_nat_is_called_after_our_restart_without_having_registered_again() {
    let mut world = silent_world_with(registers);
    assert_eq!(register(&mut world, contact(CONTACT)).0, 200);
    let mut world = again(&world, registers);
    is_called(&mut world);
    let invite = &world.messages(Sbc, Pbx, "INVITE")[0].text;
    assert!(
        invite.starts_with("INVITE sip:desk@192.168.7.7:5070;ob SIP/2.0"),
        "{invite}"
    );
    let told = world
        .log
        .iter()
        .any(|line| line.text.contains("before the start"));
    assert!(told, "{:?}", world.log);
    // It registers again in its own time, and is one contact as before; what it said before our restart
    // does not count when it comes late.
    assert_eq!(register(&mut world, contact(CONTACT)).0, 500);
    assert_eq!(register(&mut world, contact(CONTACT)).1.len(), 1);
}

#[test]
fn a_pbx_that_listens_where_it_says_is_called_over_tcp_after_our_restart() {
    let mut world = silent_world_with(over_tcp);
    assert_eq!(register(&mut world, contact(OWN)).0, 200);
    let mut world = again(&world, over_tcp);
    is_called(&mut world);
}

#[test]
fn a_pbx_that_listens_where_it_says_is_called_over_tcp_when_its_connection_is_gone() {
    let mut world = silent_world_with(over_tcp);
    assert_eq!(register(&mut world, contact(OWN)).0, 200);
    let first = world.messages(Pbx, Sbc, "REGISTER")[0].connection;
    world.reset_connections(Pbx);
    world.pass(secs(1));
    is_called(&mut world);
    let invite = world.messages(Sbc, Pbx, "INVITE")[0];
    assert_ne!(invite.connection, first);
    let bye = world.messages(Sbc, Pbx, "BYE")[0];
    assert_eq!(bye.connection, invite.connection);
}

#[test]
fn whom_only_its_connection_leads_to_is_nowhere_after_our_restart_until_it_registers() {
    let mut world = silent_world_with(over_tcp);
    assert_eq!(register(&mut world, contact(HIDDEN)).0, 200);
    assert_eq!(on_disk(&world), []);
    let mut world = again(&world, over_tcp);
    is_nowhere(&mut world);
    world.records.clear();
    let mut world = again(&world, over_tcp);
    register(&mut world, contact(HIDDEN));
    is_called(&mut world);
}

#[test]
fn who_was_away_for_longer_than_it_registered_for_is_nowhere() {
    let mut world = silent_world_with(registers);
    register(&mut world, contact(CONTACT));
    let mut kept = on_disk(&world);
    for contact in kept.iter_mut().flat_map(|trunk| &mut trunk.contacts) {
        contact.until -= secs(3_601);
    }
    let mut world = silent_world_with(registers);
    world.tell_core(Input::Whereabouts(kept));
    is_nowhere(&mut world);
}

#[test]
fn a_trunk_with_another_account_or_network_forgets_where_it_was() {
    let mut world = silent_world_with(registers);
    register(&mut world, contact(CONTACT));
    let mut other_account = again(&world, |b| {
        registers(b);
        with_trunk(&mut b.settings, |t| t.access.account = account("another"));
    });
    // What is of no use is not kept for ever.
    let forgotten = &other_account.whereabouts[0];
    assert!(forgotten.contacts.is_empty() && &*forgotten.trunk == "office");
    is_nowhere(&mut other_account);
    is_nowhere(&mut again(&world, |b| {
        registers(b);
        with_trunk(&mut b.settings, |t| {
            t.networks = vec!["10.7.0.0/16".parse().unwrap()]
        });
    }));
}

#[test]
fn who_unregistered_or_left_the_configuration_is_not_called_after_our_restart() {
    let mut world = silent_world_with(registers);
    register(&mut world, contact(CONTACT));
    let mut leaving = contact(CONTACT);
    leaving.expires = Some(0);
    register(&mut world, leaving);
    is_nowhere(&mut again(&world, registers));

    let mut world = silent_world_with(registers);
    register(&mut world, contact(CONTACT));
    let mut settings = settings();
    settings.trunks.clear();
    world.tell_core(Input::Reload(Box::new(settings)));
    assert_eq!(on_disk(&world)[0].contacts, []);
}
