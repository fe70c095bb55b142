//! The media of the world: one `media::Session` per call, its ports, and the packets between.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use b2bua::{CallId, LocalMedia, MediaCommand, MediaEvent, Network};
use media::{Channel, EngineSettings, Event, Outbox, Packet, Session, StartError};
use sdp::Side;
use sdp::report::MediaReport;

use super::places::Places;
use super::pretended::Pretended;

/// All media of the world.
pub struct Relay {
    calls: BTreeMap<CallId, Media>,
    /// Our media addresses: whose they are.
    ports: BTreeMap<SocketAddr, (CallId, Side, Channel)>,
    next_port: u16,
    /// Our address on either network.
    homes: [IpAddr; 2],
    /// Addresses the next leases get, by the network asked for.
    expected: [VecDeque<SocketAddr>; 2],
    seed: [u8; 32],
    outbox: Outbox,
    packets: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    events: VecDeque<(CallId, MediaEvent)>,
}

/// One call's media.
struct Media {
    session: Option<Session>,
    /// In a world without audio, once media started.
    pretended: Option<Pretended>,
    /// RTP addresses by side.
    local: [SocketAddr; 2],
}

impl Relay {
    /// No media yet; sessions grow from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        let Places {
            public, private, ..
        } = Places::default();
        Self {
            calls: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_port: 20_000,
            homes: [public, private],
            expected: Default::default(),
            seed,
            outbox: Outbox::new(),
            packets: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The same at other addresses of ours.
    #[must_use]
    pub fn at(mut self, public: IpAddr, private: IpAddr) -> Self {
        self.homes = [public, private];
        self
    }

    /// The next lease on a network gets this address, unless it has been promised already.
    pub fn expect(&mut self, network: Network, address: SocketAddr) {
        let expected = &mut self.expected[place(network)];
        if !expected.contains(&address) {
            expected.push_back(address);
        }
    }

    /// The call and side an address of ours is leased to.
    pub fn owner(&self, address: SocketAddr) -> Option<(CallId, Side)> {
        let (call, side, _) = self.ports.get(&address)?;
        Some((*call, *side))
    }

    /// Whether no call has media.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.ports.is_empty()
    }

    /// Ports in use.
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Addresses in use.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.keys().copied().collect()
    }

    /// Carries out a command; without `audio` no session is made, nothing ever flows, and only who has
    /// left is missed.
    pub fn command(
        &mut self,
        now: Instant,
        call: CallId,
        command: MediaCommand,
        audio: bool,
    ) -> Vec<MediaEvent> {
        match command {
            MediaCommand::Open { a, b } => {
                let (a, b) = (self.lease(call, Side::A, a), self.lease(call, Side::B, b));
                let of = |media: &LocalMedia| SocketAddr::new(media.address, media.rtp_port);
                self.calls.insert(
                    call,
                    Media {
                        session: None,
                        pretended: None,
                        local: [of(&a), of(&b)],
                    },
                );
                vec![MediaEvent::Opened { a, b }]
            }
            MediaCommand::Start { plans } if audio => {
                let settings = EngineSettings {
                    opus_complexity: 0,
                    ..EngineSettings::default()
                };
                self.seed[0] = self.seed[0].wrapping_add(1);
                match Session::start(now, *plans, &settings, self.seed, &mut self.outbox) {
                    Ok(session) => {
                        if let Some(media) = self.calls.get_mut(&call) {
                            media.session = Some(session);
                        }
                        self.drain(now, call);
                        Vec::new()
                    }
                    Err(why) => vec![MediaEvent::Failed(why.to_string())],
                }
            }
            MediaCommand::OpenGate(side) => {
                if let Some((session, out)) = self.session(call) {
                    session.open_gate(now, side, out);
                }
                self.drain(now, call);
                Vec::new()
            }
            MediaCommand::Update { side, agreed } => {
                if let Some(pretended) = self.pretended(call) {
                    pretended.update(side, &agreed);
                }
                self.change(now, call, |session, out| {
                    session.update(now, side, *agreed, out)
                })
            }
            MediaCommand::Replace { side, plan } => {
                if let Some(pretended) = self.pretended(call) {
                    pretended.replace(now, side, &plan);
                }
                self.change(now, call, |session, out| {
                    session.replace(now, side, &plan, out)
                })
            }
            MediaCommand::Sound { side, sound } => self.change(now, call, |session, out| {
                session.sound(now, side, sound, out)
            }),
            MediaCommand::SendDigit {
                side,
                digit,
                duration,
            } => {
                if let Some((session, _)) = self.session(call) {
                    session.press(now, side, digit, duration);
                }
                self.drain(now, call);
                Vec::new()
            }
            MediaCommand::Close => {
                if let Some((session, out)) = self.session(call) {
                    session.stop(now, out);
                }
                self.drain(now, call);
                let report = match self.calls.remove(&call).and_then(|media| media.session) {
                    Some(session) => session.report(now),
                    None => MediaReport::default(),
                };
                self.ports.retain(|_, (owner, ..)| *owner != call);
                vec![MediaEvent::Closed(Box::new(report))]
            }
            MediaCommand::Start { plans } => {
                if let Some(media) = self.calls.get_mut(&call) {
                    media.pretended = Some(Pretended::start(now, &plans));
                }
                Vec::new()
            }
        }
    }

    /// Changes a running session; what it refuses is told.
    fn change(
        &mut self,
        now: Instant,
        call: CallId,
        change: impl FnOnce(&mut Session, &mut Outbox) -> Result<(), StartError>,
    ) -> Vec<MediaEvent> {
        let failed = self
            .session(call)
            .and_then(|(session, out)| change(session, out).err());
        self.drain(now, call);
        failed
            .into_iter()
            .map(|why| MediaEvent::Failed(why.to_string()))
            .collect()
    }

    /// A datagram came to one of our ports.
    pub fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let Some(&(call, side, channel)) = self.ports.get(&to) else {
            return;
        };
        let Some(media) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(session) = &mut media.session else {
            return;
        };
        let mut packet = Packet::new();
        packet.fill(bytes);
        if let Some(forward) =
            session.receive(now, side, channel, from, &mut packet, &mut self.outbox)
        {
            let local = leaving(media.local, forward.to, forward.channel);
            self.packets
                .push_back((local, forward.dst, packet.as_slice().to_vec()));
        }
        self.drain(now, call);
    }

    /// Listens where nothing really flows; `speaks` says whether somebody is at an address.
    pub(super) fn listen(&mut self, now: Instant, speaks: &dyn Fn(SocketAddr) -> bool) {
        for (call, media) in &mut self.calls {
            let due = media.pretended.as_mut().filter(|p| p.next_timeout() <= now);
            let missed = due.map(|pretended| pretended.listen(now, speaks));
            let missed = missed.into_iter().flatten().map(|event| (*call, event));
            self.events.extend(missed);
        }
    }

    /// Everything due in sessions.
    pub fn timeout(&mut self, now: Instant) {
        let due: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, media)| {
                media
                    .session
                    .as_ref()
                    .is_some_and(|session| session.next_timeout() <= now)
            })
            .map(|(call, _)| *call)
            .collect();
        for call in due {
            if let Some((session, out)) = self.session(call) {
                session.timeout(now, out);
            }
            self.drain(now, call);
        }
    }

    /// When [`Relay::timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.calls
            .values()
            .filter_map(|media| match &media.pretended {
                Some(pretended) => Some(pretended.next_timeout()),
                None => Some(media.session.as_ref()?.next_timeout()),
            })
            .min()
    }

    /// The next packet to send: from, to, bytes.
    pub fn packet(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.packets.pop_front()
    }

    /// The next event.
    pub fn event(&mut self) -> Option<(CallId, MediaEvent)> {
        self.events.pop_front()
    }

    fn session(&mut self, call: CallId) -> Option<(&mut Session, &mut Outbox)> {
        let session = self.calls.get_mut(&call)?.session.as_mut()?;
        Some((session, &mut self.outbox))
    }

    fn pretended(&mut self, call: CallId) -> Option<&mut Pretended> {
        self.calls.get_mut(&call)?.pretended.as_mut()
    }

    /// Fetches what a session wants sent and told.
    fn drain(&mut self, now: Instant, call: CallId) {
        let Some(media) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(session) = &mut media.session else {
            return;
        };
        let mut packet = Packet::new();
        while let Some(forward) = session.transmit(now, &mut packet, &mut self.outbox) {
            let local = leaving(media.local, forward.to, forward.channel);
            self.packets
                .push_back((local, forward.dst, packet.as_slice().to_vec()));
        }
        while let Some(event) = self.outbox.event() {
            let event = match event {
                Event::FirstReceived(side) => MediaEvent::FirstReceived(side),
                Event::FirstSent(side) => MediaEvent::FirstSent(side),
                Event::Silent { side, for_ms } => MediaEvent::Silent {
                    side,
                    after: Duration::from_millis(for_ms),
                },
                Event::Quiet { side, for_ms } => MediaEvent::Quiet {
                    side,
                    after: Duration::from_millis(for_ms),
                },
                Event::Resumed(side) => MediaEvent::Resumed(side),
                Event::Recut { side, begins } => MediaEvent::Recut { side, begins },
                Event::Unopened { side, why, source } => MediaEvent::Unopened { side, why, source },
                Event::Digit {
                    from,
                    digit,
                    duration_ms,
                } => MediaEvent::Digit {
                    from,
                    digit,
                    duration_ms,
                },
            };
            self.events.push_back((call, event));
        }
        while let Some((side, report)) = self.outbox.report() {
            let event = MediaEvent::Reported { side, report };
            self.events.push_back((call, event));
        }
    }

    fn lease(&mut self, call: CallId, side: Side, network: Network) -> LocalMedia {
        let (rtp_port, rtcp_port) = (self.next_port, self.next_port + 1);
        self.next_port = if self.next_port > 59_000 {
            20_000
        } else {
            self.next_port + 2
        };
        let mut address = self.homes[place(network)];
        let (mut rtp_port, mut rtcp_port) = (rtp_port, rtcp_port);
        if let Some(expected) = self.expected[place(network)].pop_front() {
            (address, rtp_port, rtcp_port) = (
                expected.ip(),
                expected.port(),
                expected.port().wrapping_add(1),
            );
        }
        self.ports.insert(
            SocketAddr::new(address, rtp_port),
            (call, side, Channel::Rtp),
        );
        self.ports.insert(
            SocketAddr::new(address, rtcp_port),
            (call, side, Channel::Rtcp),
        );
        LocalMedia {
            address,
            rtp_port,
            rtcp_port,
        }
    }
}

fn place(network: Network) -> usize {
    match network {
        Network::Public => 0,
        Network::Private => 1,
    }
}

/// The port a packet leaves from.
fn leaving(local: [SocketAddr; 2], to: Side, channel: Channel) -> SocketAddr {
    let mut address = local[to.index()];
    if channel == Channel::Rtcp {
        address.set_port(address.port() + 1);
    }
    address
}
