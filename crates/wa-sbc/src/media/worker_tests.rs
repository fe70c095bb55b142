//! From socket to socket a packet allocates nothing: with ports of the call's own and with the port calls share,
//! passed on and transcoded, under every suite, captured or not, forged ones too.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::channel;

use b2bua::Network;
use media::codec::{Encoder, OpusSettings};
use media::rtp::Header;
use media::srtp::Protect;
use media::tone::Tone;
use rustls::crypto::ring;
use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::{Agreed, Codec, Crypto, Direction, Keying, Negotiated, SrtpKey, Suite};
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::capture::glimpses;
use crate::config::MetaPort;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CALL: CallId = CallId(7);

/// Where a test finds ports of its own, by its number.
fn settings(number: u16) -> MediaSettings {
    let first = 27_000 + number * 20;
    MediaSettings {
        public: HOME,
        public_bind: HOME,
        private: HOME,
        private_bind: HOME,
        ports: PortRange::new(first, first + 19).expect("a range"),
        meta_port: MetaPort::PerCall,
        threads: 1,
        dscp: 0,
        opus_complexity: 5,
        opus_bitrate: 20_000,
        preroll: Duration::ZERO,
        tell_reports: true,
    }
}

/// One far side: its socket, and what it says.
struct FarSide {
    socket: UdpSocket,
    codec: Codec,
    protect: Option<Protect>,
    encoder: Encoder,
    tone: Tone,
    sequence: u16,
}

impl FarSide {
    fn new(codec: Codec, protect: Option<Protect>) -> Self {
        let socket = UdpSocket::bind((HOME, 0)).expect("a port");
        socket.set_nonblocking(true).expect("non-blocking");
        Self {
            socket,
            codec,
            protect,
            encoder: Encoder::new(codec, &OpusSettings::default()).expect("an audio codec"),
            tone: Tone::new(1_000.0, -10.0),
            sequence: 0,
        }
    }

    /// The next packet of its audio.
    fn say(&mut self) -> Vec<u8> {
        let (mut pcm, mut bytes) = ([0; 160], [0; 500]);
        self.tone.fill(&mut pcm);
        let length = self.encoder.encode(&pcm, &mut bytes[12..]).expect("20 ms");
        self.sequence += 1;
        let header = Header {
            marker: false,
            pt: payload_type(self.codec),
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * self.codec.clock() / 50,
            ssrc: 0xcafe,
            payload: 0..0,
        };
        header.write(bytes.first_chunk_mut().expect("twelve octets"));
        let mut packet = Packet::new();
        packet.fill(&bytes[..12 + length]);
        if let Some(protect) = &mut self.protect {
            protect.rtp(&mut packet).expect("sealed");
        }
        packet.as_slice().to_vec()
    }

    /// How many datagrams came.
    fn heard(&self) -> usize {
        let mut buffer = [0; 2_048];
        std::iter::from_fn(|| self.socket.recv(&mut buffer).ok()).count()
    }
}

fn payload_type(codec: Codec) -> u8 {
    if codec == Codec::Opus { 111 } else { 8 }
}

fn crypto(suite: Suite, fill: u8) -> Crypto {
    Crypto {
        tag: 1,
        suite,
        key: SrtpKey::wide([fill; 44]).fit(suite).expect("wide enough"),
        lifetime: None,
        mki: None,
    }
}

fn plan(far: &FarSide, keying: Keying, ssrc: u32) -> LegPlan {
    let remote = far.socket.local_addr().expect("bound");
    LegPlan {
        agreed: Agreed {
            remote_rtp: remote,
            remote_rtcp: remote,
            rtcp_mux: true,
            audio: Negotiated {
                codec: far.codec,
                send_pt: payload_type(far.codec),
                receive_pt: payload_type(far.codec),
                remote_fmtp: None,
            },
            direction: Direction::SendRecv,
            keying,
            ..LegPlan::nobody().agreed
        },
        ssrc,
        cname: "audio@sbc".to_owned(),
        gate: Gate::Open,
        silence: Silence::Rtcp,
        latch: Latch::Plausible { signalling: None },
        ..LegPlan::nobody()
    }
}

