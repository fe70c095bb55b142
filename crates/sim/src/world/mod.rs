//! The world: the core, its media, a Meta, a PBX and the links between them, under one clock.
//!
//! ```text
//!          TLS ┌──────┐        ┌───────────────────────────┐        ┌─────┐ UDP
//!         ◄───►│ Meta │◄──────►│ b2bua::Core               │◄──────►│ PBX │
//!   SRTP       └──────┘  link  │ media::Session per call   │  link  └─────┘   RTP
//!                              └───────────────────────────┘
//!   step(): the earliest of all deliveries and wake-ups happens; nobody ever sleeps
//! ```
//!
//! Nothing here decides anything about a call; it carries bytes and time. The world turns in `turn`; what it has seen is in `seen`.

mod carry;
mod flows;
mod media;
pub mod places;
mod pretended;
mod seen;
mod stranger;
mod turn;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use b2bua::{Alias, Core, Input, LogLine, Record, Settings, Source, Whereabouts};
use bytes::Bytes;
use sip::{Flow, FlowId};

use self::carry::Delivery;
use self::flows::Pipes;
pub use self::media::Relay;
pub use self::places::Places;
pub use self::seen::{Crossing, Passed};
use crate::dice::Dice;
use crate::meta::MetaPeer;
use crate::meta::knobs::{MetaSettings, UserCall};
use crate::net::Link;
use crate::pbx::PbxPeer;
use crate::pbx::knobs::{AgentCall, PbxSettings};
use crate::report::{Report, What};

/// Who lives in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The simulated Meta.
    Meta,
    /// The core under test.
    Sbc,
    /// The simulated PBX.
    Pbx,
}

/// How a world begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Of the core.
    pub settings: Settings,
    /// Of Meta.
    pub meta: MetaSettings,
    /// Of the PBX.
    pub pbx: PbxSettings,
    /// Between Meta and the core.
    pub meta_link: Link,
    /// Between the core and the PBX.
    pub pbx_link: Link,
    /// Where everybody lives; [`Beginning::move_to`] changes it for all of them.
    pub places: Places,
    /// Whether packets flow. Without, descriptions are exchanged and media is only pretended.
    pub audio: bool,
    /// Seed of everything.
    pub seed: u64,
}

/// What a box in the middle does to a message: passes it on, changed or not, or swallows it.
pub type Tamper = Box<dyn FnMut(Party, Party, &str) -> Option<String>>;

/// What a box in the middle does to a media packet toward a party: `false` swallows it.
pub type Sieve = Box<dyn FnMut(Party, Party, &mut Vec<u8>) -> bool>;

/// The world.
pub struct World {
    began: Instant,
    now: Instant,
    /// The core under test.
    pub core: Core,
    /// The simulated Meta.
    pub meta: MetaPeer,
    /// The simulated PBX.
    pub pbx: PbxPeer,
    /// Between Meta and the core.
    pub meta_link: Link,
    /// Between the core and the PBX.
    pub pbx_link: Link,
    /// Every SIP message sent.
    pub passed: Vec<Passed>,
    /// Everything the peers reported.
    pub reports: Vec<Report>,
    /// Every alias the core gave.
    pub aliases: Vec<Alias>,
    /// Where trunks are, as told to be kept for the next start.
    pub whereabouts: Vec<Whereabouts>,
    /// Every record of a call.
    pub records: Vec<Record>,
    /// Every log line.
    pub log: Vec<LogLine>,
    /// What happened to calls of the SBC.
    pub events: Vec<b2bua::CallEvent>,
    /// What the SBC answered its operator.
    pub replies: Vec<b2bua::operator::Reply>,
    /// Media packets per sender and receiver.
    pub packets: BTreeMap<(Party, Party), u64>,
    /// When the first media packet left, per sender and receiver.
    pub first_packets: BTreeMap<(Party, Party), Duration>,
    /// What crossed the core's border, once somebody wants it: `Some(Vec::new())`.
    pub crossings: Option<Vec<Crossing>>,
    /// What the core told strangers.
    pub told_strangers: Vec<String>,
    /// Sources the core wants to hear nothing of for a time.
    pub barred: Vec<Source>,
    /// The media engine has no port left.
    pub no_ports: bool,
    /// Whose media does not arrive, in a world without audio.
    pub mute: Vec<Party>,
    tamper: Option<Tamper>,
    sieve: Option<Sieve>,
    audio: bool,
    core_wakes: Option<Instant>,
    pipes: Pipes,
    places: Places,
    relay: Relay,
    queue: BTreeMap<(Instant, u64), Delivery>,
    queued: u64,
    dice: Dice,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("at", &self.at())
            .field("calls", &self.core.calls())
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world at its first moment.
    pub fn new(beginning: Beginning) -> Self {
        let began = Instant::now();
        let mut dice = Dice::new(beginning.seed);
        let Beginning {
            settings,
            mut meta,
            mut pbx,
            meta_link,
            pbx_link,
            places,
            audio,
            ..
        } = beginning;
        meta.media.silent = !audio;
        pbx.media.silent = !audio;
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Self {
            core: Core::new(settings, dice.bytes(), began, wall),
            meta: MetaPeer::new(meta, began),
            pbx: PbxPeer::new(pbx, began),
            meta_link,
            pbx_link,
            passed: Vec::new(),
            reports: Vec::new(),
            aliases: Vec::new(),
            whereabouts: Vec::new(),
            records: Vec::new(),
            log: Vec::new(),
            events: Vec::new(),
            replies: Vec::new(),
            packets: BTreeMap::new(),
            first_packets: BTreeMap::new(),
            crossings: None,
            told_strangers: Vec::new(),
            barred: Vec::new(),
            no_ports: false,
            mute: Vec::new(),
            tamper: None,
            sieve: None,
            audio,
            core_wakes: None,
            pipes: Pipes::between(places),
            places,
            relay: Relay::new(dice.bytes()).at(places.public, places.private),
            queue: BTreeMap::new(),
            queued: 0,
            dice,
            began,
            now: began,
        }
    }

