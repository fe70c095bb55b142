//! The owner of the core: inputs in, outputs performed. The only place SIP passes both ways.
//!
//! ```text
//!   net events ─┐                        ┌─► Flows: bytes to connections and UDP
//!   media events┼──► Core ──► Output ────┼─► Dialer: new flows
//!   control ────┤                        ├─► Workers: media
//!   the clock ──┘                        └─► Records, observers
//! ```

mod captures;
mod control;
mod sockets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use b2bua::event::Happened;
use b2bua::operator::Reply;
use b2bua::{CallId, Core, Input, Level, MediaEvent, Output};
use bytes::Bytes;
use sip::{Flow, FlowId, Message, Transport};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, sleep_until};

use crate::aliases::Aliases;
use crate::capture::Captures;
use crate::clock;
use crate::control::Serving;
use crate::ladder;
use crate::load::Gauge;
use crate::media::Workers;
use crate::net::dial::Dialer;
use crate::net::flows::Sent;
use crate::net::{Door, Event, Flows};
use crate::observe::{Asked, Observers};
use crate::records::Records;
use crate::supervisor::Heartbeat;
use crate::tap::{Moment, Tap, Taps};
use crate::trace::{Keeper, Trace};
use crate::whereabouts;

use control::Phase;
pub(crate) use control::{Control, Reload};
pub(crate) use sockets::Sockets;

/// How long connections may take to write what is still queued.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is heard at most while calls that are over wait for their records to be safe.
const TOGETHER: usize = 64;

/// How often the core is told how much the machine has to do.
const PULSE: Duration = Duration::from_millis(500);

/// Under which we ask the core for all calls, for a capture that begins. Observers count from 1.
const FOR_A_CAPTURE: u64 = 0;

/// The owner of the core.
pub(crate) struct CoreTask {
    pub(crate) core: Core,
    pub(crate) flows: Flows,
    pub(crate) sockets: Sockets,
    pub(crate) door: Door,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) workers: Workers,
    pub(crate) records: Records,
    /// What is to be sent as soon as the records of calls that are over are safe.
    pub(crate) held: Vec<(FlowId, Bytes)>,
    pub(crate) trace: Trace,
    pub(crate) taps: Taps,
    pub(crate) captures: Captures,
    pub(crate) keeper: Option<Keeper>,
    pub(crate) _serving: Option<Serving>,
    /// `None`: nobody gets an alias, or not before the next start.
    pub(crate) aliases: Option<Aliases>,
    pub(crate) whereabouts: Option<whereabouts::Store>,
    pub(crate) net: mpsc::Receiver<Event>,
    pub(crate) net_sender: mpsc::Sender<Event>,
    pub(crate) media: mpsc::UnboundedReceiver<(CallId, MediaEvent)>,
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) observers: Observers,
    pub(crate) heartbeat: Heartbeat,
}

impl CoreTask {
    /// Runs until it was told to stop and everything is done.
    pub(crate) async fn run(mut self) {
        let mut phase = Phase::Running;
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gauge = Gauge::new(clock::now());
        loop {
            let wait = self.perform();
            self.close_sockets();
            if self.over(&mut phase) {
                break;
            }
            let deadline = match phase {
                Phase::Running => wait,
                Phase::Draining { until } | Phase::HangingUp { until } => {
                    Some(wait.map_or(until, |at| at.min(until)))
                }
            };
            tokio::select! {
                Some(event) = self.net.recv() => self.network(event),
                Some((call, event)) = self.media.recv() => {
                    self.hear(&Moment::Media { call, event: &event });
                    self.core.handle(clock::now(), Input::Media { call, event });
                }
                due = pulse.tick() => self.measure(&mut gauge, due.into()),
                Some(asked) = self.asked.recv() => {
                    let input = self.observers.ask(asked);
                    self.core.handle(clock::now(), input);
                }
                control = self.control.recv() => self.control(control, &mut phase),
                () = sleep_until(deadline.unwrap_or_else(far).into()), if deadline.is_some() => {
                    self.core.handle(clock::now(), Input::Tick);
                }
            }
        }
        self.say_goodbye().await;
        let Self {
            workers,
            records,
            aliases,
            whereabouts,
            flows,
            keeper,
            captures,
            sockets,
            taps,
            ..
        } = self;
        let threads = tokio::task::spawn_blocking(|| {
            workers.stop();
            drop(taps);
            captures.finish();
            records.finish();
            if let Some(keeper) = keeper {
                keeper.finish();
            }
            if let Some(aliases) = aliases {
                aliases.finish();
            }
            if let Some(whereabouts) = whereabouts {
                whereabouts.finish();
            }
        });
        let _ = threads.await;
        sockets.close().await;
        tracing::info!(undelivered = flows.undelivered, "stopped");
    }

