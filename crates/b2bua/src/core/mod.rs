//! The whole product minus sockets, clocks and threads: one value.
//!
//! [`Core::handle`] takes what happened, [`Core::poll`] gives what is to be done until it says
//! [`Output::Wait`]. Here it is only found out whom an input concerns and what that call may touch; what it
//! means is decided in `admission` and `call`.
//!
//! | part | what it is |
//! |---|---|
//! | `screen` | who is heard at all, before there is a transaction |
//! | `dispatch` | whom an event of the endpoint concerns; a new INVITE from its checks to its call |
//! | `lend` | a call acts on what it is lent for the length of one input |
//! | `replace` | an INVITE that takes a leg's place |
//! | `register`, `keep` | PBXs that register with us, and we with them |
//! | `ping` | whether destinations are alive |
//! | `operator` | what the operator asks and switches |

mod dispatch;
mod keep;
mod lend;
mod operator;
mod ping;
mod register;
mod replace;
mod screen;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sip::{Endpoint, Event, FlowId, Ident, Slim};

use crate::Cause;
use crate::admission::limits::Limits;
use crate::admission::{Admission, Bucket, Offence};
use crate::alias::Aliases;
use crate::call::Call;
use crate::call_id::CallId;
use crate::context::{Clock, Registry};
use crate::counters::Counters;
use crate::directory::Directory;
use crate::flows::Flows;
use crate::health::Health;
use crate::io::{Input, Level, LogLine, Output};
use crate::late::Late;
use crate::locate::Locations;
use crate::media::MediaEvent;
use crate::record::ReleasedBy;
use crate::registration::Whereabouts;
use crate::registration::keep::Registrations;
use crate::registration::serve::Bindings;
use crate::service::Services;
use crate::settings::Settings;

/// The whole product minus sockets, clocks and threads.
#[derive(Debug)]
pub struct Core {
    settings: Arc<Settings>,
    directory: Directory,
    clock: Clock,
    endpoint: Endpoint,
    ident: Ident,
    flows: Flows,
    health: Health,
    locations: Locations,
    bindings: Bindings,
    registrations: Registrations,
    registry: Registry,
    late: Late,
    admission: Admission,
    limits: Limits,
    aliases: Aliases,
    services: Services,
    draining: bool,
    /// Boxed: a call is lent by taking it out, and moving kilobytes each time is not cheap.
    calls: BTreeMap<CallId, Box<Call>>,
    /// Which flow each call's INVITE came on.
    callers: BTreeSet<(FlowId, CallId)>,
    next_call: u64,
    /// When each call wants to be woken, and the same sorted by time.
    wakes: BTreeMap<CallId, Instant>,
    schedule: BTreeSet<(Instant, CallId)>,
    counters: Counters,
    /// How often refusals were told lately.
    told: Bucket,
    pending: VecDeque<Event>,
    out: VecDeque<Output>,
}

impl Core {
    /// A core with everything it may not find out itself: settings, 32 bytes of randomness and
    /// both clocks. All identifiers, keys and nonces grow from `seed`.
    pub fn new(settings: Settings, seed: [u8; 32], now: Instant, wall: SystemTime) -> Self {
        let mut ident = Ident::new(settings.node, seed);
        let admission = Admission::new(ident.bytes(), settings.nonce_ttl);
        let of_endpoint = ident.fork();
        let mut health = Health::default();
        health.watch(now, &settings);
        let mut locations = Locations::default();
        locations.watch(now, &settings);
        let mut registrations = Registrations::default();
        registrations.watch(now, &settings, &mut ident);
        let mut aliases = Aliases::default();
        aliases.give_from(settings.aliases);
        Self {
            endpoint: Endpoint::new(settings.timers, of_endpoint),
            directory: Directory::new(&settings),
            settings: Arc::new(settings),
            clock: Clock::new(now, wall),
            ident,
            flows: Flows::new(),
            health,
            locations,
            bindings: Bindings::default(),
            registrations,
            registry: Registry::default(),
            late: Late::default(),
            admission,
            limits: Limits::default(),
            aliases,
            services: Services::default(),
            draining: false,
            calls: BTreeMap::new(),
            callers: BTreeSet::new(),
            next_call: 1,
            wakes: BTreeMap::new(),
            schedule: BTreeSet::new(),
            counters: Counters::default(),
            told: Bucket::default(),
            pending: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Sip { flow, message } => {
                if self.may_speak(now, &flow, &message) {
                    self.note_reuse(&flow, &message);
                    self.endpoint.receive(now, flow, message);
                }
            }
            Input::FlowOpened(flow) => {
                self.flows.opened(&flow);
                self.admission.acquaint(now, flow.remote.ip());
            }
            Input::FlowFailed { id, why } => {
                let target = self.flows.target(id);
                let target = target.map_or_else(String::new, |t| format!("{}:{}", t.host, t.port));
                self.log(Level::Warn, format!("no connection to {target}: {why}"));
                self.flow_lost(now, id);
            }
            Input::Located { target, found } => self.locations.located(now, &target, found),
            Input::FlowClosed(id) => self.flow_lost(now, id),
            Input::Media { call, event } => self.media(now, call, event),
            Input::Reload(settings) => {
                self.directory = Directory::new(&settings);
                self.health.watch(now, &settings);
                self.locations.watch(now, &settings);
                self.aliases.give_from(settings.aliases);
                let gone = self.bindings.watch(&self.settings, &settings);
                let gone = gone.into_iter().map(Whereabouts::none);
                self.out.extend(gone.map(Output::Whereabouts));
                self.registrations.watch(now, &settings, &mut self.ident);
                self.settings = Arc::new(*settings);
            }
            Input::Load(load) => {
                self.load(&load);
                self.tidy(now);
            }
            Input::Malformed(address) => self.offence(now, address, Offence::Malformed),
            Input::Aliases(aliases) => self.aliases.remember(aliases),
            Input::Whereabouts(kept) => self.take_back(now, kept),
            Input::Drain => self.drain(now, true),
            Input::HangUpAll => self.hang_up_all(now),
            Input::Operator { ticket, wish } => self.operate(now, ticket, wish),
            Input::Tick => self.tick(now),
        }
        self.dispatch(now);
    }