    /// Time since the beginning.
    pub fn at(&self) -> Duration {
        self.now.duration_since(self.began)
    }

    /// Puts a box in the middle of all signalling.
    pub fn tamper(&mut self, tamper: impl FnMut(Party, Party, &str) -> Option<String> + 'static) {
        self.tamper = Some(Box::new(tamper));
    }

    /// Puts a box in the middle of all media.
    pub fn sieve(&mut self, sieve: impl FnMut(Party, Party, &mut Vec<u8>) -> bool + 'static) {
        self.sieve = Some(Box::new(sieve));
    }

    /// A WhatsApp user calls.
    pub fn user_calls(&mut self, plan: UserCall) -> u32 {
        let id = self.meta.call(self.now, plan).unwrap_or_default();
        self.settle();
        id
    }

    /// An agent calls.
    pub fn agent_calls(&mut self, plan: AgentCall) -> u32 {
        let id = self.pbx.call(self.now, plan);
        self.settle();
        id
    }

    /// Something happens to a party now: `world.now(|world, now| world.pbx.hang_up(now, None))`.
    pub fn now(&mut self, happen: impl FnOnce(&mut Self, Instant)) {
        let now = self.now;
        happen(self, now);
        self.settle();
    }

    /// The core is told something.
    pub fn tell_core(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.settle();
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        // Whoever wants to do something by itself says so now.
        self.settle();
        let until = self.now + time;
        while self.next().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = until;
    }

    /// Lets time pass until something holds; `false` when it did not within `limit`.
    pub fn until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !holds(self) {
            if self.next().is_none_or(|at| at > end) {
                self.now = end;
                return holds(self);
            }
            self.step();
        }
        true
    }

    /// Lets time pass until no call, no transaction and no message is left; `false` when something
    /// still is after `limit`.
    pub fn until_quiet(&mut self, limit: Duration) -> bool {
        self.until(limit, World::is_quiet)
    }

    /// Whether nothing is left of any call.
    pub fn is_quiet(&self) -> bool {
        self.core.is_idle()
            && self.relay.is_empty()
            && self.meta.calls().next().is_none()
            && self.pbx.calls().next().is_none()
            && self.queue.is_empty()
    }

    /// Where everybody lives.
    pub fn places(&self) -> Places {
        self.places
    }

    /// Ports leased to calls.
    pub fn ports_in_use(&self) -> usize {
        self.relay.ports()
    }

    /// All connections of a party to the core break.
    pub fn reset_connections(&mut self, party: Party) {
        for pipe in self.pipes.of(party) {
            self.close(pipe, Party::Sbc);
            self.close(pipe, party);
        }
        self.settle();
    }

    /// All connections of a party to the core die without a sign, as when a NAT forgets them: whoever
    /// writes next learns of it, and what was written is lost.
    pub fn kill_connections(&mut self, party: Party) {
        for pipe in self.pipes.of(party) {
            self.pipes.kill(pipe);
        }
    }

    /// The last message a party sent to the core is sent once more, on the same flow if that is still up.
    pub fn say_again(&mut self, party: Party) {
        let last = self
            .passed
            .iter()
            .rev()
            .find(|passed| passed.from == party && passed.to == Party::Sbc);
        let Some((pipe, text)) = last.map(|last| (last.connection, last.text.clone())) else {
            return;
        };
        if let Some(flow) = self.pipes.flow(pipe, party) {
            self.send(party, flow.id, Bytes::from(text));
            self.settle();
        }
    }

    /// What a peer reported about a call, in order.
    pub fn told(&self, party: Party, call: u32) -> impl Iterator<Item = &What> {
        let name = if party == Party::Meta { "meta" } else { "pbx" };
        self.reports
            .iter()
            .filter(move |r| r.peer == name && r.call == call)
            .map(|r| &r.what)
    }
}

/// A flow as one end of it sees it.
pub(crate) fn flow_at(
    id: FlowId,
    transport: sip::Transport,
    local: SocketAddr,
    remote: SocketAddr,
) -> Flow {
    Flow {
        id,
        transport,
        local,
        remote,
    }
}
