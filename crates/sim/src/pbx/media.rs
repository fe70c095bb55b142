//! The PBX's media side.

use std::net::SocketAddr;
use std::time::Instant;

use sip::Response;

use super::PbxPeer;
use super::description::read;
use crate::report::What;
use crate::voice::{Strictness, Told, VoicePlan};

impl PbxPeer {
    /// Whether a call of ours has its media at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.voices.speaks_at(address)
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
                    let Some(keying) = call.keys.keying(suites, &far.crypto) else {
                        self.violation(now, id, "no crypto line in common");
                        return String::new();
                    };
                    self.voices.rekey(id, keying);
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
        let Some(call) = self.calls.get(&id).filter(|_| !self.voices.has(id)) else {
            return;
        };
        let (Some(far), Some((pt, codec))) = (&call.far, call.codec) else {
            return;
        };
        let Some(keying) = call.keys.keying(&self.settings.srtp, &far.crypto) else {
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
        if let Err(why) = self.voices.start(now, id, plan) {
            self.report(now, id, What::Failed { why });
        }
        self.drain_voices(now);
    }

    /// Passes on what the voices want, and takes what they found.
    pub(super) fn drain_voices(&mut self, now: Instant) {
        while let Some((id, told)) = self.voices.poll(&mut self.outputs) {
            match told {
                Told::What(what) => self.report(now, id, what),
                Told::Broken(rule) => self.violation(now, id, rule),
                Told::Silent { silent_ms } => {
                    self.report(now, id, What::MediaTimeout { silent_ms });
                    self.send_bye(now, id);
                }
            }
        }
    }
}