    /// The next thing to be done. Drain until [`Output::Wait`].
    pub fn poll(&mut self) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::Wait(self.next_timeout()))
    }

    /// Calls that have not ended.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The call that began first of those that have not ended.
    pub fn oldest_call(&self) -> Option<CallId> {
        self.calls.keys().next().copied()
    }

    /// The call that began last of those that have not ended.
    pub fn newest_call(&self) -> Option<CallId> {
        self.calls.keys().next_back().copied()
    }

    /// Whether some PBX has not yet been told that we leave.
    pub fn is_leaving(&self) -> bool {
        self.registrations.is_leaving()
    }

    /// Whether nothing is left of any call or transaction: what a quiet core must come to.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.registry.len() == 0 && self.endpoint.counts().total() == 0
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn next_timeout(&self) -> Option<Instant> {
        let call = self.schedule.first().map(|(at, _)| *at);
        let others = [
            self.endpoint.next_timeout(),
            self.health.next_timeout(),
            self.locations.next_timeout(),
            self.bindings.next_timeout(),
            self.registrations.next_timeout(),
        ];
        others.into_iter().chain([call]).flatten().min()
    }

    fn tick(&mut self, now: Instant) {
        self.endpoint.timeout(now);
        while let Some((target, transports)) = self.locations.due(now) {
            self.out.push_back(Output::Locate { target, transports });
        }
        self.ping(now);
        self.bindings_expire(now);
        self.keep_registrations(now);
        while let Some(&(at, id)) = self.schedule.first()
            && at <= now
        {
            self.schedule.remove(&(at, id));
            self.wakes.remove(&id);
            self.with_call(now, id, |call, cx| call.timeout(cx));
        }
    }

    /// What nobody needs any more goes, though nothing else happens.
    fn tidy(&mut self, now: Instant) {
        self.late.forget(now);
        self.admission.forget(self.clock.since_epoch(now));
        self.endpoint.slim();
        self.registry.slim();
        if self.calls.is_empty() {
            // An empty tree keeps its last leaf, and calls are large.
            self.calls = BTreeMap::new();
        }
        self.pending.slim();
        self.out.slim();
    }

    fn flow_lost(&mut self, now: Instant, id: FlowId) {
        self.flows.lost(id);
        self.endpoint.flow_lost(now, id);
        self.binding_lost(id);
        self.registrations.flow_lost(now, id, &mut self.ident);
        let of_flow = (id, CallId(0))..=(id, CallId(u64::MAX));
        let calls: Vec<CallId> = self.callers.range(of_flow).map(|(_, call)| *call).collect();
        for call in calls {
            self.with_call(now, call, |call, cx| call.caller_lost(cx));
        }
    }

    fn media(&mut self, now: Instant, id: CallId, event: MediaEvent) {
        self.with_call(now, id, |call, cx| call.on_media(cx, event));
    }

    fn hang_up_all(&mut self, now: Instant) {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            self.with_call(now, id, |call, cx| {
                call.release(cx, Cause::Operator, ReleasedBy::Us)
            });
        }
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.push_back(Output::Log(LogLine {
            level,
            call: None,
            text,
        }));
    }
}
