//! Media threads on loopback: ports, packets, gates, the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use b2bua::{CallId, LocalMedia, MediaCommand, MediaEvent, Network};
use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::report::MediaReport;
use sdp::{Agreed, Codec, Direction, Keying, Negotiated, Side};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wa_sbc::config::{MediaSettings, MetaPort};
use wa_sbc::media::Workers;

mod shared;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Media threads and what they tell.
struct Lab {
    workers: Workers,
    events: UnboundedReceiver<(CallId, MediaEvent)>,
}

impl Lab {
    fn new(ports: &str, threads: usize) -> Self {
        Lab::with(ports, threads, MetaPort::PerCall)
    }

    fn with(ports: &str, threads: usize, meta_port: MetaPort) -> Self {
        let settings = MediaSettings {
            public: "203.0.113.7".parse().expect("an address"),
            public_bind: LOOPBACK,
            private: LOOPBACK,
            private_bind: LOOPBACK,
            ports: ports.parse().expect("a range"),
            meta_port,
            threads,
            dscp: 46,
            opus_complexity: 5,
            tell_reports: false,
            preroll: Duration::ZERO,
            opus_bitrate: 20_000,
        };
        let (sender, events) = unbounded_channel();
        Self {
            workers: Workers::start(&settings, &sender).expect("threads"),
            events,
        }
    }

    fn tell(&self, call: u64, command: MediaCommand) {
        assert!(self.workers.send(CallId(call), command));
    }

    /// The next event of a call, within two seconds.
    fn event(&mut self, call: u64) -> MediaEvent {
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            match self.events.try_recv() {
                Ok((CallId(id), event)) if id == call => return event,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("no event of call {call}");
    }

    fn open(&mut self, call: u64) -> [LocalMedia; 2] {
        self.tell(
            call,
            MediaCommand::Open {
                a: Network::Public,
                b: Network::Private,
            },
        );
        match self.event(call) {
            MediaEvent::Opened { a, b } => [a, b],
            other => panic!("{other:?}"),
        }
    }

    /// Starts and waits until the thread has seen it.
    fn start(&mut self, call: u64, plans: [LegPlan; 2]) {
        self.tell(
            call,
            MediaCommand::Start {
                plans: Box::new(plans),
            },
        );
        // A call nobody opened, on the same thread: its answer comes after everything before it.
        let behind = call + 1_000_000;
        self.tell(behind, MediaCommand::Close);
        assert!(matches!(self.event(behind), MediaEvent::Closed(_)));
    }

    fn close(&mut self, call: u64) -> MediaReport {
        self.tell(call, MediaCommand::Close);
        loop {
            if let MediaEvent::Closed(report) = self.event(call) {
                return *report;
            }
        }
    }
}

/// A phone: one socket for RTP, one for RTCP.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Phone {
    fn new() -> Self {
        let bind = || {
            let socket = UdpSocket::bind((LOOPBACK, 0)).expect("a port");
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .expect("a timeout");
            socket
        };
        Self {
            rtp: bind(),
            rtcp: bind(),
        }
    }

    fn plan(&self, ssrc: u32, gate: Gate, silence: Silence) -> LegPlan {
        let audio = Negotiated {
            codec: Codec::Pcma,
            send_pt: 8,
            receive_pt: 8,
            remote_fmtp: None,
        };
        LegPlan {
            agreed: Agreed {
                remote_rtp: self.rtp.local_addr().expect("bound"),
                remote_rtcp: self.rtcp.local_addr().expect("bound"),
                rtcp_mux: false,
                wants_voip_metrics: false,
                audio,
                dtmf: None,
                ptime: 20,
                keying: Keying::None,
                direction: Direction::SendRecv,
            },
            ssrc,
            cname: "sbc".into(),
            gate,
            silence,
            latch: Latch::Plausible { signalling: None },
            inactivity: None,
            quiet: None,
            proof: None,
            unsolicited_dtmf: None,
            care: Default::default(),
        }
    }

    fn speak(&self, sequence: u16, to: u16) {
        let mut packet = vec![0x80, 8];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend(0x1234_5678_u32.to_be_bytes());
        packet.extend([(sequence % 251) as u8; 160]);
        self.rtp.send_to(&packet, (LOOPBACK, to)).expect("sent");
    }

