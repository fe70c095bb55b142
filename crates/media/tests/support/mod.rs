//! A call's media under a virtual clock: two endpoints that say a tone and keep what they hear.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part of this
#![allow(clippy::disallowed_methods)] // a virtual clock needs some instant to start from

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, MAX_SAMPLES, OpusSettings};
use media::rtp::{self, Header};
use media::srtp::{Protect, Unprotect};
use media::tone::{Tone, Verdict, judge};
use media::{Channel, EngineSettings, Event, Forward, Outbox, Packet, Session};
use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::{Agreed, Codec, Crypto, Direction, Keying, Mki, Negotiated, Side, SrtpKey, Suite};

pub const HERTZ: f64 = 1_000.0;
pub const LEVEL: f64 = -10.0;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn pt_of(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 111,
        Codec::Pcma => 8,
        Codec::Pcmu => 0,
        Codec::TelephoneEvent => 101,
    }
}

pub fn negotiated(codec: Codec) -> Negotiated {
    Negotiated {
        codec,
        send_pt: pt_of(codec),
        receive_pt: pt_of(codec),
        remote_fmtp: None,
    }
}

pub fn address(side: Side) -> SocketAddr {
    match side {
        Side::A => "203.0.113.1:3480".parse().unwrap(),
        Side::B => "10.0.0.5:4000".parse().unwrap(),
    }
}

pub fn sdes(suite: Suite, mki: Option<Mki>) -> Keying {
    let crypto = |fill: u8| Crypto {
        tag: 1,
        suite,
        key: SrtpKey::wide([fill; 44]).fit(suite).unwrap(),
        lifetime: None,
        mki,
    };
    Keying::Sdes {
        local: crypto(17).into(),
        remote: crypto(34).into(),
    }
}

/// A plan with the gate open, silence kept by RTCP, plain RTP.
pub fn plan(side: Side, codec: Codec) -> LegPlan {
    let rtp = address(side);
    LegPlan {
        agreed: Agreed {
            remote_rtp: rtp,
            remote_rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
            rtcp_mux: false,
            audio: negotiated(codec),
            dtmf: Some(negotiated(Codec::TelephoneEvent)),
            ptime: 20,
            keying: Keying::None,
            direction: Direction::SendRecv,
            wants_voip_metrics: false,
        },
        ssrc: 0x1111_1111 * (side.index() as u32 + 1),
        cname: "audio@sbc".to_owned(),
        gate: Gate::Open,
        proof: None,
        silence: Silence::Rtcp,
        latch: Latch::Plausible { signalling: None },
        inactivity: Some(Duration::from_secs(20)),
        quiet: Some(Duration::from_secs(10)),
        unsolicited_dtmf: None,
        care: Default::default(),
    }
}

/// Like a WhatsApp leg: SRTP, rtcp-mux, frames of silence, packets of 20 ms only.
pub fn secured(mut plan: LegPlan) -> LegPlan {
    plan.agreed.keying = sdes(Suite::AesCm128HmacSha1_80, None);
    plan.agreed.rtcp_mux = true;
    plan.agreed.remote_rtcp = plan.agreed.remote_rtp;
    plan.silence = Silence::Frames;
    plan.latch = Latch::Authenticated;
    plan.unsolicited_dtmf = Some(126);
    plan.care.exact_ptime = true;
    plan
}

/// A packet an endpoint received.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    pub header: Header,
    pub payload: Vec<u8>,
}

/// One endpoint.
pub struct Peer {
    pub side: Side,
    pub codec: Codec,
    pub ptime: u64,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub tone: Tone,
    pub encoder: Encoder,
    pub talking: bool,
    pub next: Instant,
    pub protect: Option<Protect>,
    pub unprotect: Option<Unprotect>,
    pub source: SocketAddr,
    pub received: Vec<Heard>,
    pub rtcp: Vec<Vec<u8>>,
    pub undecryptable: usize,
    pub said: u64,
}

impl Peer {
    pub fn new(now: Instant, side: Side, plan: &LegPlan) -> Self {
        let codec = plan.agreed.audio.codec;
        let keys = match &plan.agreed.keying {
            Keying::None => None,
            // What the session sends under is what we receive under.
            Keying::Sdes { local, remote } => Some((Protect::new(remote), Unprotect::new(local))),
        };
        let (protect, unprotect) = keys.unzip();
        Self {
            side,
            codec,
            ptime: 20,
            ssrc: 0xaaaa_0000 + side.index() as u32,
            sequence: 65_500 + side.index() as u16,
            timestamp: u32::MAX - 3_000,
            tone: Tone::new(HERTZ, LEVEL),
            encoder: Encoder::new(codec, &OpusSettings::default()).unwrap(),
            talking: true,
            next: now,
            protect,
            unprotect,
            source: plan.agreed.remote_rtp,
            received: Vec::new(),
            rtcp: Vec::new(),
            undecryptable: 0,
            said: 0,
        }
    }

