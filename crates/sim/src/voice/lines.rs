//! The voices of a peer's calls, and the ports they speak at: what the simulated Meta and the simulated PBX share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::{Voice, VoiceEvent};
use crate::meta::knobs::MediaPlace;
use crate::peer::Output;
use crate::report::What;

/// A peer whose calls have voices.
pub(crate) trait Lines {
    /// The voice of a call, once both descriptions are known.
    fn voice(&mut self, call: u32) -> Option<&mut Voice>;
    /// All voices.
    fn voices(&self) -> impl Iterator<Item = (u32, &Voice)>;
    /// The call this is about: the one named, else the oldest.
    fn named(&self, call: Option<u32>) -> Option<u32>;
    /// Sends a packet.
    fn packet(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>);
    /// Tells something.
    fn tell(&mut self, now: Instant, call: u32, what: What);
    /// The far side broke a rule.
    fn broke(&mut self, now: Instant, call: u32, rule: String);
    /// Nothing was heard for so long that the call is dead.
    fn gave_out(&mut self, now: Instant, call: u32);

    /// Whoever has the call presses digits.
    fn press_keys(&mut self, now: Instant, call: Option<u32>, digits: &str) {
        let Some(id) = self.named(call) else { return };
        if let Some(voice) = self.voice(id) {
            voice.press(now, digits);
        }
        self.drain_voice(now, id);
    }

    /// Whoever has the call goes silent (no packet at all), or speaks again.
    fn hush(&mut self, now: Instant, call: Option<u32>, mute: bool) {
        let Some(id) = self.named(call) else { return };
        if let Some(voice) = self.voice(id) {
            voice.mute(now, mute);
        }
        self.drain_voice(now, id);
    }

    /// A packet came to a port of this call.
    fn heard(&mut self, now: Instant, id: u32, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        if let Some(voice) = self.voice(id) {
            voice.receive(now, to, from, bytes);
        }
        self.drain_voice(now, id);
    }

    /// Everything due in the voices.
    fn voices_due(&mut self, now: Instant) {
        let is_due = |voice: &Voice| voice.next_timeout().is_some_and(|at| at <= now);
        let all = self.voices();
        let due: Vec<u32> = all.filter(|(_, it)| is_due(it)).map(|(id, _)| id).collect();
        for id in due {
            if let Some(voice) = self.voice(id) {
                voice.timeout(now);
            }
            self.drain_voice(now, id);
        }
    }

    /// What a voice wants done.
    fn drain_voice(&mut self, now: Instant, id: u32) {
        while let Some(event) = self.voice(id).and_then(Voice::poll) {
            match event {
                VoiceEvent::Datagram { from, to, bytes } => self.packet(from, to, bytes),
                VoiceEvent::FirstPacket { after_ms } => {
                    self.tell(now, id, What::FirstPacket { after_ms });
                }
                VoiceEvent::Digit { digit, duration_ms } => {
                    self.tell(now, id, What::Digit { digit, duration_ms });
                }
                VoiceEvent::Broken(rule) => self.broke(now, id, rule),
                VoiceEvent::Silent { silent_ms } => {
                    self.tell(now, id, What::MediaTimeout { silent_ms });
                    self.gave_out(now, id);
                }
            }
        }
    }
}

/// The ports of a peer's calls: an even one for RTP, and its odd neighbour for RTCP.
#[derive(Debug)]
pub(crate) struct Ports {
    place: MediaPlace,
    next: u16,
    taken: BTreeMap<SocketAddr, u32>,
}

impl Ports {
    pub(crate) fn of(place: &MediaPlace) -> Ports {
        Ports {
            place: place.clone(),
            next: place.first_port,
            taken: BTreeMap::new(),
        }
    }

    /// A pair for a new call. Ports that were given back rest while there are others.
    pub(crate) fn take(&mut self, call: u32, out: &mut VecDeque<Output>) -> SocketAddr {
        let place = &self.place;
        let last = place
            .first_port
            .saturating_add(place.ports.saturating_sub(2));
        let mut address = SocketAddr::new(place.address, self.next);
        for _ in 0..place.ports / 2 {
            address = SocketAddr::new(place.address, self.next);
            self.next = match self.next >= last {
                true => place.first_port,
                false => self.next + 2,
            };
            if !self.taken.contains_key(&address) {
                break;
            }
        }
        self.taken.insert(address, call);
        if !place.silent {
            out.extend(pair(address).map(|address| Output::Bind { address }));
        }
        address
    }

    /// A call is over.
    pub(crate) fn give_back(&mut self, address: SocketAddr, out: &mut VecDeque<Output>) {
        self.taken.remove(&address);
        if !self.place.silent {
            out.extend(pair(address).map(|address| Output::Unbind { address }));
        }
    }

    /// The call that has either port of a pair.
    pub(crate) fn call_at(&self, to: SocketAddr) -> Option<u32> {
        let even = SocketAddr::new(to.ip(), to.port() & !1);
        self.taken.get(&even).copied()
    }

    /// Whether a call has its RTP at this address.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.taken.contains_key(&address)
    }
}

/// An RTP port, and the RTCP port beside it.
fn pair(address: SocketAddr) -> [SocketAddr; 2] {
    [address, SocketAddr::new(address.ip(), address.port() | 1)]
}
