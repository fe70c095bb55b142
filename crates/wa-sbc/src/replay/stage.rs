//! The stage: a core, its media and the far sides of a capture under the capture's clock.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use b2bua::{CallId, Core, Input, Level, MediaCommand, MediaEvent, Network, Output};
use bytes::Bytes;
use media::srtp::Protect;
use media::{Packet, rtp};
use sdp::report::LegReport;
use sdp::{Keying, Side};
use sim::ladder::label;
use sim::world::Relay;
use sip::{Flow, FlowId, Transport};

use super::echo::Echo;
use super::hear::Ear;
use super::outcome::Outcome;
use super::scene::Scene;
use super::taken::{Kind, Taken};
use crate::trace::{Bounds, Gap, Trace};

/// Nothing lasts longer once the capture is over: every timer has fired.
const AFTERMATH: Duration = Duration::from_secs(200);

/// Plays a capture.
pub(super) fn play(taken: &[Taken], scene: &Scene) -> Outcome {
    let mut stage = Stage::new(taken, scene);
    let first = taken
        .first()
        .map_or(SystemTime::UNIX_EPOCH, |taken| taken.at);
    for taken in taken.iter().filter(|taken| taken.inward) {
        let at = stage.began + taken.at.duration_since(first).unwrap_or_default();
        stage.until(at);
        match &taken.what {
            Kind::Sip(transport, bytes) => stage.sip(taken, *transport, bytes),
            Kind::Media(bytes, clear) => {
                let bytes = match clear {
                    true => stage.sealed(taken.local, bytes),
                    false => bytes.clone(),
                };
                stage.relay.receive(at, taken.local, taken.remote, &bytes);
                stage.settle();
            }
        }
    }
    stage.until(stage.now + AFTERMATH);
    stage.outcome()
}

struct Stage<'a> {
    scene: &'a Scene,
    core: Core,
    relay: Relay,
    echo: Echo,
    trace: Trace,
    began: Instant,
    wall: SystemTime,
    now: Instant,
    wake: Option<Instant>,
    /// Flows by their name, and which gap they cross.
    flows: BTreeMap<FlowId, (Gap, Flow)>,
    minted: u64,
    ears: BTreeMap<(CallId, usize), (Gap, Ear)>,
    /// What the far sides of legs with keys seal with.
    mouths: BTreeMap<(CallId, usize), Protect>,
    carrier: BTreeMap<CallId, Side>,
    outcome: Outcome,
}

impl<'a> Stage<'a> {
    fn new(taken: &[Taken], scene: &'a Scene) -> Self {
        let began = Instant::now();
        let wall = taken
            .first()
            .map_or(SystemTime::UNIX_EPOCH, |taken| taken.at);
        let mut echo = Echo::default();
        let mut relay = Relay::new([7; 32]);
        for taken in taken.iter().filter(|taken| !taken.inward) {
            if let Kind::Sip(_, bytes) = &taken.what {
                echo.left_then(taken.gap, bytes);
                if let Some(address) = media_address(bytes) {
                    let network = match taken.gap {
                        Gap::Carrier => Network::Public,
                        Gap::Pbx => Network::Private,
                    };
                    relay.expect(network, address);
                }
            }
        }
        let bounds = Bounds {
            per_call: 4_096,
            bytes: 64 << 20,
        };
        Self {
            scene,
            core: Core::new(scene.settings(), [42; 32], began, wall),
            relay,
            echo,
            trace: Trace::new(bounds),
            began,
            wall,
            now: began,
            wake: None,
            flows: BTreeMap::new(),
            minted: 0,
            ears: BTreeMap::new(),
            mouths: BTreeMap::new(),
            carrier: BTreeMap::new(),
            outcome: Outcome::default(),
        }
    }

    fn at(&self) -> SystemTime {
        self.wall + self.now.duration_since(self.began)
    }

    /// Lets everything happen that is due up to a moment.
    fn until(&mut self, end: Instant) {
        self.settle();
        loop {
            let due = [self.wake, self.relay.next_timeout()]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = due.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if self.wake.is_some_and(|wake| wake <= self.now) {
                self.core.handle(self.now, Input::Tick);
            }
            if self.relay.next_timeout().is_some_and(|at| at <= self.now) {
                self.relay.timeout(self.now);
            }
            self.settle();
        }
        self.now = self.now.max(end);
    }