    /// Performs what the core wants done; when it wants to be woken.
    ///
    /// What is sent once a call is over waits until its record is safe. Calls that end together wait together: for
    /// each of them alone, a busy processor would have to turn to the journal and back.
    fn perform(&mut self) -> Option<Instant> {
        let mut wait = self.drain();
        loop {
            let mut together = TOGETHER;
            while self.records.is_behind()
                && together > 0
                && let Ok(event) = self.net.try_recv()
            {
                self.network(event);
                wait = self.drain();
                together -= 1;
            }
            self.records.catch_up();
            if self.held.is_empty() {
                return wait;
            }
            for (flow, bytes) in std::mem::take(&mut self.held) {
                self.send(flow, bytes);
            }
            wait = self.drain();
        }
    }

    fn send(&mut self, flow: FlowId, bytes: Bytes) {
        if self.flows.send(flow, bytes) == Sent::FlowLost {
            tracing::debug!(?flow, "sent on a flow that is gone");
            self.core.handle(clock::now(), Input::FlowClosed(flow));
        }
    }

    /// Performs outputs of the core until it waits; when it wants to be woken.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.core.poll() {
                Output::Wait(at) => {
                    self.tell_captures();
                    return at;
                }
                Output::Send { flow, bytes } => {
                    let transport = self.flows.transport(flow);
                    ladder::left(transport, &bytes);
                    if self.is_heard() {
                        let addresses = self.flows.flow(flow);
                        self.hear(&Moment::Message {
                            inward: false,
                            id: flow,
                            flow: addresses,
                            transport,
                            bytes: &bytes,
                        });
                        self.trace_closely("out", transport, &bytes);
                    }
                    match self.records.is_behind() || !self.held.is_empty() {
                        true => self.held.push((flow, bytes)),
                        false => self.send(flow, bytes),
                    }
                }
                Output::Connect { id, target } => {
                    self.flows.opening(id, target.transport);
                    tokio::spawn(
                        self.dialer
                            .clone()
                            .dial(id, target, self.net_sender.clone()),
                    );
                }
                Output::Locate { target, transports } => {
                    let (dialer, events) = (self.dialer.clone(), self.net_sender.clone());
                    tokio::spawn(async move {
                        let found = dialer.locate(&target, &transports).await;
                        let _ = events.send(Event::Located { target, found }).await;
                    });
                }
                Output::Media { call, command } => {
                    self.hear(&Moment::Command {
                        call,
                        command: &command,
                    });
                    if !self.workers.send(call, command) {
                        let event = MediaEvent::Failed("the media thread is gone".into());
                        self.core.handle(clock::now(), Input::Media { call, event });
                    }
                }
                Output::Event(event) => {
                    if let Happened::Over(record) = &event.happened {
                        self.records.over(record);
                    }
                    self.observers.event(&event);
                    if !self.captures.is_idle() {
                        self.capture(&event.facts);
                    }
                }
                Output::Reply {
                    ticket: FOR_A_CAPTURE,
                    reply,
                } => {
                    if let Reply::Calls(calls) = reply {
                        calls.iter().for_each(|call| self.capture(&call.facts));
                    }
                }
                Output::Reply { ticket, reply } => self.observers.answer(ticket, reply),
                Output::Record(record) => {
                    self.observers.recorded(&record);
                    self.taps.hear(clock::wall(), &Moment::Ended(&record));
                    let failed = self.trace.ended(clock::wall(), &record);
                    if let (Some(keeper), Some(story)) = (&self.keeper, failed) {
                        keeper.keep(story);
                    }
                    self.records.write(record);
                }
                Output::Alias(alias) => match &self.aliases {
                    Some(aliases) => aliases.keep(alias),
                    None => tracing::error!("an alias is not kept: start again to open its store"),
                },
                Output::Whereabouts(told) => {
                    // Without a store nothing is kept; that was said at the start.
                    if let Some(store) = &self.whereabouts {
                        store.keep(told);
                    }
                }
                Output::Bar { source, until } => {
                    let now = clock::now();
                    self.door.bar(now, source, until);
                    if until > now {
                        self.flows.let_go_of(source);
                    }
                }
                Output::Leg {
                    call,
                    side,
                    call_id,
                } => self.hear(&Moment::Leg {
                    call,
                    side,
                    call_id: &call_id.as_str(),
                }),
                Output::Log(line) => {
                    if let Some(call) = line.call.filter(|_| line.level > Level::Debug) {
                        let text = &line.text;
                        self.hear(&Moment::Said { call, text });
                    }
                    self.observers.log(&line);
                }
            }
        }
    }

    /// What a connection, a UDP socket or the DNS has to tell.
    fn network(&mut self, event: Event) {
        let input = match event {
            Event::Accepted { flow, writer } => {
                // Nobody asked for it: the core hears of it with its first message.
                let _ = self.flows.open(flow, writer);
                return;
            }
            Event::Opened { flow, writer } => {
                self.hear(&Moment::Opened(flow));
                match self.flows.open(flow, writer) {
                    Sent::Yes => Input::FlowOpened(flow),
                    Sent::FlowLost => Input::FlowClosed(flow.id),
                }
            }
            Event::Resolved { id, socket, remote } => {
                let flow = self.flows.resolved(id, socket, remote);
                self.hear(&Moment::Opened(flow));
                Input::FlowOpened(flow)
            }
            Event::Located { target, found } => Input::Located { target, found },
            Event::Failed { id, why } => {
                self.hear(&Moment::Failed { id, why: &why });
                self.flows.closed(id);
                Input::FlowFailed { id, why }
            }
            Event::Message {
                flow,
                message,
                bytes,
            } => {
                self.came(flow, &message, &bytes);
                Input::Sip { flow, message }
            }
            Event::Datagram {
                socket,
                remote,
                message,
                bytes,
            } => {
                let flow = self.flows.of_datagram(socket, remote);
                self.came(flow, &message, &bytes);
                Input::Sip { flow, message }
            }
            Event::Malformed(address) => Input::Malformed(address),
            Event::Closed(id) => {
                self.flows.closed(id);
                Input::FlowClosed(id)
            }
        };
        self.core.handle(clock::now(), input);
    }

    /// The machine's pulse: how much it has to do, and whether this loop turns.
    fn measure(&mut self, gauge: &mut Gauge, due: Instant) {
        self.flows.slim();
        self.trace.slim();
        self.tidy_captures();
        let now = clock::now();
        self.heartbeat.beat(now);
        let mut load = gauge.measure(now, |thread| self.workers.run_as(thread));
        load.lag = now.saturating_duration_since(due);
        load.backlog = (self.net.len() * 100 / self.net.max_capacity()) as u8;
        self.core.handle(now, Input::Load(load));
    }

    /// What comes in is heard here, what goes out in [`CoreTask::drain`].
    fn came(&mut self, flow: Flow, message: &Message, bytes: &Bytes) {
        ladder::came(flow.transport, message);
        if self.is_heard() {
            self.hear(&Moment::Message {
                inward: true,
                id: flow.id,
                flow: Some(flow),
                transport: Some(flow.transport),
                bytes,
            });
            self.trace_closely("in", Some(flow.transport), bytes);
        }
    }

    /// A message of a call whose every step the operator wants in the log.
    fn trace_closely(&self, way: &str, transport: Option<Transport>, bytes: &Bytes) {
        let traced = &self.observers.traced;
        if traced.is_idle() {
            return;
        }
        if let Some(call) = self.trace.call_of(bytes).filter(|call| traced.has(call.0)) {
            ladder::of_traced(call.0, way, transport, bytes);
        }
    }

    fn is_heard(&self) -> bool {
        self.trace.is_on() || self.taps.is_listening()
    }

    /// Everything heard of calls passes here, but for their end: the trace has its say about that.
    fn hear(&mut self, moment: &Moment<'_>) {
        let at = clock::wall();
        self.trace.hear(at, moment);
        self.taps.hear(at, moment);
    }
}

fn far() -> Instant {
    clock::now() + Duration::from_secs(3600)
}
