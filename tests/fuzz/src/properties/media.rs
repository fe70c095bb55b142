//! Datagrams at the media ports of a call: whatever they hold and whenever they come, from the peer or a stranger, the session
//! sends one well-formed line to each side and serves its timers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::rtp::{self, Header};
use media::srtp::{Protect, Unprotect};
use media::{Channel, EngineSettings, Outbox, Packet, Session};
use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::{Agreed, Codec, Crypto, Direction, Keying, Negotiated, Side, SrtpKey, Suite};

/// What comes is a list of datagrams: a byte of choices (side, port, source, sealed or not), a byte of time (ms), a byte of
/// length, the datagram.
pub(super) fn holds(mut bytes: &[u8]) {
    let mut now = Instant::now();
    let plans = [secured(), plain()];
    let (ours, theirs) = (crypto(17), crypto(34));
    let (mut seal, mut open) = (Protect::new(&theirs), Unprotect::new(&ours));
    let mut out = Outbox::new();
    let mut session = Session::start(now, plans, &EngineSettings::default(), [7; 32], &mut out)
        .expect("plans of ours");
    let mut lines = Lines::default();
    let mut packet = Packet::new();
    while let [choices, wait, len, rest @ ..] = bytes {
        let (datagram, after) = rest.split_at(usize::from(*len).min(rest.len()));
        bytes = after;
        now += Duration::from_millis(u64::from(*wait));
        while session.next_timeout() <= now {
            let due = session.next_timeout();
            session.timeout(due, &mut out);
            while let Some(forward) = session.transmit(due, &mut packet, &mut out) {
                lines.sent(forward.to, &packet, &mut open);
            }
            assert!(
                session.next_timeout() > due,
                "a timer that is due was not served"
            );
        }
        let side = if choices & 1 == 0 { Side::A } else { Side::B };
        let channel = if choices & 2 == 0 {
            Channel::Rtp
        } else {
            Channel::Rtcp
        };
        let source = if choices & 4 == 0 {
            address(side)
        } else {
            ([198, 51, 100, 66], 666).into()
        };
        packet.fill(datagram);
        if choices & 8 != 0 && side == Side::A {
            // As the peer himself would: whatever it is, it authenticates.
            let sealed = if rtp::is_rtcp(datagram) {
                seal.rtcp(&mut packet)
            } else {
                seal.rtp(&mut packet)
            };
            if sealed.is_err() {
                continue;
            }
        }
        let mut forward = session.receive(now, side, channel, source, &mut packet, &mut out);
        while let Some(to) = forward {
            lines.sent(to.to, &packet, &mut open);
            forward = session.transmit(now, &mut packet, &mut out);
        }
        while out.event().is_some() {}
    }
    let report = session.report(now);
    assert!(report.legs[0].packets_sent >= lines.count[0]);
    session.stop(now, &mut out);
}

/// What each side has been sent so far.
#[derive(Default)]
struct Lines {
    last: [Option<(u32, u16)>; 2],
    count: [u64; 2],
}

impl Lines {
    fn sent(&mut self, to: Side, packet: &Packet, open: &mut Unprotect) {
        let mut plain = Packet::new();
        plain.fill(packet.as_slice());
        let is_rtcp = rtp::is_rtcp(plain.as_slice());
        if to == Side::A {
            let opened = if is_rtcp {
                open.rtcp(&mut plain)
            } else {
                open.rtp(&mut plain)
            };
            assert!(opened.is_ok(), "the peer can open what is sent to it");
        }
        if is_rtcp {
            assert!(
                media::rtcp::read(plain.as_slice(), |_| {}),
                "our own RTCP can be read"
            );
            return;
        }
        let header = Header::parse(plain.as_slice()).expect("what is no RTCP is RTP");
        let last = &mut self.last[to.index()];
        if let Some((ssrc, sequence)) = *last {
            assert_eq!(header.ssrc, ssrc, "one SSRC for life");
            let step = header.sequence.wrapping_sub(sequence);
            assert!(
                (1..=1000).contains(&step),
                "sequence numbers go on: {sequence} to {}",
                header.sequence
            );
        }
        *last = Some((header.ssrc, header.sequence));
        self.count[to.index()] += 1;
    }
}

fn address(side: Side) -> SocketAddr {
    match side {
        Side::A => ([203, 0, 113, 1], 3480).into(),
        Side::B => ([10, 0, 0, 5], 4000).into(),
    }
}

fn crypto(fill: u8) -> Crypto {
    let suite = Suite::AesCm128HmacSha1_80;
    Crypto {
        tag: 1,
        suite,
        key: SrtpKey::wide([fill; 44]).fit(suite).expect("wide enough"),
        lifetime: None,
        mki: None,
    }
}

fn plain() -> LegPlan {
    let rtp = address(Side::B);
    let negotiated = |codec, pt| Negotiated {
        codec,
        send_pt: pt,
        receive_pt: pt,
        remote_fmtp: None,
    };
    LegPlan {
        agreed: Agreed {
            remote_rtp: rtp,
            remote_rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
            rtcp_mux: false,
            audio: negotiated(Codec::Pcma, 8),
            dtmf: Some(negotiated(Codec::TelephoneEvent, 101)),
            ptime: 20,
            keying: Keying::None,
            direction: Direction::SendRecv,
            wants_voip_metrics: true,
        },
        ssrc: 0x2222_2222,
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

fn secured() -> LegPlan {
    let mut plan = plain();
    plan.agreed.keying = Keying::Sdes {
        local: crypto(17).into(),
        remote: crypto(34).into(),
    };
    plan.agreed.remote_rtp = address(Side::A);
    plan.agreed.remote_rtcp = address(Side::A);
    plan.agreed.rtcp_mux = true;
    plan.agreed.audio.codec = Codec::Opus;
    plan.agreed.audio.send_pt = 111;
    plan.agreed.audio.receive_pt = 111;
    plan.silence = Silence::Frames;
    plan.latch = Latch::Authenticated;
    plan.unsolicited_dtmf = Some(126);
    plan.ssrc = 0x1111_1111;
    plan
}
