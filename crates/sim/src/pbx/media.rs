//! The PBX's media side.

use std::net::SocketAddr;
use std::time::Instant;

use sip::Response;

use super::description::read;
use super::{PbxPeer, Phase};
use crate::peer::Output;
use crate::report::What;
use crate::voice::{Strictness, Voice, VoiceEvent, VoicePlan};

impl PbxPeer {
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
            self.outputs.push_back(Output::Bind { address });
            self.outputs.push_back(Output::Bind {
                address: odd(address),
            });
        }
        address
    }

    /// Whether a call of ours has its media at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.places.contains_key(&address)
    }

    /// Gives a call's ports back.
    pub(super) fn unbind(&mut self, address: SocketAddr) {
        self.places.remove(&address);
        if !self.settings.media.silent {
            self.outputs.push_back(Output::Unbind { address });
            self.outputs.push_back(Output::Unbind {
                address: odd(address),
            });
        }
    }

    /// Takes the far side's description; gives the name of the codec, empty when there is none.
    pub(super) fn agree(&mut self, now: Instant, id: u32, body: &[u8]) -> String {
        let ours = self.formats();
        match read(body, !self.settings.srtp.is_empty()) {
            Ok(far) => {
                let codec = far
                    .audio
                    .iter()
                    .find(|(_, codec)| ours.iter().any(|(_, our)| our == codec))
                    .copied();
                let Some((pt, codec)) = codec else {
                    self.violation(now, id, "no codec in common");
                    return String::new();
                };
                let suites = &self.settings.srtp;
                if let Some(call) = self.calls.get_mut(&id) {
                    match (call.keys.keying(suites, &far), &mut call.voice) {
                        (None, _) => {
                            self.violation(now, id, "no crypto line in common");
                            return String::new();
                        }
                        (Some(keying), Some(voice)) => voice.rekey(keying),
                        (Some(_), None) => {}
                    }
                    call.far = Some(far);
                    call.codec = Some((pt, codec));
                }
                codec.name().to_owned()
            }
            Err(why) => {
                self.violation(now, id, why);
                String::new()
            }
        }
    }

    /// SDP in a provisional response: we listen, and speak.
    pub(super) fn early_media(&mut self, now: Instant, id: u32, response: &Response) {
        self.agree(now, id, &response.body);
        self.start_voice(now, id);
    }

    /// Starts the voice of a call, unless it runs.
    pub(super) fn start_voice(&mut self, now: Instant, id: u32) {
        if self.settings.media.silent {
            return;
        }
        let (seed, ssrc) = (self.dice.roll(), self.dice.roll() as u32);
        let events = self.events();
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.voice.is_none()) else {
            return;
        };
        let (Some(far), Some((pt, codec))) = (&call.far, call.codec) else {
            return;
        };
        let Some(keying) = call.keys.keying(&self.settings.srtp, far) else {
            return;
        };
        let plan = VoicePlan {
            local: call.address,
            remote: far.rtp,
            remote_rtcp: far.rtcp,
            mux: false,
            codec,
            pt,
            send_events: far.events.unwrap_or(101),
            // As offerer our number, as answerer the offered one, which is the far side's.
            receive_events: if call.client.is_some() {
                events
            } else {
                far.events
            },
            keying,
            ssrc,
            announced: None,
            waits: false,
            strictness: Strictness::Phone,
            first_media: None,
            later_media: None,
            talk: call.talk.clone(),
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
                    if self
                        .calls
                        .get(&id)
                        .is_some_and(|call| call.phase != Phase::Over)
                    {
                        self.send_bye(now, id);
                    }
                }
            }
        }
    }
}

/// The RTCP port beside an RTP port.
fn odd(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() | 1)
}
