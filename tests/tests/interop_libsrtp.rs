//! Our SRTP before a foreign judge: libsrtp, behind a pipe (`tests/libsrtp/oracle.c`, compiled here
//! with the C compiler and Debian's `libsrtp2-dev`).

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use media::Packet;
use media::rtp::Header;
use media::srtp::{Protect, Unprotect};
use sdp::{Crypto, Mki, SrtpKey, Suite};
use tests::tools;

/// libsrtp with one key, both ways.
struct Oracle {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn new(crypto: &Crypto) -> Self {
        let suite = match crypto.suite {
            Suite::AesCm128HmacSha1_80 => "80",
            Suite::AesCm128HmacSha1_32 => "32",
            Suite::AeadAes128Gcm => "128",
            Suite::AeadAes256Gcm => "256",
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let key = hex(crypto.key.key()) + &hex(crypto.key.salt());
        let mki = crypto.mki.map_or("-".to_owned(), |mki| {
            hex(&mki.value.to_be_bytes()[8 - usize::from(mki.length)..])
        });
        let mut child = Command::new(program())
            .args([suite, &key, &mki])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle was just built");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// `None`: libsrtp refused.
    fn ask(&mut self, command: u8, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask_all(command, &[packet]).remove(0)
    }

    /// The same for packets in a row; at most [`ROW`].
    fn ask_all(&mut self, command: u8, packets: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut request = Vec::new();
        for packet in packets {
            let [high, low] = (packet.len() as u16).to_be_bytes();
            request.extend([command, high, low]);
            request.extend(*packet);
        }
        request.push(b'F');
        let input = self.input.as_mut().expect("open until dropped");
        input.write_all(&request).expect("the oracle lives");
        packets.iter().map(|_| self.answer()).collect()
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 3];
        self.output
            .read_exact(&mut head)
            .expect("the oracle answers");
        let mut answer = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        self.output
            .read_exact(&mut answer)
            .expect("the oracle answers in full");
        (head[0] == 0).then_some(answer)
    }
}

/// So many packets, answers included, never fill a pipe: nobody waits for the other.
const ROW: usize = 100;

impl Drop for Oracle {
    fn drop(&mut self) {
        self.input = None; // end of input ends it
        let _ = self.child.wait();
    }
}

/// The oracle, compiled once.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/libsrtp/oracle.c");
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libsrtp-oracle");
        let built = Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .args([source, "-lsrtp2"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the oracle does not compile"
        );
        program
    })
}

/// Whether libsrtp is here to judge.
fn judge_is_here(story: &str) -> bool {
    let header = std::path::Path::new("/usr/include/srtp2/srtp.h").is_file();
    tools::present(story, &["cc"]) && (header || tools::skip(story, "libsrtp2-dev not installed"))
}

/// A generator of chance that is the same in every run.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % sides
    }
}

fn keys() -> Vec<Crypto> {
    let mut keys = Vec::new();
    for suite in Suite::ALL {
        for mki in [
            None,
            Some(Mki {
                value: 1,
                length: 1,
            }),
            Some(Mki {
                value: 0xdead_beef,
                length: 4,
            }),
        ] {
            let key = SrtpKey::wide(std::array::from_fn(|i| (i * 37 + keys.len() * 11) as u8));
            let key = key.fit(suite).expect("wide enough for every suite");
            keys.push(Crypto {
                tag: 1,
                suite,
                key,
                lifetime: None,
                mki,
            });
        }
    }
    keys
}

/// An RTP packet of any shape: extensions, sources, any payload length.
fn rtp_packet(dice: &mut Dice, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    let header = Header {
        marker: dice.roll(9) == 0,
        pt: 111,
        sequence,
        timestamp: dice.roll(1 << 24),
        ssrc,
        payload: 0..0,
    };
    header.write(bytes.first_chunk_mut().expect("twelve octets"));
    let sources = dice.roll(3);
    bytes[0] |= sources as u8;
    bytes.extend(vec![7; 4 * sources as usize]);
    if dice.roll(3) == 0 {
        bytes[0] |= 0x10;
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    }
    bytes.extend((0..dice.roll(240)).map(|n| n as u8));
    bytes
}

