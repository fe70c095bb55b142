//! A random world: what happens in it, and when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use b2bua::Settings;
use b2bua::comfort::EarlyAnswer;
use sim::scene::secs;
use sim::world::Party::{Meta, Pbx, Sbc};
use sim::{Dice, World};

use super::acts::{self, Act, Change, Wish};
use super::place::{self, millis, one};

/// A world and what happens in it.
pub(crate) struct Story {
    pub(crate) world: World,
    /// Connections break or packets never come: an end may be told late.
    pub(crate) rough: bool,
    /// When what happens.
    pub(crate) acts: Vec<(Duration, Act)>,
    settings: Arc<Settings>,
    /// How long anything new begins.
    trouble: Duration,
    dice: Dice,
    seed: u64,
    placed: u32,
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

impl Story {
    /// The world of a seed, at its first moment.
    pub(crate) fn of(seed: u64) -> Story {
        let mut dice = Dice::new(seed ^ 0x5ee_d0fa_ca11);
        let audible = dice.happens(0.004);
        let breaks = dice.happens(0.3);
        // Long enough for sessions to be refreshed, and to expire.
        let trouble = match dice.happens(0.1) && !audible {
            true => secs(150),
            false => secs(30),
        };
        let begin = place::beginning(seed, &mut dice, audible);
        let rough = breaks || begin.pbx_link.loss > 0.0;
        let settings = Arc::new(begin.settings.clone());
        let registers = settings.trunks[0].access.registers;
        let acts = happenings(&mut dice, trouble, breaks, audible, registers);
        Story {
            world: World::new(begin),
            rough,
            acts,
            settings,
            trouble,
            dice,
            seed,
            placed: 0,
        }
    }

    /// Whether the trunks answer users before the PBX does.
    pub(crate) fn answers_early(&self) -> bool {
        let mut trunks = self.settings.trunks.iter();
        trunks.any(|trunk| trunk.comfort.early_answer != EarlyAnswer::Never)
    }

    /// Whether something of this kind happens.
    pub(crate) fn has(&self, is: impl Fn(&Act) -> bool) -> bool {
        self.acts.iter().any(|(_, act)| is(act))
    }

    /// Whether a trunk leads nowhere.
    pub(crate) fn has_dead_ends(&self) -> bool {
        let mut trunks = self.settings.trunks.iter();
        trunks.any(|trunk| trunk.target.host == place::NOWHERE)
    }

    /// Whether the PBX has asked us to transfer the call of this Call-ID.
    pub(crate) fn referred(&self, call_id: Option<&str>) -> bool {
        let refers = self.world.messages(Pbx, Sbc, "REFER");
        refers
            .iter()
            .any(|refer| refer.header("Call-ID") == call_id)
    }

    /// Whether a colleague has taken somebody's place in the call of this Call-ID, or tried to.
    pub(crate) fn replaced(&self, call_id: Option<&str>) -> bool {
        let invites = self.world.messages(Pbx, Sbc, "INVITE");
        let of = |replaces: &str| replaces.split(';').next().map(str::trim) == call_id;
        invites
            .iter()
            .any(|invite| invite.header("Replaces").is_some_and(of))
    }

    /// Whether the trunk is where it has registered.
    fn registers(&self) -> bool {
        let mut trunks = self.settings.trunks.iter();
        trunks.any(|trunk| trunk.access.registers)
    }

    /// Everything happens, then everybody hangs up until nobody is left.
    pub(crate) fn live(&mut self) {
        if self.registers() {
            self.act(Act::Register);
            self.world.pass(secs(1));
        }
        for (at, act) in self.acts.clone() {
            let pause = at.saturating_sub(self.world.at());
            self.world.pass(pause);
            self.act(act);
        }
        let end = self.trouble + secs(10);
        self.world.pass(end.saturating_sub(self.world.at()));
        for party in [Meta, Pbx] {
            self.act(Act::Up(party));
            self.act(Act::Unmute(party));
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
        let (world, dice) = (&mut self.world, &mut self.dice);
        acts::happen(world, dice, &self.settings, &mut self.placed, act);
    }
}

/// Everything that will happen, in order.
fn happenings(
    dice: &mut Dice,
    trouble: Duration,
    breaks: bool,
    audible: bool,
    registers: bool,
) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let mut add = |dice: &mut Dice, act| acts.push((millis(dice, trouble.as_millis() as u64), act));
    let calls = match dice.below(10) {
        0 if !audible => 4 + dice.below(8),
        _ => 1 + dice.below(3),
    };
    for _ in 0..calls {
        let act = one(dice, &[Act::UserCalls, Act::AgentCalls]);
        add(dice, act);
    }
    for _ in 0..dice.below(8) {
        let wish = Act::Agent(Wish::drawn(dice));
        let all = [
            Act::OneHangsUp(Meta),
            Act::OneHangsUp(Pbx),
            wish,
            wish,
            wish,
            wish,
        ];
        let act = one(dice, &all);
        add(dice, act);
    }
    if dice.happens(0.1) {
        let party = one(dice, &[Meta, Pbx]);
        add(dice, Act::Mute(party));
        add(dice, Act::Unmute(party));
    }
    if dice.happens(0.1) {
        let change = Change::drawn(dice);
        add(dice, Act::Reload(change));
    }
    if dice.happens(0.1) {
        let party = one(dice, &[Meta, Pbx]);
        add(dice, Act::Again(party));
    }
    if breaks {
        for _ in 0..=dice.below(3) {
            let (party, broken) = (one(dice, &[Meta, Pbx]), one(dice, &[Meta, Pbx]));
            let all = [
                Act::Reset(party),
                Act::Kill(party),
                Act::Down(party),
                Act::HangUpAndReset(party, broken),
            ];
            let act = one(dice, &all);
            add(dice, act);
            if act == Act::Down(party) {
                add(dice, Act::Up(party));
            }
            if registers && dice.happens(0.5) {
                add(dice, Act::Register);
            }
        }
    }
    if dice.happens(0.05) {
        let act = one(dice, &[Act::Drain, Act::HangUpAll]);
        add(dice, act);
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}
