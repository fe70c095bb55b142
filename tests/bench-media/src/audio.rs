//! What the transcoder adds to the codecs: the same speech with the same packets lost, once through a session
//! and once through libopus and G.711 used directly, each held against what was said.
//!
//! | measure | is |
//! |---|---|
//! | segmental SNR | mean over 20 ms frames with speech in them, each between -10 and 35 dB; more is better |
//! | log-spectral distance | mean over the same frames of 32 ms, 300 to 3 400 Hz, in dB; less is better |

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, MAX_SAMPLES, OpusSettings};
use media::rtp::{self, HEADER, Header};
use media::{Channel, EngineSettings, Outbox, Packet, Session};
use sdp::plan::{Gate, Latch, LegPlan, Silence};
use sdp::{Agreed, Codec, Direction, Keying, Negotiated, Side};
use sim::Dice;

use crate::ends::payload_type;
use crate::spectrum::{distance, snr};

/// Samples in 20 ms at 8 kHz.
const FRAME: usize = 160;
const PERCENT: [u32; 5] = [0, 1, 3, 5, 10];

/// One way through: what is said, and as which payloads.
pub(crate) struct Way<'a> {
    pub(crate) name: &'static str,
    pub(crate) codecs: (Codec, Codec),
    pub(crate) payloads: &'a [Vec<u8>],
    /// What was said, at 8 kHz.
    pub(crate) said: &'a [i16],
}

/// Prints both measures, directly and through a session; `write` gets what was heard.
pub(crate) fn compare(way: &Way<'_>, complexity: u8, mut write: impl FnMut(&str, &[i16])) {
    println!("\n{}, complexity {complexity}", way.name);
    println!(
        "  {:>7} {:>26} {:>26} {:>20}",
        "loss %", "segmental SNR dB", "spectral distance dB", "added SNR / distance"
    );
    write("said", way.said);
    for percent in PERCENT {
        let mut dice = Dice::new(u64::from(percent) + 7);
        let share = f64::from(percent) / 100.0;
        let lost: Vec<bool> = way.payloads.iter().map(|_| dice.happens(share)).collect();
        let heard = [
            direct(way, &lost, complexity),
            through(way, &lost, complexity),
        ];
        let [a, b] = heard
            .each_ref()
            .map(|heard| (snr(way.said, heard), distance(way.said, heard)));
        println!(
            "  {percent:>7} {:>26} {:>26} {:>20}",
            format!("{:.2} directly, {:.2}", a.0, b.0),
            format!("{:.2} directly, {:.2}", a.1, b.1),
            format!("{:+.2} / {:+.2}", b.0 - a.0, b.1 - a.1),
        );
        for (kind, heard) in ["direct", "through"].iter().zip(&heard) {
            write(&format!("{percent}-{kind}"), heard);
        }
    }
}

fn settings(complexity: u8) -> OpusSettings {
    OpusSettings {
        complexity,
        ..OpusSettings::default()
    }
}

/// The codecs used directly: a lost packet is recovered from the next one or concealed, nothing is late.
fn direct(way: &Way<'_>, lost: &[bool], complexity: u8) -> Vec<i16> {
    let mut decoder = Decoder::new(way.codecs.0).expect("an audio codec");
    let mut encoder = Encoder::new(way.codecs.1, &settings(complexity)).expect("an audio codec");
    let mut ear = Decoder::new(way.codecs.1).expect("an audio codec");
    let (mut heard, mut pcm, mut payload) = (Vec::new(), [0; MAX_SAMPLES], [0; 400]);
    for (at, said) in way.payloads.iter().enumerate() {
        match (lost[at], way.payloads.get(at + 1)) {
            (false, _) => drop(decoder.decode(said, &mut pcm)),
            (true, Some(next)) if !lost[at + 1] => decoder.recover(next, &mut pcm[..FRAME]),
            (true, _) => decoder.conceal(&mut pcm[..FRAME]),
        }
        let length = encoder
            .encode(&pcm[..FRAME], &mut payload)
            .unwrap_or_default();
        let count = ear.decode(&payload[..length], &mut pcm).unwrap_or_default();
        heard.extend_from_slice(&pcm[..count]);
    }
    heard
}

