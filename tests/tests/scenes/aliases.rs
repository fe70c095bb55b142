//! WhatsApp users without a number: what the PBX shows, and what calls them back (field note 16).

use b2bua::settings::Identity;
use b2bua::{AliasRange, E164, Input};
use sim::scene::*;
use sim::world::Beginning;
use sim::world::Party::{Meta, Pbx, Sbc};

const NAMED: &str = "US.13491208655302741918";
const ALIAS: &str = "+99900000000";

fn aliased(b: &mut Beginning) {
    let number = |text| E164::parse(text).expect("a number");
    b.settings.aliases = AliasRange::new(&number(ALIAS), &number("+99900000001"));
    with_trunk(&mut b.settings, |t| t.policy.identity = Identity::Asserted);
}

fn call_of(user_id: &str) -> sim::meta::knobs::UserCall {
    let mut call = user().hanging_up_after(secs(2));
    call.caller = user_id.into();
    call
}

/// Whom the PBX was told to be called by, without tag, and who is asserted.
fn shown(world: &sim::World, call: usize) -> (String, String) {
    let invite = world.messages(Sbc, Pbx, "INVITE")[call];
    let header = |name| invite.header(name).unwrap_or_default().to_owned();
    let user = |text: String| {
        let (_, behind) = text.split_once("<sip:").unwrap_or_default();
        behind.split('@').next().unwrap_or_default().to_owned()
    };
    (user(header("From")), user(header("P-Asserted-Identity")))
}

#[test]
fn a_user_without_a_number_is_shown_by_an_alias_and_called_back_by_it() {
    let mut world = silent_world_with(aliased);
    world.user_calls(call_of(NAMED));
    world.story(secs(120)).is_clean();
    world.user_calls(call_of(NAMED));
    world.story(secs(120)).is_clean();
    for call in 0..2 {
        assert_eq!(shown(&world, call), (ALIAS.into(), ALIAS.into()));
    }
    assert_eq!(world.aliases.len(), 1, "it is kept once");
    assert_eq!(world.records[0].user, NAMED);

    world.meta.script(user_answers(secs(1)));
    let mut back = agent().hanging_up_after(secs(2));
    back.to = ALIAS.into();
    world.agent_calls(back);
    world.story(secs(120)).is_clean();
    let invites = world.messages(Sbc, Meta, "INVITE");
    let line = format!("INVITE sip:{NAMED}@wa.meta.vc;");
    assert!(invites[0].text.starts_with(&line), "{}", invites[0].text);
    assert!(
        !invites[0].text.contains("99900000000"),
        "Meta never hears of the alias"
    );
    assert_eq!(world.records[2].user, NAMED);
}

#[test]
fn an_alias_survives_a_restart() {
    let mut world = silent_world_with(aliased);
    world.user_calls(call_of(NAMED));
    world.story(secs(120)).is_clean();
    let kept = world.aliases.clone();

    let mut world = silent_world_with(aliased);
    world.tell_core(Input::Aliases(kept));
    world.user_calls(call_of("DE.7"));
    world.story(secs(120)).is_clean();
    world.user_calls(call_of(NAMED));
    world.story(secs(120)).is_clean();
    assert_eq!(shown(&world, 0).0, "+99900000001");
    assert_eq!(shown(&world, 1).0, ALIAS);
}

#[test]
fn an_alias_nobody_has_is_no_number_and_meta_is_not_bothered() {
    let mut world = silent_world_with(aliased);
    let mut call = agent();
    call.to = ALIAS.into();
    world.agent_calls(call);
    world.pass(secs(3));
    assert_eq!(
        world.messages(Sbc, Pbx, "SIP/2.0 404").len(),
        1,
        "{}",
        world.ladder()
    );
    assert!(world.messages(Sbc, Meta, "INVITE").is_empty());
}

#[test]
fn when_every_alias_is_given_users_are_shown_by_their_word_and_the_operator_is_told() {
    let mut world = silent_world_with(aliased);
    for user_id in [NAMED, "DE.7", "FR.9"] {
        world.user_calls(call_of(user_id));
        world.story(secs(120)).is_clean();
    }
    assert_eq!(shown(&world, 2).0, "FR.9");
    assert!(
        world
            .log
            .iter()
            .any(|line| line.text.contains("widen [alias] range"))
    );
}