    /// The next packet of the tone, sealed.
    pub fn say(&mut self) -> Packet {
        let mut pcm = vec![0; self.ptime as usize * 8];
        self.tone.fill(&mut pcm);
        self.say_this(&pcm)
    }

    /// The next packet, of this audio, sealed.
    pub fn say_this(&mut self, pcm: &[i16]) -> Packet {
        let mut payload = [0; 1_000];
        let len = self.encoder.encode(pcm, &mut payload).unwrap();
        let packet = self.packet(pt_of(self.codec), false, self.timestamp, &payload[..len]);
        self.timestamp = self
            .timestamp
            .wrapping_add(pcm.len() as u32 * self.codec.clock() / 8_000);
        self.said += 1;
        packet
    }

    /// A packet with the next sequence number, sealed.
    pub fn packet(&mut self, pt: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Packet {
        let mut header = [0; 12];
        Header {
            marker,
            pt,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload: 0..0,
        }
        .write(&mut header);
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = Packet::new();
        packet.fill(&[&header[..], payload].concat());
        if let Some(protect) = &mut self.protect {
            protect.rtp(&mut packet).unwrap();
        }
        packet
    }

    fn hear(&mut self, now: Instant, packet: &Packet) {
        let mut plain = Packet::new();
        plain.fill(packet.as_slice());
        let rtcp = rtp::is_rtcp(plain.as_slice());
        if let Some(unprotect) = &mut self.unprotect {
            let opened = if rtcp {
                unprotect.rtcp(&mut plain)
            } else {
                unprotect.rtp(&mut plain)
            };
            if opened.is_err() {
                self.undecryptable += 1;
                return;
            }
        }
        if rtcp {
            return self.rtcp.push(plain.as_slice().to_vec());
        }
        let header = Header::parse(plain.as_slice()).expect("the session sends RTP");
        let payload = plain.as_slice()[header.payload.clone()].to_vec();
        self.received.push(Heard {
            at: now,
            header,
            payload,
        });
    }

    /// Everything heard as PCM, laid out by timestamps; what is missing is concealed up to 60 ms and
    /// silent beyond, as a simple endpoint would.
    pub fn pcm(&self) -> Vec<i16> {
        let audio = self
            .received
            .iter()
            .filter(|heard| heard.header.pt == pt_of(self.codec));
        let mut packets: Vec<_> = audio.collect();
        let Some(first) = packets.first() else {
            return Vec::new();
        };
        let (base, start) = (first.header.sequence, first.header.timestamp);
        packets.sort_by_key(|heard| heard.header.sequence.wrapping_sub(base));
        let per_sample = self.codec.clock() / 8_000;
        let mut decoder = Decoder::new(self.codec).unwrap();
        let mut pcm: Vec<i16> = Vec::new();
        for heard in packets {
            let at = (heard.header.timestamp.wrapping_sub(start) / per_sample) as usize;
            if at > pcm.len() {
                let mut hole = vec![0; at - pcm.len()];
                let concealed = hole.len().min(480);
                let (before, last) = hole[..concealed].split_at_mut(concealed.saturating_sub(160));
                decoder.conceal(before);
                decoder.recover(&heard.payload, last);
                pcm.extend(hole);
            }
            let mut out = [0; MAX_SAMPLES];
            let decoded = decoder
                .decode(&heard.payload, &mut out)
                .expect("the session sends what can be decoded");
            pcm.extend_from_slice(&out[..decoded]);
        }
        pcm
    }

    pub fn verdict(&self) -> Verdict {
        judge(&self.pcm(), HERTZ, LEVEL)
    }

    /// The same where losses of the other leg may leave holes in the sequence.
    pub fn assert_one_line_or_holes(&self) {
        for pair in self.received.windows(2) {
            let (a, b) = (&pair[0].header, &pair[1].header);
            assert_eq!(a.ssrc, b.ssrc, "a second SSRC");
            let step = b.sequence.wrapping_sub(a.sequence);
            assert!((1..100).contains(&step), "sequence numbers go back or jump");
            assert!(
                (b.timestamp.wrapping_sub(a.timestamp) as i32) >= 0,
                "timestamps go back: {a:?} {b:?}"
            );
        }
    }

    /// One SSRC; sequence numbers that rise by one; timestamps that never go back.
    pub fn assert_one_line(&self) {
        for pair in self.received.windows(2) {
            let (a, b) = (&pair[0].header, &pair[1].header);
            assert_eq!(a.ssrc, b.ssrc, "a second SSRC");
            assert_eq!(
                b.sequence,
                a.sequence.wrapping_add(1),
                "sequence numbers jump"
            );
            assert!(
                (b.timestamp.wrapping_sub(a.timestamp) as i32) >= 0,
                "timestamps go back: {a:?} {b:?}"
            );
        }
    }
}

/// What a link does to a packet.
pub enum Fate {
    Pass,
    Lose,
    /// Give it on after the next one.
    Swap,
}

pub type Link = Box<dyn FnMut(Side, u64) -> Fate>;

/// A session, its two endpoints, and the links from them to it.
pub struct Call {
    pub now: Instant,
    pub start: Instant,
    pub session: Session,
    pub out: Outbox,
    pub peers: [Peer; 2],
    pub events: Vec<(Instant, Event)>,
    pub link: Link,
    swapped: [Option<Packet>; 2],
    packet: Packet,
}

impl Call {
    pub fn new(plans: [LegPlan; 2]) -> Self {
        Self::with(plans, &EngineSettings::default())
    }

