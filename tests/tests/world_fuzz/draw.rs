//! A random world: its networks, what its people want, and what breaks when.

use std::fmt;
use std::time::Duration;

use b2bua::Input;
use sim::meta::knobs::{BusinessScript, Talk, Then};
use sim::net::Link;
use sim::pbx::knobs::{PbxScript, PbxThen};
use sim::scene::*;
use sim::world::Party::{self, Meta, Pbx};
use sim::{Dice, World};
use sip::{Method, Transport};

/// How long anything new begins.
const TROUBLE: Duration = Duration::from_secs(30);

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    UserCalls,
    AgentCalls,
    HangUp(Party),
    Hold(bool),
    Ask(usize),
    Reset(Party),
    Kill(Party),
    Down(Party),
    Up(Party),
    Drain,
    HangUpAll,
}

/// What a PBX may ask in mid-call.
const ASKED: [Method; 4] = [Method::Update, Method::Info, Method::Options, Method::Refer];

/// A world and what happens in it.
pub(crate) struct Story {
    pub(crate) world: World,
    /// Connections break or packets never come: an end may be told late.
    pub(crate) rough: bool,
    /// When what happens.
    pub(crate) acts: Vec<(Duration, Act)>,
    dice: Dice,
    seed: u64,
    users: u32,
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story")
            .field("seed", &self.seed)
            .field("rough", &self.rough)
            .field("acts", &self.acts)
            .field("meta_link", &self.world.meta_link)
            .field("pbx_link", &self.world.pbx_link)
            .finish()
    }
}

fn millis(dice: &mut Dice, most: u64) -> Duration {
    Duration::from_millis(dice.below(most + 1))
}

fn one<T: Clone>(dice: &mut Dice, of: &[T]) -> T {
    of[dice.below(of.len() as u64) as usize].clone()
}

fn link(dice: &mut Dice) -> Link {
    let mut link = Link::after(millis(dice, 150));
    if dice.happens(0.4) {
        link.jitter = millis(dice, 100);
        link.loss = one(dice, &[0.0, 0.01, 0.05, 0.2]);
        link.doubled = one(dice, &[0.0, 0.1, 0.5]);
        link.overtaken = one(dice, &[0.0, 0.1]);
    }
    link
}

fn talk(dice: &mut Dice) -> Talk {
    Talk {
        hang_up_after: dice.happens(0.7).then(|| millis(dice, 20_000)),
        ..Talk::default()
    }
}

fn agent(dice: &mut Dice) -> PbxScript {
    let then = match dice.below(10) {
        0 => PbxThen::Never,
        1 | 2 => {
            let status = one(dice, &[302, 404, 408, 480, 486, 488, 500, 503, 600, 603]);
            PbxThen::Refuse(millis(dice, 4_000), status, "No".into())
        }
        _ => PbxThen::Answer(millis(dice, 6_000)),
    };
    PbxScript {
        ring: dice
            .happens(0.8)
            .then(|| (millis(dice, 2_000), one(dice, &[180, 183]))),
        then,
        answer_despite_cancel: dice.happens(0.2),
        talk: talk(dice),
        ..PbxScript::default()
    }
}

fn user(dice: &mut Dice) -> BusinessScript {
    let then = match dice.below(10) {
        0 => Then::Never,
        1 | 2 => {
            let status = one(dice, &[404, 408, 480, 486, 500, 503, 603]);
            Then::Refuse(millis(dice, 4_000), status, "No".into())
        }
        _ => Then::Answer(millis(dice, 6_000)),
    };
    BusinessScript {
        refuse: dice
            .happens(0.05)
            .then(|| (403, "No approved call permission found".into())),
        trying: dice.happens(0.8),
        ring: dice
            .happens(0.8)
            .then(|| (millis(dice, 2_000), one(dice, &[180, 183]))),
        second_tag: dice.happens(0.1),
        then,
        answer_despite_cancel: dice.happens(0.2),
        talk: talk(dice),
    }
}

