//! The whole product minus sockets, clocks and threads: one value.
//!
//! [`Core::handle`] takes what happened, [`Core::poll`] gives what is to be done until it says
//! [`Output::Wait`]. This file only finds out whom an input concerns; what it means is decided in
//! `admission` and `call`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sip::{DialogId, Endpoint, Event, Flow, FlowId, Ident, Method, Name, Request, ServerKey, Text};

use crate::Cause;
use crate::admission::{Admission, Admitted, Asking, Decision};
use crate::call::Call;
use crate::context::{self, Clock, Context, Owner, Registry};
use crate::counters::Counters;
use crate::dial::Inherited;
use crate::flows::Flows;
use crate::io::{CallId, Input, Level, LogLine, Output};
use crate::leg::sip::words;
use crate::media::{MediaCommand, MediaEvent};
use crate::record::ReleasedBy;
use crate::settings::Settings;

/// The whole product minus sockets, clocks and threads.
#[derive(Debug)]
pub struct Core {
    settings: Arc<Settings>,
    clock: Clock,
    endpoint: Endpoint,
    ident: Ident,
    flows: Flows,
    registry: Registry,
    admission: Admission,
    draining: bool,
    calls: BTreeMap<CallId, Call>,
    next_call: u64,
    /// When each call wants to be woken, and the same sorted by time.
    wakes: BTreeMap<CallId, Instant>,
    schedule: BTreeSet<(Instant, CallId)>,
    counters: Counters,
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
        Self {
            endpoint: Endpoint::new(settings.timers, of_endpoint),
            settings: Arc::new(settings),
            clock: Clock::new(now, wall),
            ident,
            flows: Flows::new(),
            registry: Registry::default(),
            admission,
            draining: false,
            calls: BTreeMap::new(),
            next_call: 1,
            wakes: BTreeMap::new(),
            schedule: BTreeSet::new(),
            counters: Counters::default(),
            pending: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Sip { flow, message } => self.endpoint.receive(now, flow, message),
            Input::FlowOpened(_) => {}
            Input::FlowFailed { id, why } => {
                let target = self.flows.target(id);
                let target = target.map_or_else(String::new, |t| format!("{}:{}", t.host, t.port));
                self.log(Level::Warn, format!("no connection to {target}: {why}"));
                self.flow_lost(now, id);
            }
            Input::FlowClosed(id) => self.flow_lost(now, id),
            Input::Media { call, event } => self.media(now, call, event),
            Input::Reload(settings) => self.settings = Arc::new(*settings),
            Input::Drain => self.draining = true,
            Input::HangUpAll => self.hang_up_all(now),
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
        [call, self.endpoint.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn tick(&mut self, now: Instant) {
        self.endpoint.timeout(now);
        while let Some(&(at, id)) = self.schedule.first()
            && at <= now
        {
            self.schedule.remove(&(at, id));
            self.wakes.remove(&id);
            self.with_call(now, id, |call, cx| call.timeout(cx));
        }
    }

    fn flow_lost(&mut self, now: Instant, id: FlowId) {
        self.flows.lost(id);
        self.endpoint.flow_lost(now, id);
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

    // ---- from the endpoint to the calls ----

    fn dispatch(&mut self, now: Instant) {
        loop {
            context::drain(&mut self.endpoint, &mut self.out, &mut self.pending);
            let Some(event) = self.pending.pop_front() else {
                return;
            };
            self.event(now, event);
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request { key, flow, request } => self.request(now, key, flow, request),
            Event::Ack { request, .. } => {
                let owner = self.owner_of(&request);
                self.with_owner(now, owner, |call, cx, side| call.on_ack(cx, side, &request));
            }
            Event::Cancelled { key, .. } => {
                let owner = self.registry.server(key);
                self.with_owner(now, owner, |call, cx, side| call.on_cancel(cx, side));
            }
            Event::Response { key, response, .. } => {
                let owner = self.registry.client(key);
                self.with_owner(now, owner, |call, cx, side| {
                    call.on_response(cx, side, key, response);
                });
            }
            Event::Failed { key, why } => {
                let owner = self.registry.client(key);
                self.with_owner(now, owner, |call, cx, side| {
                    call.on_failure(cx, side, key, why)
                });
            }
            // A refusal of ours was never acknowledged: the caller knows, or is gone.
            Event::NoAck { .. } => self.counters.refusals_unacknowledged += 1,
        }
    }

    fn request(&mut self, now: Instant, key: ServerKey, flow: Flow, request: Request) {
        if request.to_tag().is_some() {
            let owner = self.owner_of(&request);
            if owner.is_none() {
                return self.respond(now, key, &request, 481);
            }
            return self.with_owner(now, owner, |call, cx, side| {
                call.on_request(cx, side, key, request);
            });
        }
        match request.method {
            Method::Invite => self.invite(now, key, flow, request),
            Method::Options => self.respond(now, key, &request, 200),
            // Nobody registers here, and nothing else makes sense outside a dialog.
            Method::Register => self.respond(now, key, &request, 403),
            Method::Bye | Method::Notify | Method::Update | Method::Info | Method::Prack => {
                self.respond(now, key, &request, 481);
            }
            _ => self.respond(now, key, &request, 405),
        }
    }

    fn invite(&mut self, now: Instant, key: ServerKey, flow: Flow, invite: Request) {
        self.counters.invites += 1;
        if let Some(required) = invite.headers.first(&Name::Require) {
            let required = required.clone();
            return self.respond_with(now, key, &invite, 420, Some((Name::Unsupported, required)));
        }
        if Inherited::from(&invite).is_none() {
            return self.respond(now, key, &invite, 483);
        }
        let salt = u64::from_be_bytes(self.ident.bytes());
        let settings = self.settings.clone();
        let wall = self.clock.since_epoch(now);
        let asking = Asking {
            settings: &settings,
            now,
            wall,
            flow: &flow,
            invite: &invite,
            salt,
        };
        match self.admission.decide(&asking) {
            Decision::Admit(admitted) => match self.limit(&admitted) {
                None => self.open(now, *admitted, flow, key, invite),
                Some(cause) => self.refuse(now, key, &invite, &cause, &cause.to_string()),
            },
            Decision::Challenge(challenge) => {
                self.counters.challenges += 1;
                let header = (Name::ProxyAuthenticate, challenge);
                self.respond_with(now, key, &invite, 407, Some(header));
            }
            Decision::Reject { cause, why } => self.refuse(now, key, &invite, &cause, &why),
        }
    }

    /// What stands against one more call.
    fn limit(&self, admitted: &Admitted) -> Option<Cause> {
        let on = |fits: &dyn Fn(&Call) -> bool| self.calls.values().filter(|c| fits(c)).count();
        if self.draining {
            return Some(Cause::Draining);
        }
        if self.calls.len() >= self.settings.max_calls {
            return Some(Cause::Limit("calls"));
        }
        if on(&|call| call.number().e164 == admitted.number.e164) >= admitted.number.max_calls {
            return Some(Cause::Limit("calls of the number"));
        }
        if on(&|call| call.trunk().name == admitted.trunk.name) >= admitted.trunk.max_calls {
            return Some(Cause::Limit("calls of the trunk"));
        }
        None
    }

    fn open(
        &mut self,
        now: Instant,
        admitted: Admitted,
        flow: Flow,
        key: ServerKey,
        invite: Request,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        if let Some(remark) = &admitted.remark {
            self.log(Level::Warn, remark.clone());
        }
        let offer = invite.body.clone();
        let unopened = invite.clone();
        let mut cx = self.context(now, id);
        let Some(call) = Call::open(&mut cx, admitted, flow, key, invite) else {
            self.registry.forget(id);
            return self.respond(now, key, &unopened, 400);
        };
        self.counters.admitted += 1;
        self.calls.insert(id, call);
        self.with_call(now, id, |call, cx| call.begin(cx, &offer));
    }

    // ---- answers of the core itself ----

    fn refuse(&mut self, now: Instant, key: ServerKey, invite: &Request, cause: &Cause, why: &str) {
        self.counters.refuse(cause);
        self.log(
            Level::Warn,
            format!("INVITE refused, {}: {why}", cause.label()),
        );
        let tag = self.ident.tag();
        let refusal = words::refusal(invite, cause, &tag, &self.settings.product);
        self.endpoint.respond(now, key, refusal);
    }

    fn respond(&mut self, now: Instant, key: ServerKey, request: &Request, status: u16) {
        let allow = matches!(status, 200 | 405)
            .then(|| (Name::Allow, Text::from("INVITE, ACK, BYE, CANCEL, OPTIONS")));
        self.respond_with(now, key, request, status, allow);
    }

    fn respond_with(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Request,
        status: u16,
        header: Option<(Name, Text)>,
    ) {
        let tag = self.ident.tag();
        let mut response = words::response(request, status, &tag, &self.settings.product);
        if let Some((name, value)) = header {
            response.headers.push(name, value);
        }
        self.endpoint.respond(now, key, response);
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.push_back(Output::Log(LogLine {
            level,
            call: None,
            text,
        }));
    }

    // ---- finding and lending ----

    fn owner_of(&self, request: &Request) -> Option<Owner> {
        self.registry.dialog(&DialogId::of_incoming(request)?)
    }

    fn context(&mut self, now: Instant, call: CallId) -> Context<'_> {
        Context {
            now,
            clock: self.clock,
            call,
            settings: &self.settings,
            endpoint: &mut self.endpoint,
            flows: &mut self.flows,
            registry: &mut self.registry,
            ident: &mut self.ident,
            out: &mut self.out,
            pending: &mut self.pending,
        }
    }

    fn with_owner(
        &mut self,
        now: Instant,
        owner: Option<Owner>,
        act: impl FnOnce(&mut Call, &mut Context<'_>, sdp::Side),
    ) {
        if let Some((id, side)) = owner {
            self.with_call(now, id, |call, cx| act(call, cx, side));
        }
    }

    /// Lets a call act, then looks at what became of it. A panic inside costs this call alone:
    /// nothing is shared between calls.
    fn with_call(
        &mut self,
        now: Instant,
        id: CallId,
        act: impl FnOnce(&mut Call, &mut Context<'_>),
    ) {
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        let mut cx = self.context(now, id);
        let whole = catch_unwind(AssertUnwindSafe(|| act(&mut call, &mut cx))).is_ok();
        if !whole {
            self.counters.bugs += 1;
            self.log(Level::Warn, format!("{id} hit a bug and was ended"));
            let mut cx = self.context(now, id);
            let ended = catch_unwind(AssertUnwindSafe(|| call.abandon(&mut cx)));
            if ended.is_err() {
                self.out.push_back(Output::Media {
                    call: id,
                    command: MediaCommand::Close,
                });
            }
        }
        self.keep_or_forget(id, call);
    }

    fn keep_or_forget(&mut self, id: CallId, call: Call) {
        if let Some(at) = self.wakes.remove(&id) {
            self.schedule.remove(&(at, id));
        }
        if call.is_ended() {
            self.registry.forget(id);
            self.counters.ended += 1;
            return;
        }
        if let Some(at) = call.next_timeout() {
            self.wakes.insert(id, at);
            self.schedule.insert((at, id));
        }
        self.calls.insert(id, call);
    }
}
