//! What one packet costs on its way through a session, and the parts of it.
//!
//! `cargo bench -p media`; `-- --test` runs each once.

#![allow(missing_docs)] // criterion's macros
#![allow(clippy::disallowed_methods)] // a bench needs some instant to start from
#![allow(clippy::disallowed_types)] // between two packets of a call the kernel is at work, in a bench too

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use media::codec::{Decoder, Encoder, MAX_SAMPLES, OpusSettings};
use media::rtp::Header;
use media::srtp::{Protect, Unprotect};
use media::tone::Tone;
use media::{Channel, EngineSettings, Near, Outbox, Packet, Session};
use sdp::plan::{LegPlan, Silence, Smoothing};
use sdp::{Codec, Keying, Side, Suite};
use support::*;

/// One second of packets of one leg through a session, in and out.
fn one_way(c: &mut Criterion, name: &str, plans: [LegPlan; 2], from: Side) {
    let mut peers = Call::new(plans.clone());
    let mut packets = || -> Vec<Packet> { (0..50).map(|_| peers.peer(from).say()).collect() };
    let mut group = c.benchmark_group("packet");
    group.throughput(Throughput::Elements(50));
    let mut now = Instant::now();
    let mut out = Outbox::new();
    let mut session =
        Session::start(now, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap();
    let mut spare = Packet::new();
    group.bench_function(name, |bench| {
        bench.iter_batched_ref(
            &mut packets,
            |packets| {
                for packet in packets {
                    now += ms(20);
                    let mut forward =
                        session.receive(now, from, Channel::Rtp, address(from), packet, &mut out);
                    while forward.is_some() {
                        forward = session.transmit(now, &mut spare, &mut out);
                    }
                    if session.next_timeout() <= now {
                        session.timeout(now, &mut out);
                    }
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    assert_eq!(session.report(now).legs[from.index()].lost, 0);
}

fn packets(c: &mut Criterion) {
    let plain = |side, codec| plan(side, codec);
    let smooth = |mut plan: LegPlan| {
        plan.care.smoothing = Some(Smoothing {
            least: 20,
            most: 200,
        });
        plan
    };
    let savp = |side, codec| LegPlan {
        silence: Silence::Rtcp,
        ..secured(plan(side, codec))
    };
    one_way(
        c,
        "aware, PCMA to PCMA",
        [plain(Side::A, Codec::Pcma), plain(Side::B, Codec::Pcma)],
        Side::B,
    );
    one_way(
        c,
        "aware, PCMA to PCMA in SRTP",
        [savp(Side::A, Codec::Pcma), plain(Side::B, Codec::Pcma)],
        Side::B,
    );
    one_way(
        c,
        "aware, Opus in SRTP to Opus",
        [savp(Side::A, Codec::Opus), plain(Side::B, Codec::Opus)],
        Side::A,
    );
    one_way(
        c,
        "aware, PCMA to PCMA through a jitter buffer",
        [
            plain(Side::A, Codec::Pcma),
            smooth(plain(Side::B, Codec::Pcma)),
        ],
        Side::A,
    );
    one_way(
        c,
        "terminate, PCMU to PCMA",
        [plain(Side::A, Codec::Pcma), plain(Side::B, Codec::Pcmu)],
        Side::B,
    );
    one_way(
        c,
        "terminate, PCMA to Opus in SRTP",
        [savp(Side::A, Codec::Opus), plain(Side::B, Codec::Pcma)],
        Side::B,
    );
    one_way(
        c,
        "terminate, Opus in SRTP to PCMA",
        [savp(Side::A, Codec::Opus), plain(Side::B, Codec::Pcma)],
        Side::A,
    );
}

/// Sessions of one thread in a bench of a crowd.
const CALLS: usize = 1_500;

/// What a packet costs in a session among many: between two of its packets lie those of all others, and the kernel's work for each.
/// `asks`: memory is asked for what the next packets need, which is counted in.
fn among_many(c: &mut Criterion, name: &str, asks: bool) {
    let plans = [
        secured(plan(Side::A, Codec::Opus)),
        plan(Side::B, Codec::Opus),
    ];
    let Keying::Sdes { remote, .. } = &plans[0].agreed.keying else {
        unreachable!("secured() makes keys")
    };
    let mut protect = Protect::new(remote);
    let (mut now, mut out) = (Instant::now(), Outbox::new());
    let mut session = || {
        let plans = plans.clone();
        Box::new(Session::start(now, plans, &EngineSettings::default(), [7; 32], &mut out).unwrap())
    };
    let mut sessions: Vec<Box<Session>> = (0..CALLS).map(|_| session()).collect();
    // A step without a common divisor leads past every one of them, and to none that memory would guess.
    let turns: Vec<(usize, Side)> = (0..2 * CALLS)
        .map(|turn| turn * 1_231 % (2 * CALLS))
        .map(|turn| (turn / 2, Side::BOTH[turn % 2]))
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    let mut sequence = 0_u16;
    let [mut plain, mut sealed, mut packet] = [Packet::new(), Packet::new(), Packet::new()];
    let mut group = c.benchmark_group("packet");
    group.throughput(Throughput::Elements(turns.len() as u64));
    group.bench_function(name, |bench| {
        bench.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let mut bytes = [0x5a; 12 + 60];
                bytes[..2].copy_from_slice(&[0x80, 111]);
                bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
                bytes[4..8].copy_from_slice(&(u32::from(sequence) * 960).to_be_bytes());
                bytes[12] = 0x48; // one frame of 20 ms
                sequence = sequence.wrapping_add(1);
                now += ms(20);
                plain.fill(&bytes);
                sealed.fill(&bytes);
                protect.rtp(&mut sealed).unwrap();
                for (at, &(call, from)) in turns.iter().enumerate() {
                    let said = [&sealed, &plain][from.index()].as_slice();
                    socket.send_to(said, to).unwrap();
                    let began = Instant::now();
                    for (ahead, near) in [(3, Near::State), (2, Near::Contexts), (1, Near::Keys)] {
                        if let Some((call, from)) = turns.get(at + ahead).filter(|_| asks) {
                            sessions[*call].prefetch(*from, near);
                        }
                    }
                    taken += began.elapsed();
                    let length = socket.recv(packet.buffer_mut()).unwrap();
                    packet.set_len(length);
                    let began = Instant::now();
                    let session = &mut sessions[call];
                    let source = address(from);
                    let left =
                        session.receive(now, from, Channel::Rtp, source, &mut packet, &mut out);
                    taken += began.elapsed();
                    assert!(left.is_some());
                    while session.transmit(now, &mut packet, &mut out).is_some() {}
                    while out.event().is_some() {}
                }
                for session in &mut sessions {
                    if session.next_timeout() <= now {
                        session.timeout(now, &mut out);
                        while session.transmit(now, &mut packet, &mut out).is_some() {}
                        while out.event().is_some() {}
                    }
                }
            }
            taken
        });
    });
    group.finish();
}

fn crowd(c: &mut Criterion) {
    among_many(
        c,
        "aware, Opus in SRTP to Opus and back, among 1,500 calls, nothing asked for before",
        false,
    );
    among_many(
        c,
        "aware, Opus in SRTP to Opus and back, among 1,500 calls",
        true,
    );
}

fn srtp(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp");
    group.throughput(Throughput::Elements(50));
    for (suite, name) in [
        (Suite::AesCm128HmacSha1_80, "AES_CM_128_HMAC_SHA1_80"),
        (Suite::AesCm128HmacSha1_32, "AES_CM_128_HMAC_SHA1_32"),
        (Suite::AeadAes128Gcm, "AEAD_AES_128_GCM"),
        (Suite::AeadAes256Gcm, "AEAD_AES_256_GCM"),
    ] {
        let Keying::Sdes { local, .. } = sdes(suite, None) else {
            unreachable!("sdes() makes keys")
        };
        for payload in [60usize, 160] {
            // A second of a call, plain and sealed.
            let mut sequence = 0u16;
            let mut plain = || -> Vec<Packet> {
                (0..50)
                    .map(|_| {
                        let mut bytes = [0u8; 172];
                        bytes[0] = 0x80;
                        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
                        sequence = sequence.wrapping_add(1);
                        let mut packet = Packet::new();
                        packet.fill(&bytes[..12 + payload]);
                        packet
                    })
                    .collect()
            };
            let mut protect = Protect::new(&local);
            group.bench_function(format!("{name} protect {payload} octets"), |bench| {
                bench.iter_batched_ref(
                    &mut plain,
                    |packets| packets.iter_mut().for_each(|one| protect.rtp(one).unwrap()),
                    BatchSize::SmallInput,
                );
            });
            let (mut protect, mut unprotect) = (Protect::new(&local), Unprotect::new(&local));
            let mut sealed = || {
                let mut packets = plain();
                packets.iter_mut().for_each(|one| protect.rtp(one).unwrap());
                packets
            };
            group.bench_function(format!("{name} unprotect {payload} octets"), |bench| {
                bench.iter_batched_ref(
                    &mut sealed,
                    |packets| {
                        packets
                            .iter_mut()
                            .for_each(|one| unprotect.rtp(one).unwrap())
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn headers(c: &mut Criterion) {
    let mut packet = support::Call::new([plan(Side::A, Codec::Pcma), plan(Side::B, Codec::Pcma)])
        .peer(Side::B)
        .say();
    let bytes = packet.as_mut_slice();
    c.bench_function("parse an RTP header", |bench| {
        bench.iter(|| Header::parse(std::hint::black_box(bytes)));
    });
    let (mut report, block) = ([0; 400], media::rtcp::Block::default());
    let sender = media::rtcp::SenderReport {
        ntp: 1,
        timestamp: 2,
        packets: 3,
        octets: 4,
    };
    let len = media::rtcp::write(&mut report, 1, Some(&sender), Some(&block), b"audio", false);
    c.bench_function("read an RTCP report", |bench| {
        bench.iter(|| {
            media::rtcp::read(std::hint::black_box(&report[..len]), |item| {
                std::hint::black_box(item);
            })
        });
    });
}

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for codec in [Codec::Opus, Codec::Pcma, Codec::Pcmu] {
        let mut encoder = Encoder::new(codec, &OpusSettings::default()).unwrap();
        let mut decoder = Decoder::new(codec).unwrap();
        let mut tone = Tone::new(440.0, -10.0);
        let (mut pcm, mut payload, mut out) = ([0; 160], [0; 400], [0; MAX_SAMPLES]);
        let mut len = 0;
        let speech: Vec<[i16; 160]> = (0..50)
            .map(|_| {
                tone.fill(&mut pcm);
                pcm
            })
            .collect();
        let mut frames = speech.iter().cycle();
        group.bench_function(format!("{} encode", codec.name()), |bench| {
            bench.iter(|| {
                len = encoder
                    .encode(frames.next().unwrap(), &mut payload)
                    .unwrap()
            });
        });
        group.bench_function(format!("{} decode", codec.name()), |bench| {
            bench.iter(|| decoder.decode(&payload[..len], &mut out).unwrap());
        });
        group.bench_function(format!("{} recover or conceal", codec.name()), |bench| {
            bench.iter(|| decoder.recover(&payload[..len], &mut out[..160]));
        });
    }
    group.finish();
}

criterion_group!(benches, packets, crowd, srtp, headers, codecs);
criterion_main!(benches);
