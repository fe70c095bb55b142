//! The voices of a peer's calls, and the ports they speak at: what the simulated Meta and the simulated PBX share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use sdp::Keying;

use super::{Voice, VoiceEvent, VoicePlan};
use crate::meta::knobs::MediaPlace;
use crate::peer::Output;
use crate::report::{Heard, What};

/// The voices of a peer's calls, by the number of the call. After every input: [`Voices::poll`] until `None`.
#[derive(Debug)]
pub(crate) struct Voices {
    ports: Ports,
    speaking: BTreeMap<u32, Voice>,
}

/// What a voice has its peer know.
#[derive(Debug)]
pub(crate) enum Told {
    /// To be reported.
    What(What),
    /// The far side broke a rule.
    Broken(String),
    /// Nothing was heard for so long that the call is dead.
    Silent {
        /// For so long.
        silent_ms: u64,
    },
}

impl Voices {
    pub(crate) fn of(place: &MediaPlace) -> Voices {
        Voices {
            ports: Ports::of(place),
            speaking: BTreeMap::new(),
        }
    }

    /// Where a new call has its RTP.
    pub(crate) fn take_ports(&mut self, call: u32, out: &mut VecDeque<Output>) -> SocketAddr {
        self.ports.take(call, out)
    }

    /// Whether a call has its RTP at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.ports.taken.contains_key(&address)
    }

    /// Both descriptions are known.
    pub(crate) fn start(&mut self, now: Instant, call: u32, plan: VoicePlan) -> Result<(), String> {
        self.speaking.insert(call, Voice::start(now, plan)?);
        Ok(())
    }

    /// Whether the voice of a call runs.
    pub(crate) fn has(&self, call: u32) -> bool {
        self.speaking.contains_key(&call)
    }

    /// The voice of a call ends, and its ports are free; gives the verdict on what was heard.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        call: u32,
        address: SocketAddr,
        out: &mut VecDeque<Output>,
    ) -> Option<Heard> {
        let heard = self.speaking.remove(&call).map(|mut it| it.heard(now));
        self.ports.give_back(address, out);
        heard
    }

    /// The keys of a call are others from now on.
    pub(crate) fn rekey(&mut self, call: u32, keying: Keying) {
        if let Some(voice) = self.speaking.get_mut(&call) {
            voice.rekey(keying);
        }
    }

    /// Whoever has the call presses digits.
    pub(crate) fn press(&mut self, now: Instant, call: u32, digits: &str) {
        if let Some(voice) = self.speaking.get_mut(&call) {
            voice.press(now, digits);
        }
    }

    /// Whoever has the call goes silent (no packet at all), or speaks again.
    pub(crate) fn mute(&mut self, now: Instant, call: u32, mute: bool) {
        if let Some(voice) = self.speaking.get_mut(&call) {
            voice.mute(now, mute);
        }
    }

    /// A packet came to `to`, which may be a port of a call.
    pub(crate) fn receive(&mut self, now: Instant, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let call = self.ports.call_at(to);
        if let Some(voice) = call.and_then(|call| self.speaking.get_mut(&call)) {
            voice.receive(now, to, from, bytes);
        }
    }

    /// Everything due by `now`.
    pub(crate) fn timeout(&mut self, now: Instant) {
        let is_due = |voice: &Voice| voice.next_timeout().is_some_and(|at| at <= now);
        for voice in self.speaking.values_mut().filter(|voice| is_due(voice)) {
            voice.timeout(now);
        }
    }

    /// When [`Voices::timeout`] is due next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let all = self.speaking.values();
        all.filter_map(Voice::next_timeout).min()
    }

    /// What the next call with news has to tell; packets to be sent go to `out`.
    pub(crate) fn poll(&mut self, out: &mut VecDeque<Output>) -> Option<(u32, Told)> {
        for (call, voice) in &mut self.speaking {
            while let Some(event) = voice.poll() {
                let told = match event {
                    VoiceEvent::Datagram { from, to, bytes } => {
                        out.push_back(Output::Datagram { from, to, bytes });
                        continue;
                    }
                    VoiceEvent::FirstPacket { after_ms } => {
                        Told::What(What::FirstPacket { after_ms })
                    }
                    VoiceEvent::Digit { digit, duration_ms } => {
                        Told::What(What::Digit { digit, duration_ms })
                    }
                    VoiceEvent::Broken(rule) => Told::Broken(rule),
                    VoiceEvent::Silent { silent_ms } => Told::Silent { silent_ms },
                };
                return Some((*call, told));
            }
        }
        None
    }
}

/// The ports of a peer's calls: an even one for RTP, and its odd neighbour for RTCP.
#[derive(Debug)]
struct Ports {
    place: MediaPlace,
    next: u16,
    taken: BTreeMap<SocketAddr, u32>,
}

impl Ports {
    fn of(place: &MediaPlace) -> Ports {
        Ports {
            place: place.clone(),
            next: place.first_port,
            taken: BTreeMap::new(),
        }
    }

    /// A pair for a new call. Ports that were given back rest while there are others.
    fn take(&mut self, call: u32, out: &mut VecDeque<Output>) -> SocketAddr {
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
    fn give_back(&mut self, address: SocketAddr, out: &mut VecDeque<Output>) {
        self.taken.remove(&address);
        if !self.place.silent {
            out.extend(pair(address).map(|address| Output::Unbind { address }));
        }
    }

    /// The call that has either port of a pair.
    fn call_at(&self, to: SocketAddr) -> Option<u32> {
        let even = SocketAddr::new(to.ip(), to.port() & !1);
        self.taken.get(&even).copied()
    }
}

/// An RTP port, and the RTCP port beside it.
fn pair(address: SocketAddr) -> [SocketAddr; 2] {
    [address, SocketAddr::new(address.ip(), address.port() | 1)]
}
