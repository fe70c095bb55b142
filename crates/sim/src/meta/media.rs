//! Meta's media side: places, the one voice of a call, and the 20 s and 30 s timers
//! (Meta reference 10).

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use sdp::{Codec, Crypto, Keying, SrtpKey, Suite};

use super::MetaPeer;
use super::call::Kind;
use super::offer::EVENTS;
use crate::peer::Output;
use crate::report::What;
use crate::voice::{Strictness, Voice, VoiceEvent, VoicePlan};

/// Payload type of events Meta sends though none were offered (Meta reference 10.6).
const UNASKED_EVENTS: u8 = 126;

impl MetaPeer {
    /// An even port of the range, and its odd neighbour, for a new call.
    pub(super) fn take_place(&mut self, id: u32) -> SocketAddr {
        let place = &self.settings.media;
        let last = place
            .first_port
            .saturating_add(place.ports.saturating_sub(2));
        let mut address = SocketAddr::new(place.address, self.next_port);
        for _ in 0..place.ports / 2 {
            address = SocketAddr::new(place.address, self.next_port);
            self.next_port = if self.next_port >= last {
                place.first_port
            } else {
                self.next_port + 2
            };
            if !self.places.contains_key(&address) {
                break;
            }
        }
        self.places.insert(address, id);
        if !self.settings.media.silent {
            self.bind(address);
        }
        address
    }

    fn bind(&mut self, address: SocketAddr) {
        self.outputs.push_back(Output::Bind { address });
        self.outputs.push_back(Output::Bind {
            address: odd(address),
        });
    }

    /// Whether a call of ours has its media at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.places.contains_key(&address)
    }

    /// Gives a call's ports back.
    pub(super) fn unbind(&mut self, address: SocketAddr) {
        self.places.remove(&address);
        if self.settings.media.silent {
            return;
        }
        self.outputs.push_back(Output::Unbind { address });
        self.outputs.push_back(Output::Unbind {
            address: odd(address),
        });
    }

    /// Both descriptions are known: the voice starts, and waits for the far side's first packet.
    pub(super) fn start_voice(&mut self, now: Instant, id: u32) {
        if self.settings.media.silent {
            return;
        }
        let (first_media, later_media) = (self.settings.first_media, self.settings.later_media);
        let seed = self.dice.roll();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(theirs) = &call.theirs else { return };
        let Some((pt, map)) = theirs.audio.first() else {
            return;
        };
        let codec = match map.split('/').next() {
            Some("pcma") => Codec::Pcma,
            Some("pcmu") => Codec::Pcmu,
            _ => Codec::Opus,
        };
        let suite = match theirs.crypto.1.as_str() {
            "AES_CM_128_HMAC_SHA1_32" => Suite::AesCm128HmacSha1_32,
            _ => Suite::AesCm128HmacSha1_80,
        };
        let own = base64::engine::general_purpose::STANDARD
            .decode(&call.words.key)
            .unwrap_or_default();
        let Ok(own) = <[u8; 30]>::try_from(own) else {
            return;
        };
        let crypto = |key| Crypto {
            tag: 1,
            suite,
            key: SrtpKey::new(key),
            lifetime: None,
            mki: None,
        };
        let ours = call
            .words
            .formats
            .iter()
            .find(|(_, map)| *map == EVENTS)
            .map(|(pt, _)| *pt);
        let talk = match &call.kind {
            Kind::Placed(placed) => placed.plan.talk.clone(),
            Kind::Received(received) => received.script.talk.clone(),
        };
        let plan = VoicePlan {
            local: call.words.address,
            remote: theirs.rtp,
            remote_rtcp: theirs.rtcp,
            mux: theirs.mux,
            codec,
            pt: *pt,
            send_events: theirs.dtmf.unwrap_or(UNASKED_EVENTS),
            receive_events: ours,
            keying: Keying::Sdes {
                local: crypto(own),
                remote: crypto(theirs.key),
            },
            ssrc: call.words.ssrc,
            announced: theirs.ssrc,
            waits: true,
            strictness: Strictness::Meta,
            first_media: Some(first_media),
            later_media: Some(later_media),
            talk,
            seed,
        };
        match Voice::start(now, plan) {
            Ok(voice) => call.voice = Some(voice),
            Err(why) => self.report(now, id, What::Failed { why }),
        }
        self.drain_voice(now, id);
    }

    /// Everything due in the voices.
    pub(super) fn voices_due(&mut self, now: Instant) {
        let due: Vec<u32> = self
            .calls
            .values()
            .filter(|call| {
                call.voice
                    .as_ref()
                    .and_then(Voice::next_timeout)
                    .is_some_and(|at| at <= now)
            })
            .map(|call| call.id)
            .collect();
        for id in due {
            if let Some(voice) = self.calls.get_mut(&id).and_then(|call| call.voice.as_mut()) {
                voice.timeout(now);
            }
            self.drain_voice(now, id);
        }
    }

    /// What a voice wants done.
    pub(super) fn drain_voice(&mut self, now: Instant, id: u32) {
        while let Some(event) = self
            .calls
            .get_mut(&id)
            .and_then(|call| call.voice.as_mut()?.poll())
        {
            match event {
                VoiceEvent::Datagram { from, to, bytes } => {
                    self.outputs.push_back(Output::Datagram { from, to, bytes });
                }
                VoiceEvent::FirstPacket { after_ms } => {
                    self.report(now, id, What::FirstPacket { after_ms })
                }
                VoiceEvent::Digit { digit, duration_ms } => {
                    self.report(now, id, What::Digit { digit, duration_ms })
                }
                VoiceEvent::Broken(rule) => self.violation(now, id, rule),
                VoiceEvent::Silent { silent_ms } => {
                    self.report(now, id, What::MediaTimeout { silent_ms });
                    self.send_bye(now, id, Some("SIP;cause=408;text=\"RTP Timeout\"".into()));
                }
            }
        }
    }
}

/// The RTCP port beside an RTP port.
fn odd(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() | 1)
}
