//! Both sides speak on every call of a load, and what comes out at the other side is counted.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media::Packet;
use media::srtp::Protect;
use sdp::Crypto;

use super::{Generator, words};

const PACKET: Duration = Duration::from_millis(20);
/// How long what was said last may be on its way.
const ECHO: Duration = Duration::from_millis(500);
/// A line with fewer packets belongs to a call that came and went meanwhile.
const WHOLE: u64 = 50;

/// What came of one line of audio: the first and the last sequence number (extended), and how many packets.
#[derive(Default)]
struct Line {
    first: u64,
    last: u64,
    packets: u64,
}

/// What one side heard.
pub struct Heard {
    /// Calls it heard.
    pub calls: usize,
    /// Packets wa-sbc sent it, by their sequence numbers.
    pub sent: u64,
    /// Packets that came.
    pub arrived: u64,
}

/// What was said and heard.
pub struct Talk {
    /// Packets said on each call, by Meta and by the PBX.
    pub said: [u64; 2],
    /// What Meta and the PBX heard.
    pub heard: [Heard; 2],
}

impl Talk {
    /// Both sides of every call that stands talk, 20 ms of A-law at a time, while `meanwhile` goes on.
    ///
    /// # Panics
    /// When `meanwhile` does, or nothing can be sent over loopback.
    pub fn during(generator: &mut Generator, meanwhile: impl FnOnce(&mut Generator)) -> Talk {
        let clone = |at: usize| {
            generator.media()[at]
                .try_clone()
                .expect("a socket can be shared")
        };
        let (meta, pbx) = (clone(0), clone(1));
        // Until now nobody listened: what did not fit into the buffer is a hole behind what did.
        forget(&meta);
        forget(&pbx);
        let (to_meta, to_pbx) = (generator.srtp().to_vec(), generator.rtp().to_vec());
        let (stop, quiet) = (&AtomicBool::new(false), &AtomicBool::new(false));
        std::thread::scope(|scope| {
            // Whatever happens here, the others are told to stop.
            let end = Told([stop, quiet]);
            let user = scope.spawn(|| speak(&meta, &to_meta, Some(words::crypto()), stop));
            let agent = scope.spawn(|| speak(&pbx, &to_pbx, None, stop));
            let at_meta = scope.spawn(|| listen(&meta, quiet));
            let at_pbx = scope.spawn(|| listen(&pbx, quiet));
            meanwhile(generator);
            stop.store(true, Ordering::Relaxed);
            let said = [user, agent].map(|voice| voice.join().expect("a voice"));
            generator.carry_for(ECHO);
            drop(end);
            let heard = [at_meta, at_pbx].map(|ear| heard(&ear.join().expect("an ear")));
            Talk { said, heard }
        })
    }

    /// Both sides of all `calls` were heard all the time, and no more than this share of anything was lost: on the way to
    /// wa-sbc by its records, on the way from it by the numbers of its packets.
    ///
    /// # Panics
    /// When it is not so.
    pub fn assert_whole(&self, records: &[serde_json::Value], calls: u32, share: f64) {
        let sides = [("meta", "the PBX", 0, 1), ("pbx", "Meta", 1, 0)];
        for (speaks, hears, speaker, listener) in sides {
            let lost: u64 = records
                .iter()
                .filter_map(|record| record[speaks]["lost"].as_u64())
                .sum();
            let (said, heard) = (self.said[speaker], &self.heard[listener]);
            let all = (said * u64::from(calls)) as f64;
            println!(
                "talk: {said} packets said on each of {calls} calls, {lost} lost on their way in from {speaks}; \
                 {} of {} arrived at {hears}",
                heard.arrived, heard.sent
            );
            assert!(
                heard.calls >= calls as usize,
                "{hears} heard {} calls",
                heard.calls
            );
            assert!(lost as f64 <= all * share, "audio was lost on its way in");
            assert!(
                heard.arrived as f64 >= heard.sent as f64 * (1.0 - share),
                "audio was lost on its way out"
            );
            assert!(
                heard.arrived as f64 >= all * 0.95,
                "{hears} heard every call all the time"
            );
        }
    }
}

struct Told<'a>([&'a AtomicBool; 2]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        for told in self.0 {
            told.store(true, Ordering::Relaxed);
        }
    }
}

/// Speaks on every call until told to stop; how many packets on each.
fn speak(from: &UdpSocket, to: &[SocketAddr], crypto: Option<Crypto>, stop: &AtomicBool) -> u64 {
    let mut keys: Vec<_> = to
        .iter()
        .map(|_| crypto.as_ref().map(Protect::new))
        .collect();
    let (began, mut said, mut packet) = (Instant::now(), 0_u32, Packet::new());
    while !stop.load(Ordering::Relaxed) {
        for (port, key) in to.iter().zip(&mut keys) {
            packet.fill(&alaw(said));
            if let Some(key) = key {
                key.rtp(&mut packet).expect("numbers rise");
            }
            from.send_to(packet.as_slice(), port)
                .expect("loopback carries it");
        }
        said += 1;
        std::thread::sleep((PACKET * said).saturating_sub(began.elapsed()));
    }
    u64::from(said)
}

fn alaw(number: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend((number as u16).to_be_bytes());
    packet.extend((number * 160).to_be_bytes());
    packet.extend(words::SSRC.to_be_bytes());
    packet.extend([0x55; 160]);
    packet
}

/// Reads what has come so far, and forgets it.
fn forget(at: &UdpSocket) {
    let wait = |no: bool| at.set_nonblocking(no).expect("a socket can be told");
    wait(true);
    while at.recv(&mut [0; 2048]).is_ok() {}
    wait(false);
}

/// Listens until told to stop. The header of SRTP is in the clear.
fn listen(at: &UdpSocket, stop: &AtomicBool) -> HashMap<u32, Line> {
    at.set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout above zero");
    let mut lines: HashMap<u32, Line> = HashMap::new();
    let mut packet = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length @ 12..) = at.recv(&mut packet) else {
            continue;
        };
        // RTCP is not counted.
        if length < 100 || (200..=211).contains(&packet[1]) {
            continue;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let line = lines.entry(ssrc).or_default();
        if line.packets == 0 {
            (line.first, line.last) = (u64::from(sequence), u64::from(sequence));
        }
        let step = sequence.wrapping_sub(line.last as u16);
        if step < 0x8000 {
            line.last += u64::from(step);
        }
        line.packets += 1;
    }
    lines
}

fn heard(lines: &HashMap<u32, Line>) -> Heard {
    let whole = || lines.values().filter(|line| line.packets >= WHOLE);
    Heard {
        calls: whole().count(),
        sent: whole().map(|line| line.last - line.first + 1).sum(),
        arrived: whole().map(|line| line.packets).sum(),
    }
}