/// The order in which the packets of a call arrive: 5 % lost, some late by up to 30, across two wraps.
fn arrivals(dice: &mut Dice, packets: u32) -> Vec<u32> {
    let mut arrivals: Vec<(u32, u32)> = (0..packets)
        .filter_map(|n| match dice.roll(100) {
            0..5 => None,
            5..10 => Some((n + dice.roll(30), n)),
            _ => Some((n, n)),
        })
        .collect();
    arrivals.sort();
    arrivals.into_iter().map(|(_, n)| n).collect()
}

/// Packets of a call before the judge: 20 000, or as many as `SRTP_PACKETS` says. `make srtp` says a million: both ways,
/// under each of the four suites, across a hundred wraps, in 100 s on two busy processors. With an MKI, which
/// changes nothing but the length, it is a tenth of so many.
fn judged(crypto: &Crypto) -> u32 {
    let asked = std::env::var("SRTP_PACKETS").ok();
    let asked = asked.and_then(|n| n.parse().ok()).unwrap_or(20_000);
    match crypto.mki {
        None => asked,
        Some(_) => (asked / 10).max(20_000),
    }
}
const STEP: u32 = 7; // so that 20 000 packets cover two wraps

#[test]
fn libsrtp_opens_what_we_seal() {
    if !judge_is_here("SRTP before libsrtp") {
        return;
    }
    for crypto in keys() {
        let (mut oracle, mut ours, mut dice) =
            (Oracle::new(&crypto), Protect::new(&crypto), Dice(1));
        let count = judged(&crypto);
        let plain: Vec<_> = (0..count)
            .map(|n| rtp_packet(&mut dice, 0xcafe, (30_000 + n * STEP) as u16))
            .collect();
        let sealed: Vec<_> = plain
            .iter()
            .map(|plain| {
                let mut packet = Packet::new();
                packet.fill(plain);
                ours.rtp(&mut packet).unwrap();
                packet.as_slice().to_vec()
            })
            .collect();
        for row in arrivals(&mut dice, count).chunks(ROW) {
            let asked: Vec<&[u8]> = row.iter().map(|n| &sealed[*n as usize][..]).collect();
            for (n, opened) in row.iter().zip(oracle.ask_all(b'U', &asked)) {
                // Beyond libsrtp's window of 128 sequence numbers a late packet may be refused.
                assert!(
                    opened.is_none() || opened.as_ref() == Some(&plain[*n as usize]),
                    "packet {n}"
                );
            }
        }
        // In order nothing may be refused, and what they open is sealed exactly as they would.
        let (mut judge, mut twin) = (Oracle::new(&crypto), Oracle::new(&crypto));
        for (row, (plain, sealed)) in plain.chunks(ROW).zip(sealed.chunks(ROW)).enumerate() {
            let refs = |row: &[Vec<u8>]| -> Vec<Option<Vec<u8>>> {
                row.iter().cloned().map(Some).collect()
            };
            let ask = |of: &mut Oracle, command, row: &[Vec<u8>]| {
                let asked: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
                of.ask_all(command, &asked)
            };
            assert_eq!(ask(&mut judge, b'U', sealed), refs(plain), "row {row}");
            assert_eq!(ask(&mut twin, b'P', plain), refs(sealed), "row {row}");
        }
    }
}