    /// A far side speaks.
    fn sip(&mut self, taken: &Taken, transport: Transport, bytes: &Bytes) {
        let flow = self.flow(taken, transport);
        let Some(message) = self.echo.now(self.scene, bytes) else {
            return;
        };
        let bytes = message.to_bytes();
        self.trace
            .message(self.at(), true, (flow.id, Some(flow)), None, &bytes);
        self.core.handle(self.now, Input::Sip { flow, message });
        self.settle();
    }

    /// The flow something came on: one the core opened to that peer, or the peer's own.
    fn flow(&mut self, taken: &Taken, transport: Transport) -> Flow {
        let known = self.flows.values().rev().find(|(gap, flow)| {
            let same = flow.remote == taken.remote
                || (transport.is_reliable()
                    && flow.id.0 % 2 == 1
                    && flow.remote.port() == taken.remote.port());
            *gap == taken.gap && flow.transport == transport && same
        });
        if let Some((_, flow)) = known {
            return *flow;
        }
        self.minted += 2;
        let flow = Flow {
            id: FlowId(self.minted),
            transport,
            local: taken.local,
            remote: taken.remote,
        };
        self.flows.insert(flow.id, (taken.gap, flow));
        flow
    }

    fn settle(&mut self) {
        loop {
            let mut done = false;
            loop {
                match self.core.poll() {
                    Output::Wait(at) => {
                        self.wake = at;
                        break;
                    }
                    output => self.perform(output),
                }
                done = true;
            }
            while let Some((call, event)) = self.relay.event() {
                self.media(call, event);
                done = true;
            }
            while let Some((from, to, bytes)) = self.relay.packet() {
                self.hear(from, to, &bytes);
                done = true;
            }
            if !done {
                return;
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { flow, bytes } => self.sent(flow, &bytes),
            Output::Connect { id, target } => {
                let gap = match target.host == self.scene.pbx.ip().to_string() {
                    true => Gap::Pbx,
                    false => Gap::Carrier,
                };
                let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let remote = target
                    .host
                    .parse()
                    .map(|ip| SocketAddr::new(ip, target.port));
                let flow = Flow {
                    id,
                    transport: target.transport,
                    local: nowhere,
                    remote: remote
                        .unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, target.port))),
                };
                self.flows.insert(id, (gap, flow));
                self.trace.opened(flow);
                self.core.handle(self.now, Input::FlowOpened(flow));
            }
            Output::Media { call, command } => {
                self.trace.command(self.at(), call, &command);
                self.listen(call, &command);
                for event in self.relay.command(self.now, call, command, true) {
                    self.media(call, event);
                }
            }
            Output::Leg {
                call,
                side,
                call_id,
            } => self.trace.leg(self.at(), call, side, &call_id.as_str()),
            Output::Record(record) => {
                self.trace.ended(self.at(), &record);
                self.outcome.records.push(recorded(&record));
            }
            Output::Event(event) => {
                let label = event.happened.label();
                self.outcome.decisions.push(label.to_owned());
            }
            Output::Log(line) if line.level >= Level::Info => {
                if let Some(call) = line.call {
                    self.trace.said(self.at(), call, &line.text);
                }
                self.outcome.decisions.push(stable(&line.text));
            }
            _ => {}
        }
    }

    fn sent(&mut self, id: FlowId, bytes: &Bytes) {
        let Some((gap, flow)) = self.flows.get(&id).copied() else {
            return;
        };
        self.trace
            .message(self.at(), false, (id, Some(flow)), None, bytes);
        let known = self.echo.knew(gap, bytes);
        let label = label(&String::from_utf8_lossy(bytes));
        let to = match gap {
            Gap::Carrier => "Meta",
            Gap::Pbx => "PBX",
        };
        let line = format!("{to:<4} {label}");
        if !self.echo.leaves_now(gap, bytes) {
            let again = format!("{line}, again");
            if self.outcome.sent.last() != Some(&again) {
                self.outcome.sent.push(again);
            }
            return;
        }
        if !known {
            self.outcome
                .differences
                .push(format!("now, not then: {line}"));
        }
        self.outcome.sent.push(line);
    }

    fn media(&mut self, call: CallId, event: MediaEvent) {
        self.trace.media(self.at(), call, &event);
        self.core.handle(self.now, Input::Media { call, event });
    }

    /// Whoever gets media has an ear.
    fn listen(&mut self, call: CallId, command: &MediaCommand) {
        match command {
            MediaCommand::Open { a, .. } => {
                let carrier = if *a == Network::Public {
                    Side::A
                } else {
                    Side::B
                };
                self.carrier.insert(call, carrier);
            }
            MediaCommand::Start { plans } => {
                let carrier = self.carrier.get(&call).copied();
                for side in Side::BOTH {
                    let gap = if carrier == Some(side) {
                        Gap::Carrier
                    } else {
                        Gap::Pbx
                    };
                    let plan = &plans[side.index()];
                    if let Keying::Sdes { remote, .. } = &plan.agreed.keying {
                        self.mouths
                            .insert((call, side.index()), Protect::new(remote));
                    }
                    let ear = Ear::of(plan);
                    self.ears.insert((call, side.index()), (gap, ear));
                }
            }
            _ => {}
        }
    }

    /// What a far side says in the clear in the capture, as it says it on a leg with keys.
    fn sealed(&mut self, to: SocketAddr, bytes: &Bytes) -> Bytes {
        let owner = self.relay.owner(to);
        let mouth = owner.and_then(|(call, side)| self.mouths.get_mut(&(call, side.index())));
        let Some(mouth) = mouth else {
            return bytes.clone();
        };
        let mut packet = Packet::new();
        packet.fill(bytes);
        let sealed = match rtp::is_rtcp(bytes) {
            true => mouth.rtcp(&mut packet),
            false => mouth.rtp(&mut packet),
        };
        match sealed {
            Ok(()) => Bytes::copy_from_slice(packet.as_slice()),
            Err(_) => bytes.clone(),
        }
    }

    fn hear(&mut self, from: SocketAddr, _: SocketAddr, bytes: &[u8]) {
        let Some((call, side)) = self.relay.owner(from) else {
            return;
        };
        if let Some((_, ear)) = self.ears.get_mut(&(call, side.index())) {
            ear.hear(bytes);
        }
    }

    fn outcome(mut self) -> Outcome {
        for (gap, ear) in self.ears.values() {
            let who = match gap {
                Gap::Carrier => "the user hears",
                Gap::Pbx => "the PBX hears ",
            };
            self.outcome.audio.push(format!("{who} {}", ear.verdict()));
        }
        let missing = self.echo.missing().into_iter();
        self.outcome
            .differences
            .extend(missing.map(|line| format!("then, not now: {line}")));
        self.outcome.story = self.trace.newest().unwrap_or_default();
        self.outcome
    }
}