/// One second of a call, both ways, through a worker on loopback.
fn second(number: u16, codecs: [Codec; 2], suite: Suite, shared: bool, captured: bool) {
    let settings = settings(number);
    let poll = Poll::new().expect("epoll");
    let (_commands, receiver) = channel();
    let (events, mut told) = unbounded_channel();
    let range = PortRange::new(27_000 + number * 20 + 2, 27_000 + number * 20 + 19);
    let port = shared.then(|| {
        SharedPort::bind(&settings, 27_000 + number * 20, &poll).expect("a port of the test's own")
    });
    let random = ring::default_provider().secure_random;
    let range = range.expect("a range");
    let gauge = Arc::new(Gauge::default());
    let mut worker =
        Worker::new(poll, receiver, events, settings, range, random, gauge).sharing(port);

    let (ours, theirs) = (crypto(suite, 17), crypto(suite, 34));
    let mut user = FarSide::new(codecs[0], Some(Protect::new(&theirs)));
    let mut desk = FarSide::new(codecs[1], None);
    let keying = Keying::Sdes {
        local: ours.into(),
        remote: theirs.into(),
    };
    let plans = Box::new([plan(&user, keying, 1), plan(&desk, Keying::None, 2)]);
    let networks = MediaCommand::Open {
        a: Network::Public,
        b: Network::Private,
    };
    worker.command(CALL, networks);
    let Ok((_, MediaEvent::Opened { a, b })) = told.try_recv() else {
        panic!("ports are free")
    };
    worker.command(CALL, MediaCommand::Start { plans });
    let (tap, mut seen) = glimpses(clock::now(), clock::wall());
    if captured {
        worker.common.tap = Some(tap);
        let watched = Watched {
            by: 1,
            carrier: Side::A,
        };
        worker.watch(CALL, watched);
    }

    let words: Vec<[Vec<u8>; 2]> = (0..60).map(|_| [user.say(), desk.say()]).collect();
    let forged = [vec![0x80; 90], words[3][0].clone()];
    let say = |worker: &mut Worker, words: &[[Vec<u8>; 2]]| {
        for [from_user, from_desk] in words {
            let at_a = (a.address, a.rtp_port);
            user.socket.send_to(from_user, at_a).expect("sent");
            desk.socket
                .send_to(from_desk, (b.address, b.rtp_port))
                .expect("sent");
            for one in &forged {
                user.socket.send_to(one, at_a).expect("sent");
            }
            // One look takes one packet of each socket of a call's own.
            for _ in 0..4 {
                worker.poll.wait(Some(Duration::ZERO)).expect("epoll");
                worker.look();
            }
            if let Some(port) = &mut worker.common.shared {
                port.flush();
            }
        }
    };
    // The first packets are told to the core, and the way is learned.
    say(&mut worker, &words[..10]);
    while told.try_recv().is_ok() {}
    let work = allocation_counter::measure(|| say(&mut worker, &words[10..]));
    let name = format!("{codecs:?} {suite:?}, shared: {shared}, captured: {captured}");
    assert_eq!(work.count_total, 0, "{name}: {work:?}");
    // And it was real work. More than a second was said in a moment: where it is decoded, a sixth of it is made up for by saying
    // the rest faster.
    let (at_user, at_desk) = (user.heard(), desk.heard());
    let whole = if codecs[0] == codecs[1] { 55 } else { 50 };
    assert!(
        at_user >= whole && at_desk >= 55,
        "{name}: {at_user} and {at_desk} of 60"
    );
    let mut bytes = Vec::new();
    let shown = std::iter::from_fn(|| seen.next(&mut bytes)).count();
    assert_eq!(shown > 200, captured, "{name}: {shown} shown");
    worker.command(CALL, MediaCommand::Close);
    let report = std::iter::from_fn(|| told.try_recv().ok()).find_map(|(_, event)| match event {
        MediaEvent::Closed(report) => Some(report),
        _ => None,
    });
    let leg = report.expect("the last word").legs[0].clone();
    assert!(leg.undecryptable + leg.malformed > 0, "{name}: {leg:?}");
}

#[test]
fn a_packet_between_ports_of_the_calls_own_allocates_nothing() {
    for (number, codecs, captured) in [
        (0, [Codec::Opus, Codec::Opus], false),
        (1, [Codec::Opus, Codec::Opus], true),
        (2, [Codec::Pcma, Codec::Pcma], false),
        (3, [Codec::Opus, Codec::Pcma], true),
    ] {
        let suite = Suite::AesCm128HmacSha1_80;
        second(number, codecs, suite, false, captured);
    }
}

#[test]
fn a_packet_of_the_port_calls_share_allocates_nothing_under_any_suite() {
    for (number, suite) in (10..).zip(Suite::ALL) {
        let codecs = [
            Codec::Opus,
            if number % 2 == 0 {
                Codec::Opus
            } else {
                Codec::Pcma
            },
        ];
        second(number, codecs, suite, true, number % 3 == 0);
    }
}
