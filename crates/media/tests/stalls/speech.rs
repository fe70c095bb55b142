//! Somebody who says something else in every packet, and stalls; and what of it is heard at the other end.

use std::collections::BTreeMap;

use media::codec::{Decoder, MAX_SAMPLES};
use media::tone::{Tone, level_dbfs};
use sdp::Side;

use super::support::*;

/// Every packet says the next of these: which one arrived can be heard.
pub(crate) const SYMBOLS: u64 = 12;

pub(crate) fn hertz(symbol: u64) -> f64 {
    400.0 + 200.0 * symbol as f64
}

pub(crate) fn symbol(n: u64) -> Vec<i16> {
    let mut pcm = vec![0; 160];
    Tone::new(hertz(n % SYMBOLS), LEVEL).fill(&mut pcm);
    pcm
}

/// The symbol in 10 ms of audio, if there is one that is well heard.
pub(crate) fn recognized(pcm: &[i16]) -> Option<u64> {
    let mut levels: Vec<_> = (0..SYMBOLS)
        .map(|n| (level_dbfs(pcm, hertz(n)), n))
        .collect();
    levels.sort_by(|a, b| b.0.total_cmp(&a.0));
    (levels[0].0 > LEVEL - 12.0 && levels[0].0 > levels[1].0 + 4.0).then_some(levels[0].1)
}

/// Reads symbols out of sound, wherever in it they begin.
pub(crate) struct Reader {
    next: u64,
    /// A later one than the next, and in how many looks it was seen.
    later: (u64, u8),
}

impl Reader {
    /// Which packet is heard for the first time in this sound.
    fn look(&mut self, pcm: &[i16]) -> Option<u64> {
        let symbol = recognized(pcm)?;
        let ahead = (symbol + SYMBOLS - self.next % SYMBOLS) % SYMBOLS;
        if ahead >= SYMBOLS / 2 {
            return None; // one that was heard already, or is being made up
        }
        self.later = match self.later {
            (of, seen) if of == symbol => (of, seen + 1),
            _ => (symbol, 1),
        };
        // One that is out of its turn is believed when it stays.
        (ahead == 0 || self.later.1 >= 5).then(|| {
            let number = self.next + ahead;
            self.next = number + 1;
            number
        })
    }
}

/// What one side says, and when it reaches us.
pub(crate) struct Speech {
    /// Packets of 20 ms.
    pub(crate) packets: u64,
    /// `Some`: how long the side stalls at these times, in ms from the start.
    pub(crate) stalls: Vec<(u64, u64)>,
    /// Packets from the first number until before the second are silent; whole rounds of symbols, as they are told apart by them.
    pub(crate) pauses: Vec<(u64, u64)>,
}

impl Speech {
    /// Stalls once a second.
    pub(crate) fn of(seconds: u64, stall: u64) -> Self {
        Self {
            packets: seconds * 50,
            // Just before a packet: nothing is heard for a packet longer than the stall.
            stalls: (1..seconds).map(|at| (at * 1_000 + 19, stall)).collect(),
            pauses: Vec::new(),
        }
    }

    /// When packet `n` arrives, in ms from the start.
    pub(crate) fn arrival(&self, n: u64) -> u64 {
        let due = 20 * n;
        let held = self
            .stalls
            .iter()
            .find(|(at, stall)| (*at..at + stall).contains(&due));
        held.map_or(due, |(at, stall)| at + stall)
    }

    pub(crate) fn pauses_at(&self, n: u64) -> bool {
        let mut pauses = self.pauses.iter();
        pauses.any(|(from, to)| (*from..*to).contains(&n))
    }

    /// The same at the ear of somebody to whom nobody but a bare forwarder passes it on.
    pub(crate) fn forwarded(&self) -> Vec<Came> {
        let one = |n| Came {
            numbers: vec![n],
            at: self.arrival(n),
            place: 20 * n,
        };
        (0..self.packets).map(one).collect()
    }

    /// The audio of packet `n`.
    pub(crate) fn pcm(&self, n: u64) -> Vec<i16> {
        match self.pauses_at(n) {
            true => vec![0; 160],
            false => symbol(n),
        }
    }
}

/// One packet that was heard: what of what was said begins in it; when it came; its place on the line, in ms.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) numbers: Vec<u64>,
    pub(crate) at: u64,
    pub(crate) place: u64,
}

/// Says it all from one side; what the other side heard of it.
pub(crate) fn say(call: &mut Call, from: Side, speech: &Speech) -> Vec<Came> {
    let start = call.now;
    call.peer(from).talking = false;
    let before = call.peers[(!from).index()].received.len();
    let mut said: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    let mut plain = call.peers[from.index()].protect.take();
    for n in 0..speech.packets {
        let at = start + ms(speech.arrival(n));
        if at > call.now {
            call.run(at - call.now);
        }
        let mut packet = call.peer(from).say_this(&speech.pcm(n));
        let payload = packet.as_slice()[12..].to_vec();
        said.entry(payload).or_default().push(n);
        if let Some(protect) = &mut plain {
            protect.rtp(&mut packet).unwrap();
        }
        call.send(from, packet);
    }
    call.peers[from.index()].protect = plain;
    call.run(ms(700));
    let listener = &call.peers[(!from).index()];
    let ticks = listener.codec.clock() / 1_000;
    let passes = listener.codec == call.peers[from.index()].codec;
    let mut decoder = Decoder::new(listener.codec).unwrap();
    let mut reader = Reader {
        next: 0,
        later: (0, 0),
    };
    let mut sound = vec![0; 80];
    let first = listener.received[0].header.timestamp;
    let heard = listener.received[before..].iter();
    heard
        .filter(|heard| heard.header.pt == pt_of(listener.codec))
        .map(|heard| {
            let mut pcm = [0; MAX_SAMPLES];
            let decoded = decoder.decode(&heard.payload, &mut pcm).unwrap();
            let numbers = if passes {
                let those = said.get(&heard.payload);
                let number = those.and_then(|all| all.iter().copied().find(|n| *n >= reader.next));
                let number = number.filter(|n| !speech.pauses_at(*n));
                reader.next = number.map_or(reader.next, |n| n + 1);
                number.into_iter().collect()
            } else {
                sound.drain(..sound.len() - 80);
                sound.extend_from_slice(&pcm[..decoded]);
                let looks = sound.windows(80).skip(1).step_by(8);
                looks.filter_map(|look| reader.look(look)).collect()
            };
            Came {
                numbers,
                at: (heard.at - start).as_millis() as u64,
                place: u64::from(heard.header.timestamp.wrapping_sub(first) / ticks),
            }
        })
        .collect()
}