/// Where a message of ours wants media.
fn media_address(bytes: &Bytes) -> Option<SocketAddr> {
    let message = sip::parse(bytes.clone()).ok()?;
    let description = sdp::Description::parse(message.body()).ok()?;
    description.audio()?.rtp_target()
}

/// A record in words that stay the same: no times, no identifiers.
fn recorded(record: &b2bua::Record) -> String {
    let codec = |side: Side| record.legs[side.index()].map_or("none", |leg| leg.codec.name());
    let carrier = record.carrier_side();
    let trouble = |leg: &LegReport| {
        format!(
            "{} lost, {} not decrypted, {} digits",
            leg.lost, leg.undecryptable, leg.digits_received
        )
    };
    format!(
        "{} {} {} {} by {}, answered {}, Meta {} ({}), PBX {} ({})",
        record.direction.label(),
        record.cause.label(),
        record.cause.sip(),
        record.cause.q850(),
        record.released_by.label(),
        record.answered.is_some(),
        codec(carrier),
        trouble(&record.media.legs[carrier.index()]),
        codec(!carrier),
        trouble(&record.media.legs[(!carrier).index()]),
    )
}

/// A line of the log without what is drawn by lot: durations in ms, identifiers.
fn stable(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        if digits >= 5 && !word.contains('@') {
            "…".to_owned()
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
