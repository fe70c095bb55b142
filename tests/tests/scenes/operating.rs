//! What an operator sees of calls while they run, and what he may do to them.

use b2bua::event::Happened;
use b2bua::operator::{Reply, Running, Wish};
use b2bua::{Cause, Input, Service, Subject};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::world::World;

/// What the core answers to a wish.
fn ask(world: &mut World, wish: Wish) -> Reply {
    world.tell_core(Input::Operator { ticket: 7, wish });
    world.step();
    world.replies.pop().expect("an answer to every wish")
}

fn running(world: &mut World) -> Vec<Running> {
    match ask(world, Wish::Calls) {
        Reply::Calls(calls) => calls,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_step_of_a_call_is_told_and_its_end_before_anybody_hears_of_it() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(5)));
    world.story(secs(120)).is_clean();
    let steps: Vec<_> = world
        .events
        .iter()
        .map(|event| event.happened.label())
        .collect();
    assert_eq!(steps, ["began", "ringing", "answered", "over"]);
    let facts = &world.events[3].facts;
    assert!(facts.reference.is_some() && facts.pbx_call_id.is_some());
    assert!(facts.answered > facts.ringing && facts.ringing > Some(facts.started));
    let Happened::Over(early) = &world.events[3].happened else {
        panic!("the last step is the end");
    };
    let last = &world.records[0];
    assert_eq!((early.id, &early.cause), (last.id, &Cause::Normal));
    assert_eq!(early.duration, last.duration);
}

#[test]
fn the_operator_sees_a_call_come_along_and_hangs_it_up() {
    let mut world = silent_world();
    world.user_calls(user());
    world.pass(secs(10));
    let calls = running(&mut world);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].phase, "talking");
    let id = calls[0].facts.id;
    assert!(matches!(ask(&mut world, Wish::HangUp(id)), Reply::Done));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records[0].cause, Cause::Operator);
    assert_eq!(world.messages(Sbc, Meta, "BYE").len(), 1);
    assert_eq!(world.messages(Sbc, Pbx, "BYE").len(), 1);
    assert!(matches!(ask(&mut world, Wish::HangUp(id)), Reply::Unknown));
}

#[test]
fn a_number_out_of_service_refuses_calls_until_it_is_back() {
    let mut world = silent_world();
    let e164 = match ask(&mut world, Wish::Numbers) {
        Reply::Numbers(numbers) => numbers[0].e164.clone(),
        other => panic!("{other:?}"),
    };
    let number = Subject::Number(e164);
    for (service, status) in [
        (Service::Out, "SIP/2.0 503"),
        (Service::BusyOut, "SIP/2.0 486"),
    ] {
        assert!(matches!(
            ask(&mut world, Wish::Serve(number.clone(), service)),
            Reply::Done
        ));
        world.user_calls(user());
        world.pass(secs(5));
        assert_eq!(
            world.messages(Sbc, Meta, status).len(),
            1,
            "{}",
            world.ladder()
        );
    }
    assert!(world.messages(Sbc, Pbx, "INVITE").is_empty());
    ask(&mut world, Wish::Serve(number, Service::In));
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 1);
    let nobody = Subject::Trunk("nobody".into());
    assert!(matches!(
        ask(&mut world, Wish::Serve(nobody, Service::Out)),
        Reply::Unknown
    ));
}

#[test]
fn running_calls_outlive_the_service_of_their_trunk_and_are_counted() {
    let mut world = silent_world();
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(5));
    let name = match ask(&mut world, Wish::Trunks) {
        Reply::Trunks(trunks) => {
            assert_eq!(trunks[0].calls.0, 1);
            assert!(trunks[0].destinations[0].alive);
            trunks[0].name.clone()
        }
        other => panic!("{other:?}"),
    };
    ask(&mut world, Wish::Serve(Subject::Trunk(name), Service::Out));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records[0].cause, Cause::Normal);
    match ask(&mut world, Wish::Status) {
        Reply::Status(status) => assert_eq!((status.calls.0, status.counters.ended), (0, 1)),
        other => panic!("{other:?}"),
    }
}