/// Through a session in virtual time; the far end plays by timestamp and conceals what is missing.
fn through(way: &Way<'_>, lost: &[bool], complexity: u8) -> Vec<i16> {
    let start = Instant::now();
    let engine = EngineSettings {
        opus_complexity: complexity,
        preroll: Duration::ZERO,
        ..EngineSettings::default()
    };
    let plans = [plan(Side::A, way.codecs.0), plan(Side::B, way.codecs.1)];
    let mut out = Outbox::new();
    let mut session =
        Session::start(start, plans, &engine, [3; 32], &mut out).expect("codecs we have");
    let mut packet = Packet::new();
    let mut came: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut last = None;
    let mut keep = |packet: &Packet, to: Side| {
        if to == Side::B
            && !rtp::is_rtcp(packet.as_slice())
            && let Some(header) = Header::parse(packet.as_slice())
        {
            let first = *last.get_or_insert(header.timestamp);
            let frame = header.timestamp.wrapping_sub(first) / ticks(way.codecs.1);
            came.push((i64::from(frame), packet.as_slice()[header.payload].to_vec()));
        }
    };
    for ms in 0..way.payloads.len() as u64 * 20 + 200 {
        let now = start + Duration::from_millis(ms);
        let at = (ms / 20) as usize;
        if session.next_timeout() <= now {
            session.timeout(now, &mut out);
        }
        while let Some(forward) = session.transmit(now, &mut packet, &mut out) {
            keep(&packet, forward.to);
        }
        if !ms.is_multiple_of(20) || at >= lost.len() || lost[at] {
            continue;
        }
        write(&mut packet, at as u32, way);
        let mut sent = session.receive(
            now,
            Side::A,
            Channel::Rtp,
            address(Side::A),
            &mut packet,
            &mut out,
        );
        while let Some(forward) = sent {
            keep(&packet, forward.to);
            sent = session.transmit(now, &mut packet, &mut out);
        }
    }
    let mut ear = Decoder::new(way.codecs.1).expect("an audio codec");
    let mut pcm = [0; MAX_SAMPLES];
    let mut heard: Vec<i16> = Vec::new();
    for (frame, payload) in came {
        while (heard.len() as i64) < frame * FRAME as i64 {
            ear.conceal(&mut pcm[..FRAME]);
            heard.extend_from_slice(&pcm[..FRAME]);
        }
        let count = ear.decode(&payload, &mut pcm).unwrap_or_default();
        heard.extend_from_slice(&pcm[..count]);
    }
    heard
}

fn ticks(codec: Codec) -> u32 {
    if codec == Codec::Opus { 960 } else { 160 }
}

fn address(side: Side) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_000 + 2 * side.index() as u16))
}

fn write(packet: &mut Packet, number: u32, way: &Way<'_>) {
    let mut header = [0; HEADER];
    Header {
        marker: number == 0,
        pt: payload_type(way.codecs.0),
        sequence: number as u16,
        timestamp: number * ticks(way.codecs.0),
        ssrc: 1,
        payload: HEADER..HEADER,
    }
    .write(&mut header);
    let bytes = [&header[..], &way.payloads[number as usize]].concat();
    packet.fill(&bytes);
}

fn plan(side: Side, codec: Codec) -> LegPlan {
    LegPlan {
        agreed: Agreed {
            remote_rtp: address(side),
            remote_rtcp: address(side),
            rtcp_mux: true,
            audio: Negotiated {
                codec,
                send_pt: payload_type(codec),
                receive_pt: payload_type(codec),
                remote_fmtp: None,
            },
            dtmf: None,
            ptime: 20,
            keying: Keying::None,
            direction: Direction::SendRecv,
            wants_voip_metrics: false,
        },
        ssrc: 7 + side.index() as u32,
        cname: "bench".to_owned(),
        gate: Gate::Open,
        proof: None,
        silence: Silence::Rtcp,
        latch: Latch::Plausible { signalling: None },
        inactivity: None,
        quiet: None,
        unsolicited_dtmf: None,
        care: Default::default(),
    }
}