#[test]
fn we_open_what_libsrtp_seals_and_refuse_what_it_refuses() {
    if !judge_is_here("SRTP before libsrtp") {
        return;
    }
    for crypto in keys() {
        let (mut sealer, mut judge) = (Oracle::new(&crypto), Oracle::new(&crypto));
        let (mut ours, mut dice) = (Unprotect::new(&crypto), Dice(2));
        let count = judged(&crypto);
        let plain: Vec<_> = (0..count)
            .map(|n| rtp_packet(&mut dice, 0xcafe, (30_000 + n * STEP) as u16))
            .collect();
        let mut sealed = Vec::new();
        for row in plain.chunks(ROW) {
            let asked: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
            sealed.extend(sealer.ask_all(b'P', &asked).into_iter().map(Option::unwrap));
        }
        let (mut opened, mut refused) = (0u32, 0u32);
        for row in arrivals(&mut dice, count).chunks(ROW / 2) {
            let mut wires: Vec<(usize, Vec<u8>)> = Vec::new();
            for n in row.iter().map(|n| *n as usize) {
                match dice.roll(20) {
                    0 => wires.push((n, sealed[n].clone())), // twice
                    1 => {
                        let mut bent = sealed[n].clone();
                        let at = dice.roll(bent.len() as u32) as usize;
                        bent[at] ^= 1 << dice.roll(8);
                        wires.push((n, bent)); // a forgery first
                    }
                    _ => {}
                }
                wires.push((n, sealed[n].clone()));
            }
            let asked: Vec<&[u8]> = wires.iter().map(|(_, wire)| &wire[..]).collect();
            for ((n, wire), theirs) in wires.iter().zip(judge.ask_all(b'U', &asked)) {
                let mut packet = Packet::new();
                packet.fill(wire);
                let ok = ours.rtp(&mut packet).is_ok();
                assert_eq!(ok, theirs.is_some(), "packet {n}");
                if ok {
                    assert_eq!(packet.as_slice(), plain[*n]);
                    opened += 1;
                } else {
                    refused += 1;
                }
            }
        }
        assert!(
            opened > count / 20 * 17 && refused > count / 20,
            "{opened} opened, {refused} refused"
        );
    }
}

#[test]
fn rtcp_crosses_both_ways() {
    if !judge_is_here("SRTP before libsrtp") {
        return;
    }
    for crypto in keys() {
        let mut oracle = Oracle::new(&crypto);
        // libsrtp 2.5 looks for the MKI of SRTCP at the tag length of SRTP, so with short tags it does
        // not even find its own.
        let blind = crypto.suite == Suite::AesCm128HmacSha1_32 && crypto.mki.is_some();
        let (mut protect, mut unprotect, mut dice) =
            (Protect::new(&crypto), Unprotect::new(&crypto), Dice(3));
        let (mut twin, mut ahead, mut plain_before) =
            (Protect::new(&crypto), None::<Vec<u8>>, Vec::new());
        for n in 0..2_000u32 {
            let mut plain = [0; 400];
            let block = media::rtcp::Block {
                ssrc: n,
                ..Default::default()
            };
            let len = media::rtcp::write(
                &mut plain,
                0xcafe,
                None,
                Some(&block),
                b"audio@sbc",
                n % 7 == 0,
            );
            let plain = &plain[..len];
            let mut packet = Packet::new();
            packet.fill(plain);
            protect.rtcp(&mut packet).unwrap();
            if dice.roll(10) > 0 && !blind {
                assert_eq!(oracle.ask(b'u', packet.as_slice()).as_deref(), Some(plain));
                assert_eq!(oracle.ask(b'u', packet.as_slice()), None, "twice");
            }
            // Our index begins with 0 (RFC 3711 §3.4), theirs with 1; otherwise the octets are the same.
            let sealed = oracle.ask(b'p', plain).unwrap();
            if let Some(last) = ahead.replace(sealed.clone()) {
                packet.fill(plain_before.as_slice());
                twin.rtcp(&mut packet).unwrap();
                assert_eq!(packet.as_slice(), last, "packet {n}");
            } else {
                packet.fill(plain);
                twin.rtcp(&mut packet).unwrap();
            }
            plain_before = plain.to_vec();
            if dice.roll(10) > 0 {
                packet.fill(&sealed);
                unprotect.rtcp(&mut packet).unwrap();
                assert_eq!(packet.as_slice(), plain);
                packet.fill(&sealed);
                assert!(unprotect.rtcp(&mut packet).is_err(), "twice");
            }
        }
    }
}