    pub fn with(plans: [LegPlan; 2], settings: &EngineSettings) -> Self {
        let now = Instant::now();
        let peers = Side::BOTH.map(|side| Peer::new(now, side, &plans[side.index()]));
        let mut out = Outbox::new();
        let session = Session::start(now, plans, settings, [7; 32], &mut out).unwrap();
        let mut call = Self {
            now,
            start: now,
            session,
            out,
            peers,
            events: Vec::new(),
            link: Box::new(|_, _| Fate::Pass),
            swapped: [None, None],
            packet: Packet::new(),
        };
        call.drain();
        call
    }

    pub fn peer(&mut self, side: Side) -> &mut Peer {
        &mut self.peers[side.index()]
    }

    /// Lets the call run.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let next = self
                .peers
                .iter()
                .map(|peer| peer.next)
                .chain([self.session.next_timeout()])
                .min()
                .unwrap();
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            for side in Side::BOTH {
                if self.peers[side.index()].next <= self.now {
                    let ptime = self.peers[side.index()].ptime;
                    self.peers[side.index()].next += ms(ptime);
                    if self.peers[side.index()].talking {
                        let said = self.peers[side.index()].said;
                        let packet = self.peers[side.index()].say();
                        match (self.link)(side, said) {
                            Fate::Pass => self.arrive(side, packet),
                            Fate::Lose => {}
                            Fate::Swap => self.swapped[side.index()] = Some(packet),
                        }
                    }
                }
            }
            if self.session.next_timeout() <= self.now {
                self.session.timeout(self.now, &mut self.out);
                self.drain();
                assert!(
                    self.session.next_timeout() > self.now,
                    "a timer that is due was not served"
                );
            }
        }
    }

    fn arrive(&mut self, side: Side, packet: Packet) {
        self.send(side, packet);
        if let Some(late) = self.swapped[side.index()].take() {
            self.send(side, late);
        }
    }

    /// Hands a packet of an endpoint to the session.
    pub fn send(&mut self, side: Side, packet: Packet) {
        let source = self.peers[side.index()].source;
        self.send_from(side, Channel::Rtp, source, packet);
    }

    pub fn send_from(&mut self, side: Side, channel: Channel, source: SocketAddr, packet: Packet) {
        self.packet = packet;
        let forward = self.session.receive(
            self.now,
            side,
            channel,
            source,
            &mut self.packet,
            &mut self.out,
        );
        self.take(forward);
        self.drain();
    }

    pub fn drain(&mut self) {
        loop {
            let forward = self
                .session
                .transmit(self.now, &mut self.packet, &mut self.out);
            if forward.is_none() {
                break;
            }
            self.take(forward);
        }
        while let Some(event) = self.out.event() {
            self.events.push((self.now, event));
        }
    }

    fn take(&mut self, forward: Option<Forward>) {
        if let Some(forward) = forward {
            let peer = &mut self.peers[forward.to.index()];
            if rtp::is_rtcp(self.packet.as_slice()) {
                assert!(forward.channel == Channel::Rtcp || peer.unprotect.is_some());
            }
            peer.hear(self.now, &self.packet);
        }
    }

    pub fn told(&self, event: &Event) -> bool {
        self.events.iter().any(|(_, told)| told == event)
    }
}
