//! One port towards Meta for all calls: whose packet is whose, whatever it says about itself.

use std::rc::Rc;

use media::Packet;
use media::srtp::{Protect, Unprotect};
use sdp::{Crypto, SrtpKey, Suite};

use super::*;

/// What says which call a payload belongs to.
const LENGTH: usize = 160;

fn key(fill: u8) -> Crypto {
    Crypto {
        tag: 1,
        suite: Suite::AesCm128HmacSha1_80,
        key: SrtpKey::new([fill; 30]),
        lifetime: None,
        mki: None,
    }
}

fn socket() -> Rc<UdpSocket> {
    let socket = UdpSocket::bind((LOOPBACK, 0)).expect("a port");
    let two_seconds = Some(Duration::from_secs(2));
    socket.set_read_timeout(two_seconds).expect("a timeout");
    Rc::new(socket)
}

/// Meta's end of a call: the socket may be another call's too.
struct Caller {
    socket: Rc<UdpSocket>,
    ssrc: u32,
    says: u8,
    sequence: u16,
    protect: Protect,
    unprotect: Unprotect,
}

impl Caller {
    /// `says`: its key, and the sound of its voice.
    fn new(socket: &Rc<UdpSocket>, ssrc: u32, says: u8) -> Self {
        Self {
            socket: socket.clone(),
            ssrc,
            says,
            sequence: 0,
            protect: Protect::new(&key(says)),
            unprotect: Unprotect::new(&key(says + 100)),
        }
    }

    fn plan(&self, ssrc: u32) -> LegPlan {
        let mut plan = Phone::new().plan(ssrc, Gate::Open, Silence::Rtcp);
        plan.agreed.remote_rtp = self.socket.local_addr().expect("bound");
        plan.agreed.remote_rtcp = plan.agreed.remote_rtp;
        plan.agreed.rtcp_mux = true;
        plan.agreed.keying = Keying::Sdes {
            local: key(self.says + 100).into(),
            remote: key(self.says).into(),
        };
        plan.latch = Latch::Authenticated;
        plan
    }

    fn sealed(&mut self) -> Vec<u8> {
        self.sequence += 1;
        let mut bytes = vec![0x80, 8];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend((u32::from(self.sequence) * 160).to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend([self.says; LENGTH]);
        let mut packet = Packet::new();
        packet.fill(&bytes);
        self.protect.rtp(&mut packet).expect("sealed");
        packet.as_slice().to_vec()
    }

    fn speak(&mut self, to: u16) {
        let bytes = self.sealed();
        self.socket.send_to(&bytes, (LOOPBACK, to)).expect("sent");
    }

    /// The next RTP packet at its socket: its SSRC, and whether it opens with the call's key.
    fn hear(&mut self) -> Option<(u32, bool)> {
        loop {
            let mut packet = Packet::new();
            let (length, _) = self.socket.recv_from(packet.buffer_mut()).ok()?;
            packet.set_len(length);
            if !media::rtp::is_rtcp(packet.as_slice()) {
                let ssrc = media::rtp::sender(packet.as_slice())?;
                return Some((ssrc, self.unprotect.rtp(&mut packet).is_ok()));
            }
        }
    }
}

/// Calls that are up: the caller, the phone it reaches, the port of that phone's leg.
struct Calls {
    lab: Lab,
    port: u16,
    up: Vec<(Caller, Phone, u16)>,
}

impl Calls {
    fn new(ports: &str) -> Self {
        let lab = Lab::with(ports, 1, MetaPort::Single);
        let port = ports[..5].parse().expect("the first port");
        Self {
            lab,
            port,
            up: Vec::new(),
        }
    }

    fn add(&mut self, caller: Caller) {
        let call = self.up.len() as u64 + 1;
        let [a, b] = self.lab.open(call);
        assert_eq!((a.rtp_port, a.rtcp_port), (self.port, self.port + 1));
        assert_ne!(b.rtp_port, self.port);
        let phone = Phone::new();
        let plans = [
            caller.plan(0xA0 + call as u32),
            phone.plan(0xB0 + call as u32, Gate::Open, Silence::Rtcp),
        ];
        self.lab.start(call, plans);
        self.up.push((caller, phone, b.rtp_port));
    }

