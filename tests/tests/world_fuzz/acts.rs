//! What happens in a random world, and how.

use std::net::SocketAddr;
use std::sync::Arc;

use b2bua::{Input, Settings};
use sim::pbx::account::Registering;
use sim::pbx::refer::Referral;
use sim::scene::*;
use sim::world::Party::{self, Meta, Pbx};
use sim::{Dice, World};
use sip::Method;

use super::people;
use super::place::{self, one};

/// Something that happens. Whom of several it concerns is drawn when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    UserCalls,
    AgentCalls,
    /// Everybody there hangs up.
    HangUp(Party),
    /// One of them does.
    OneHangsUp(Party),
    /// Everybody there hangs up in the moment the connections of a party break.
    HangUpAndReset(Party, Party),
    /// What an agent's telephone does in mid-call.
    Agent(Wish),
    /// The media of a party no longer arrives, or does again.
    Mute(Party),
    Unmute(Party),
    /// The last message of a party comes once more.
    Again(Party),
    Reset(Party),
    Kill(Party),
    Down(Party),
    Up(Party),
    Reload(Change),
    Drain,
    HangUpAll,
    /// The PBX registers with us.
    Register,
}

/// What an agent's telephone asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Hold,
    Resume,
    Move,
    OfferPlease,
    Update,
    UpdateWithOffer,
    Refresh,
    Digit,
    Options,
    Junk,
    Refer {
        consulted: bool,
        quiet: bool,
    },
    ReferNowhere,
    /// A colleague takes his place.
    Replaced,
    /// Our next refresh is refused so.
    Refuse(u16),
}

/// What new settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    NoNumber,
    OtherPassword,
    OtherPatience,
    NoSpareTrunk,
    TrunkMoved,
    NoRoom,
}

impl Wish {
    pub(crate) fn drawn(dice: &mut Dice) -> Wish {
        let refer = Wish::Refer {
            consulted: dice.happens(0.3),
            quiet: dice.happens(0.2),
        };
        let refuse = Wish::Refuse(one(dice, &[405, 422, 481, 488, 491, 500, 503]));
        let all = [
            Wish::Hold,
            Wish::Hold,
            Wish::Resume,
            Wish::Resume,
            Wish::Move,
            Wish::OfferPlease,
            Wish::Update,
            Wish::UpdateWithOffer,
            Wish::Refresh,
            Wish::Digit,
            Wish::Options,
            Wish::Junk,
            refer,
            refer,
            Wish::ReferNowhere,
            Wish::Replaced,
            Wish::Replaced,
            refuse,
        ];
        one(dice, &all)
    }
}

impl Change {
    pub(crate) fn drawn(dice: &mut Dice) -> Change {
        let all = [
            Change::Nothing,
            Change::NoNumber,
            Change::OtherPassword,
            Change::OtherPatience,
            Change::NoSpareTrunk,
            Change::TrunkMoved,
            Change::NoRoom,
        ];
        one(dice, &all)
    }

    fn make(self, settings: &mut Settings) {
        match self {
            Change::Nothing => {}
            Change::NoNumber => settings.numbers.clear(),
            Change::OtherPassword => with_number(settings, |number| {
                number.password = Some(sip::Secret::new("another".to_owned()));
            }),
            Change::OtherPatience => with_number(settings, |number| number.no_answer = secs(2)),
            Change::NoSpareTrunk => {
                settings.groups.clear();
                settings.trunks.truncate(1);
                with_number(settings, |number| number.trunk = "office".into());
            }
            Change::TrunkMoved => with_trunk(settings, |trunk| {
                trunk.sent_by = "10.0.0.6:5060".into();
                trunk.domain = "pbx.example.com".into();
            }),
            Change::NoRoom => settings.max_calls = 0,
        }
    }
}

