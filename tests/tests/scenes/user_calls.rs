//! A WhatsApp user calls the business.

use sim::scene::*;
use sim::world::Party;

#[test]
fn user_calls_agent_answers_and_the_user_hangs_up() {
    let mut world = world();
    world.pbx.script(agent_answers(secs(2)));
    world.user_calls(user().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.ended(Party::Pbx).by, "far");
}

#[test]
fn agent_calls_user_answers_and_the_agent_hangs_up() {
    let mut world = world();
    world.meta.script(user_answers(secs(2)));
    world.agent_calls(agent().hanging_up_after(secs(5)));
    let story = world.story(secs(120));
    story.is_clean().both_heard_each_other();
    assert_eq!(story.record().cause.label(), "normal");
    assert_eq!(story.ended(Party::Meta).by, "far");
}