    /// The next RTP packet: SSRC, payload, source.
    fn hear(&self) -> Option<(u32, Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2048];
        let (length, source) = self.rtp.recv_from(&mut buffer).ok()?;
        let ssrc = u32::from_be_bytes(buffer[8..12].try_into().expect("four bytes"));
        Some((ssrc, buffer[12..length].to_vec(), source))
    }

    fn is_silent_for(&self, time: Duration) -> bool {
        self.rtp.set_read_timeout(Some(time)).expect("a timeout");
        let silent = self.hear().is_none();
        self.rtp
            .set_read_timeout(Some(Duration::from_secs(2)))
            .expect("a timeout");
        silent
    }
}

#[test]
fn two_phones_hear_each_other_and_the_report_counts_what_was_said() {
    let mut lab = Lab::new("41000-41099", 2);
    let [a, b] = lab.open(1);
    assert_eq!(
        a.address.to_string(),
        "203.0.113.7",
        "the peer is told the public address"
    );
    assert_eq!(b.address, LOOPBACK);
    for local in [a, b] {
        assert_eq!(
            (local.rtp_port % 2, local.rtcp_port),
            (0, local.rtp_port + 1)
        );
    }
    let phones = [Phone::new(), Phone::new()];
    let plans = [
        phones[0].plan(0xA, Gate::Open, Silence::Rtcp),
        phones[1].plan(0xB, Gate::Open, Silence::Rtcp),
    ];
    lab.start(1, plans);
    for sequence in 1..=20 {
        phones[0].speak(sequence, a.rtp_port);
        phones[1].speak(sequence, b.rtp_port);
        let payload = vec![(sequence % 251) as u8; 160];
        let (ssrc, heard, source) = phones[1].hear().expect("A is heard by B");
        assert_eq!((ssrc, source.port()), (0xB, b.rtp_port));
        assert_eq!(heard, payload);
        let (ssrc, heard, source) = phones[0].hear().expect("B is heard by A");
        assert_eq!((ssrc, source.port()), (0xA, a.rtp_port));
        assert_eq!(heard, payload);
    }
    let mut told: Vec<MediaEvent> = (0..4).map(|_| lab.event(1)).collect();
    told.sort_by_key(|event| format!("{event:?}"));
    let expected = [
        MediaEvent::FirstReceived(Side::A),
        MediaEvent::FirstReceived(Side::B),
        MediaEvent::FirstSent(Side::A),
        MediaEvent::FirstSent(Side::B),
    ];
    assert_eq!(told, expected);
    let report = lab.close(1);
    for leg in &report.legs {
        assert_eq!(
            (leg.packets_received, leg.packets_sent, leg.lost),
            (20, 20, 0)
        );
    }
    lab.workers.stop();
}

#[test]
fn nothing_leaves_before_the_gate_opens_and_filler_leaves_at_once_after_it() {
    let mut lab = Lab::new("41100-41199", 1);
    let [_, b] = lab.open(7);
    let phones = [Phone::new(), Phone::new()];
    let plans = [
        phones[0].plan(0xA, Gate::Shut, Silence::Frames),
        phones[1].plan(0xB, Gate::Open, Silence::Rtcp),
    ];
    lab.start(7, plans);
    phones[1].speak(1, b.rtp_port);
    assert!(phones[0].is_silent_for(Duration::from_millis(150)));
    let opened = Instant::now();
    lab.tell(7, MediaCommand::OpenGate(Side::A));
    assert_eq!(phones[0].hear().expect("filler").0, 0xA);
    assert!(
        opened.elapsed() < Duration::from_millis(100),
        "{:?}",
        opened.elapsed()
    );
    // Filler goes on at its pace, by the timers of the thread alone.
    let start = Instant::now();
    for _ in 0..10 {
        phones[0].hear().expect("filler");
    }
    let pace = start.elapsed();
    assert!(
        (Duration::from_millis(150)..Duration::from_millis(400)).contains(&pace),
        "{pace:?}"
    );
    lab.close(7);
    lab.workers.stop();
}