impl Story {
    /// The world of a seed, at its first moment.
    pub(crate) fn of(seed: u64) -> Story {
        let mut dice = Dice::new(seed ^ 0x5ee_d0fa_ca11);
        let breaks = dice.happens(0.3);
        let mut begin = beginning();
        begin.audio = false;
        begin.seed = seed;
        begin.meta_link = link(&mut dice);
        begin.pbx_link = link(&mut dice);
        begin.meta.challenge.stale_once = dice.happens(0.1);
        begin.meta.challenge.insatiable = dice.happens(0.03);
        begin.meta.shared_connection = dice.happens(0.3);
        let challenge = dice.happens(0.8);
        let patience = secs(3 + dice.below(23));
        with_number(&mut begin.settings, |number| {
            number.challenge = challenge;
            number.no_answer = patience;
        });
        if dice.happens(0.3) {
            begin.pbx.sbc.transport = Transport::Tcp;
            with_trunk(&mut begin.settings, |trunk| {
                trunk.target.transport = Transport::Tcp
            });
        }
        if dice.happens(0.1) {
            with_trunk(&mut begin.settings, |trunk| {
                let real = trunk.target.clone();
                trunk.target.host = "10.0.0.99".into();
                trunk.backups = vec![real];
            });
        }
        let rough = breaks || begin.pbx_link.loss > 0.0;
        let mut acts = Vec::new();
        let mut add =
            |dice: &mut Dice, act| acts.push((millis(dice, TROUBLE.as_millis() as u64), act));
        for _ in 0..=dice.below(3) {
            let act = one(&mut dice, &[Act::UserCalls, Act::AgentCalls]);
            add(&mut dice, act);
        }
        for _ in 0..dice.below(5) {
            let asked = Act::Ask(dice.below(ASKED.len() as u64) as usize);
            let all = [
                Act::HangUp(Meta),
                Act::HangUp(Pbx),
                Act::Hold(true),
                Act::Hold(false),
                asked,
            ];
            let act = one(&mut dice, &all);
            add(&mut dice, act);
        }
        if breaks {
            for _ in 0..=dice.below(3) {
                let party = one(&mut dice, &[Meta, Pbx]);
                let all = [Act::Reset(party), Act::Kill(party), Act::Down(party)];
                let act = one(&mut dice, &all);
                add(&mut dice, act);
                if act == Act::Down(party) {
                    add(&mut dice, Act::Up(party));
                }
            }
        }
        if dice.happens(0.05) {
            let act = one(&mut dice, &[Act::Drain, Act::HangUpAll]);
            add(&mut dice, act);
        }
        acts.sort_by_key(|(at, _)| *at);
        Story {
            world: World::new(begin),
            rough,
            acts,
            dice,
            seed,
            users: 0,
        }
    }

    /// Everything happens, then everybody hangs up until nobody is left.
    pub(crate) fn live(&mut self) {
        for (at, act) in self.acts.clone() {
            let pause = at.saturating_sub(self.world.at());
            self.world.pass(pause);
            self.act(act);
        }
        self.world.pass(secs(40).saturating_sub(self.world.at()));
        for party in [Meta, Pbx] {
            self.act(Act::Up(party));
        }
        // Longer than a telephone rings, a BYE is repeated and a transaction is remembered.
        for _ in 0..30 {
            self.act(Act::HangUp(Meta));
            self.act(Act::HangUp(Pbx));
            if self.world.until_quiet(secs(20)) {
                return;
            }
        }
    }

    fn act(&mut self, act: Act) {
        let world = &mut self.world;
        let dice = &mut self.dice;
        match act {
            Act::UserCalls => {
                world.pbx.script(agent(dice));
                self.users += 1;
                let mut call = sim::scene::user();
                call.caller = format!("+1219555{:04}", self.users);
                call.talk = talk(dice);
                call.cancel_after = dice.happens(0.3).then(|| millis(dice, 6_000));
                call.retry_elsewhere = dice.happens(0.1);
                call.wrong_password = dice.happens(0.05).then(|| "wrong".into());
                world.user_calls(call);
            }
            Act::AgentCalls => {
                world.meta.script(user(dice));
                self.users += 1;
                let mut call = sim::scene::agent();
                call.to = format!("+1219555{:04}", self.users);
                call.talk = talk(dice);
                call.cancel_after = dice.happens(0.3).then(|| millis(dice, 6_000));
                world.agent_calls(call);
            }
            Act::HangUp(Meta) => {
                let calls: Vec<u32> = world.meta.calls().collect();
                for call in calls {
                    world.now(|world, now| world.meta.hang_up(now, Some(call)));
                }
            }
            Act::HangUp(_) => {
                let calls: Vec<u32> = world.pbx.calls().collect();
                for call in calls {
                    world.now(|world, now| world.pbx.hang_up(now, Some(call)));
                }
            }
            Act::Hold(hold) => world.now(|world, now| world.pbx.hold(now, None, hold)),
            Act::Ask(which) => {
                world.now(|world, now| world.pbx.ask(now, None, ASKED[which].clone()));
            }
            Act::Reset(party) => world.reset_connections(party),
            Act::Kill(party) => world.kill_connections(party),
            Act::Down(party) => self.link(party).down = true,
            Act::Up(party) => self.link(party).down = false,
            Act::Drain => world.tell_core(Input::Drain),
            Act::HangUpAll => world.tell_core(Input::HangUpAll),
        }
    }

    fn link(&mut self, party: Party) -> &mut Link {
        match party {
            Meta => &mut self.world.meta_link,
            _ => &mut self.world.pbx_link,
        }
    }
}