    /// The caller says a packet and the phone hears it, and nothing else.
    fn talk(&mut self, at: usize) {
        let port = self.port;
        let (caller, phone, _) = &mut self.up[at];
        caller.speak(port);
        let (_, payload, _) = phone.hear().expect("the caller is heard");
        assert_eq!(payload, [caller.says; LENGTH], "call {at}");
    }

    /// The phone says a packet and the caller hears it.
    fn answer(&mut self, at: usize, sequence: u16) {
        let (caller, phone, port) = &mut self.up[at];
        phone.speak(sequence, *port);
        assert_eq!(caller.hear(), Some((0xA0 + at as u32 + 1, true)));
    }

    fn close(mut self) -> Vec<MediaReport> {
        let reports = (1..=self.up.len() as u64).map(|call| self.lab.close(call));
        let reports = reports.collect();
        self.lab.workers.stop();
        reports
    }
}

#[test]
fn calls_from_one_address_and_port_are_told_apart_even_with_one_ssrc() {
    let mut calls = Calls::new("41700-41799");
    let relay = socket();
    for (ssrc, says) in [(7, 1), (7, 2), (9, 3)] {
        calls.add(Caller::new(&relay, ssrc, says));
    }
    for round in 1..=30 {
        for at in 0..3 {
            calls.talk(at);
            calls.answer(at, round);
        }
    }
    for report in calls.close() {
        for leg in report.legs {
            assert_eq!((leg.packets_received, leg.packets_sent), (30, 30));
        }
    }
}

#[test]
fn who_forges_a_source_or_an_ssrc_or_repeats_a_packet_steals_nothing() {
    let mut calls = Calls::new("41800-41899");
    let (relay, stranger) = (socket(), socket());
    calls.add(Caller::new(&relay, 7, 1));
    calls.add(Caller::new(&relay, 9, 2));
    let port = calls.port;
    for round in 1..=30 {
        // Another key under the call's SSRC, from elsewhere and from the relay itself; an unknown SSRC; a
        // packet of the call, repeated from elsewhere and from where it came.
        for (from, ssrc) in [
            (&stranger, 7),
            (&relay, 7),
            (&stranger, 4_711),
            (&relay, 4_711),
        ] {
            let mut forger = Caller::new(from, ssrc, 66);
            forger.sequence = round + 100;
            forger.speak(port);
        }
        let said = calls.up[0].0.sealed();
        for from in [&relay, &relay, &stranger] {
            from.send_to(&said, (LOOPBACK, port)).expect("sent");
        }
        let (_, payload, _) = calls.up[0].1.hear().expect("once");
        assert_eq!(payload, [1; LENGTH]);
        calls.talk(1);
        calls.answer(0, round);
        calls.answer(1, round);
    }
    let refused = calls.lab.workers.gauges()[0].unclaimed();
    assert_eq!(refused, 30 * 6, "four forged ones, two copies");
    let reports = calls.close();
    let leg = &reports[0].legs[0];
    assert_eq!(leg.packets_received, 30);
    assert!(leg.undecryptable >= 58, "{leg:?}");
    assert_eq!(reports[1].legs[0].packets_received, 30);
}

#[test]
fn a_far_side_that_moves_is_followed_with_its_first_packet() {
    let mut calls = Calls::new("41900-41999");
    let (relay, next) = (socket(), socket());
    calls.add(Caller::new(&relay, 7, 1));
    calls.add(Caller::new(&relay, 9, 2));
    for at in 0..2 {
        calls.talk(at);
        calls.answer(at, 1);
    }
    calls.up[1].0.socket = next.clone();
    calls.talk(1);
    calls.answer(1, 2);
    // Another SSRC from a third place: nothing but the key is as it was.
    calls.up[1].0.socket = socket();
    calls.up[1].0.ssrc = 13;
    calls.talk(1);
    calls.answer(1, 3);
    calls.talk(0);
    calls.answer(0, 2);
    calls.close();
}

#[test]
fn reports_come_to_the_port_behind_it_where_they_are_not_multiplexed() {
    let mut calls = Calls::new("42000-42099");
    let relay = socket();
    let reporting = socket();
    calls.add(Caller::new(&relay, 7, 1));
    calls.add(Caller::new(&relay, 9, 2));
    calls.talk(0);
    let mut bytes = [0; 400];
    let len = media::rtcp::write(&mut bytes, 7, None, None, b"far side", false);
    let mut packet = Packet::new();
    packet.fill(&bytes[..len]);
    let caller = &mut calls.up[0].0;
    caller.protect.rtcp(&mut packet).expect("sealed");
    reporting
        .send_to(packet.as_slice(), (LOOPBACK, calls.port + 1))
        .expect("sent");
    calls.talk(0);
    calls.talk(1);
    // The thread looks at one socket after the other: what was sent first may be seen last.
    let deadline = Instant::now() + Duration::from_secs(2);
    while calls.lab.workers.gauges()[0].unclaimed() == 0 && Instant::now() < deadline {
        relay
            .send_to(&[0x80; 40], (LOOPBACK, calls.port + 1))
            .expect("sent");
        std::thread::sleep(Duration::from_millis(2));
    }
    let reports = calls.close();
    assert_eq!(reports[0].legs[0].rtcp_received, 1);
    assert_eq!(reports[1].legs[0].rtcp_received, 0);
}

#[test]
fn a_flood_at_the_port_keeps_no_call_from_going_on_and_none_from_beginning() {
    let mut calls = Calls::new("42100-42199");
    let (relay, other, stranger) = (socket(), socket(), socket());
    calls.add(Caller::new(&relay, 7, 1));
    calls.talk(0);
    let flood = |port: u16, round: u16| {
        for n in 0..60_u16 {
            let mut junk = vec![0x80, 8];
            junk.extend([0; 6]);
            junk.extend((u32::from(round) << 16 | u32::from(n)).to_be_bytes());
            junk.extend([n as u8; LENGTH]);
            let from = if n % 3 == 0 { &relay } else { &stranger };
            from.send_to(&junk, (LOOPBACK, port)).expect("sent");
        }
    };
    for round in 0..50 {
        flood(calls.port, round);
        calls.talk(0);
        if round == 20 {
            calls.add(Caller::new(&other, 9, 2));
        }
        if round >= 20 {
            flood(calls.port, round + 1_000);
            calls.talk(1);
        }
    }
    let reports = calls.close();
    assert_eq!(reports[0].legs[0].packets_received, 51);
    assert_eq!(reports[1].legs[0].packets_received, 30);
}

#[test]
fn who_goes_on_talking_after_the_end_is_nobodys_and_the_next_call_may_begin_at_once() {
    let mut calls = Calls::new("42200-42299");
    let relay = socket();
    calls.add(Caller::new(&relay, 7, 1));
    calls.talk(0);
    calls.lab.close(1);
    calls.add(Caller::new(&relay, 7, 2));
    let port = calls.port;
    let (late, phone, _) = &mut calls.up[0];
    late.speak(port);
    assert!(phone.is_silent_for(Duration::from_millis(50)));
    calls.talk(1);
    calls.answer(1, 1);
    assert_eq!(calls.lab.close(1), MediaReport::default());
    assert_eq!(calls.lab.close(2).legs[0].packets_received, 1);
    calls.lab.workers.stop();
    assert!(
        UdpSocket::bind((LOOPBACK, port)).is_ok(),
        "nothing stays bound after the end"
    );
}

#[test]
fn threads_share_consecutive_pairs_and_calls_lease_from_the_rest() {
    let mut lab = Lab::with("42300-42311", 2, MetaPort::Single);
    let mut seen: Vec<_> = (1..=4)
        .map(|call| lab.open(call).map(|of| of.rtp_port))
        .collect();
    seen.sort_unstable();
    let shared: Vec<u16> = seen.iter().map(|[a, _]| *a).collect();
    assert_eq!(shared, [42300, 42300, 42302, 42302]);
    assert!(seen.iter().all(|[_, b]| (42304..42312).contains(b)));
    lab.workers.stop();
}