#[test]
fn a_phone_that_goes_on_talking_after_the_end_is_not_heard_in_the_next_call() {
    // Room for two pairs a call, twice.
    let mut lab = Lab::new("41200-41207", 1);
    let [a, _] = lab.open(1);
    let phones = [Phone::new(), Phone::new()];
    let plans = [
        phones[0].plan(0xA, Gate::Open, Silence::Rtcp),
        phones[1].plan(0xB, Gate::Open, Silence::Rtcp),
    ];
    lab.start(1, plans);
    phones[0].speak(1, a.rtp_port);
    assert!(phones[1].hear().is_some());
    lab.close(1);
    let next = lab.open(2);
    assert!(
        next.iter().all(|local| local.rtp_port != a.rtp_port),
        "a draining port was leased"
    );
    phones[0].speak(2, a.rtp_port);
    assert!(phones[1].is_silent_for(Duration::from_millis(100)));
    // The port is still bound by us: nobody else can get it while it drains.
    assert!(UdpSocket::bind((LOOPBACK, a.rtp_port)).is_err());
    lab.workers.stop();
    assert!(
        UdpSocket::bind((LOOPBACK, a.rtp_port)).is_ok(),
        "nothing stays bound after the end"
    );
}

#[test]
fn when_the_ports_are_used_up_the_call_is_refused_with_the_key_to_change() {
    let mut lab = Lab::new("41300-41307", 1);
    lab.open(1);
    lab.open(2);
    lab.tell(
        3,
        MediaCommand::Open {
            a: Network::Public,
            b: Network::Private,
        },
    );
    let MediaEvent::Failed(why) = lab.event(3) else {
        panic!("no failure")
    };
    assert!(why.contains("[media] ports"), "{why}");
    assert_eq!(lab.close(3), MediaReport::default());
    lab.workers.stop();
}

#[test]
fn a_port_somebody_else_has_bound_is_passed_over() {
    let _somebody = UdpSocket::bind((LOOPBACK, 41401)).expect("a free port");
    let mut lab = Lab::new("41400-41407", 1);
    let [a, b] = lab.open(1);
    assert_eq!([a.rtp_port, b.rtp_port], [41402, 41404]);
    lab.workers.stop();
}

#[test]
fn commands_for_calls_nobody_opened_are_answered_and_harm_nobody() {
    let mut lab = Lab::new("41500-41507", 2);
    let phone = Phone::new();
    let plans = || Box::new([0xA, 0xB].map(|ssrc| phone.plan(ssrc, Gate::Open, Silence::Rtcp)));
    lab.tell(1, MediaCommand::Start { plans: plans() });
    assert!(matches!(lab.event(1), MediaEvent::Failed(_)));
    lab.tell(2, MediaCommand::OpenGate(Side::A));
    assert_eq!(lab.close(2), MediaReport::default());
    lab.open(3);
    lab.close(3);
    lab.workers.stop();
}

#[test]
fn junk_at_the_ports_of_a_call_leaves_it_untouched() {
    let mut lab = Lab::new("41600-41699", 1);
    let [a, b] = lab.open(1);
    let phones = [Phone::new(), Phone::new()];
    let plans = [
        phones[0].plan(0xA, Gate::Open, Silence::Rtcp),
        phones[1].plan(0xB, Gate::Open, Silence::Rtcp),
    ];
    lab.start(1, plans);
    let stranger = UdpSocket::bind((LOOPBACK, 0)).expect("a port");
    for round in 1..=50_u16 {
        for length in [0, 1, 11, 12, 13, 200, 1500, 4000] {
            let junk = vec![(round * 7) as u8; length];
            for port in [a.rtp_port, a.rtcp_port, b.rtp_port, b.rtcp_port] {
                stranger.send_to(&junk, (LOOPBACK, port)).expect("sent");
                phones[0]
                    .rtcp
                    .send_to(&junk, (LOOPBACK, port))
                    .expect("sent");
            }
        }
        phones[0].speak(round, a.rtp_port);
        let (ssrc, heard, _) = phones[1].hear().expect("A is heard by B");
        assert_eq!((ssrc, heard), (0xB, vec![(round % 251) as u8; 160]));
    }
    let report = lab.close(1);
    assert_eq!(report.legs[0].packets_received, 50);
    lab.workers.stop();
}