/// Lets it happen. `nth`: calls placed so far.
pub(crate) fn happen(
    world: &mut World,
    dice: &mut Dice,
    settings: &Arc<Settings>,
    nth: &mut u32,
    act: Act,
) {
    match act {
        Act::UserCalls => {
            world.pbx.script(people::agent(dice));
            *nth += 1;
            world.user_calls(people::user_calls(dice, *nth));
        }
        Act::AgentCalls => {
            world.meta.script(people::user(dice));
            *nth += 1;
            world.agent_calls(people::agent_calls(dice, *nth));
        }
        Act::HangUp(party) => {
            for call in calls(world, party) {
                hang_up(world, party, call);
            }
        }
        Act::OneHangsUp(party) => {
            if let Some(call) = someone(world, dice, party) {
                hang_up(world, party, call);
            }
        }
        Act::HangUpAndReset(party, broken) => {
            // Before the BYE is under way, or behind it.
            let first = dice.happens(0.5);
            if first {
                world.reset_connections(broken);
            }
            for call in calls(world, party) {
                hang_up(world, party, call);
            }
            if !first {
                world.reset_connections(broken);
            }
        }
        Act::Agent(wish) => {
            if let Some(call) = someone(world, dice, Pbx) {
                asks(world, dice, call, wish);
            }
        }
        Act::Mute(party) => world.mute.push(party),
        Act::Unmute(party) => world.mute.retain(|mute| *mute != party),
        Act::Again(party) => world.say_again(party),
        Act::Reset(party) => world.reset_connections(party),
        Act::Kill(party) => world.kill_connections(party),
        Act::Down(party) => set_down(world, party, true),
        Act::Up(party) => set_down(world, party, false),
        Act::Reload(change) => {
            let mut settings = (**settings).clone();
            change.make(&mut settings);
            world.tell_core(Input::Reload(Box::new(settings)));
        }
        Act::Drain => world.tell_core(Input::Drain),
        Act::HangUpAll => world.tell_core(Input::HangUpAll),
        Act::Register => {
            let (user, password) = place::ACCOUNT;
            let transport = match settings.trunks[0].target.transport {
                sip::Transport::Udp => "",
                _ => ";transport=tcp",
            };
            let at = world.places().pbx_inside;
            let contact = format!("<sip:{user}@{}{transport}>", SocketAddr::new(at, 5060));
            let plan = Registering::new(user, password, &contact);
            world.now(|world, now| world.pbx.register(now, plan));
        }
    }
}

fn asks(world: &mut World, dice: &mut Dice, call: u32, wish: Wish) {
    let it = Some(call);
    let contact = format!(
        "<sip:pbx@{}>",
        SocketAddr::new(world.places().pbx_inside, 5060)
    );
    let contact = ("Contact", contact.as_str());
    let sdp = ("Content-Type", "application/sdp");
    let ask = |world: &mut World, method: Method, headers: &[(&str, &str)], body: &str| {
        world.now(|world, now| world.pbx.ask_with(now, it, method, headers, body));
    };
    match wish {
        Wish::Hold => world.now(|world, now| world.pbx.hold(now, it, true)),
        Wish::Resume => world.now(|world, now| world.pbx.hold(now, it, false)),
        Wish::Move => world.now(|world, now| world.pbx.move_telephone(now, it)),
        Wish::OfferPlease => world.now(|world, now| world.pbx.ask_for_offer(now, it)),
        Wish::Update => ask(world, Method::Update, &[contact], ""),
        Wish::UpdateWithOffer => {
            let offer = world.pbx.description(call, true);
            ask(world, Method::Update, &[contact, sdp], &offer);
        }
        Wish::Refresh => {
            let timer = (
                "Session-Expires",
                one(dice, &["90;refresher=uac", "90;refresher=uas"]),
            );
            ask(
                world,
                Method::Update,
                &[contact, ("Supported", "timer"), timer],
                "",
            );
        }
        Wish::Digit => {
            let kind = ("Content-Type", "application/dtmf-relay");
            ask(world, Method::Info, &[kind], "Signal=5\r\nDuration=160\r\n");
        }
        Wish::Options => ask(world, Method::Options, &[], ""),
        Wish::Junk => {
            let method = one(
                dice,
                &["MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY", "PRACK", "FOO"],
            );
            ask(world, Method::from(method), &[], "");
        }
        Wish::Refer { consulted, quiet } => {
            let mut referral = match consulted {
                true => Referral::attended("201"),
                false => Referral::blind("201"),
            };
            referral.quiet = quiet;
            world.pbx.script(people::agent(dice));
            world.now(|world, now| world.pbx.refer(now, it, &referral));
        }
        Wish::ReferNowhere => ask(world, Method::Refer, &[], ""),
        Wish::Replaced => {
            if let Some(replaces) = world.pbx.replaces(it) {
                world.agent_calls(people::colleague(dice, replaces));
            }
        }
        Wish::Refuse(status) => world.pbx.refuses_refresh(call, status),
    }
}

fn calls(world: &World, party: Party) -> Vec<u32> {
    match party {
        Meta => world.meta.calls().collect(),
        _ => world.pbx.calls().collect(),
    }
}

fn someone(world: &World, dice: &mut Dice, party: Party) -> Option<u32> {
    let calls = calls(world, party);
    (!calls.is_empty()).then(|| one(dice, &calls))
}

fn hang_up(world: &mut World, party: Party, call: u32) {
    world.now(|world, now| match party {
        Meta => world.meta.hang_up(now, Some(call)),
        _ => world.pbx.hang_up(now, Some(call)),
    });
}

fn set_down(world: &mut World, party: Party, down: bool) {
    match party {
        Meta => world.meta_link.down = down,
        _ => world.pbx_link.down = down,
    }
}
