//! The PBX's media side.

use std::net::SocketAddr;
use std::time::Instant;

use sip::Response;

use super::description::read;
use super::{Call, PbxPeer, Phase};
use crate::peer::Output;
use crate::report::What;
use crate::voice::{Lines, Strictness, Voice, VoicePlan};

impl PbxPeer {
    /// Whether a call of ours has its media at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.ports.has(address)
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
}

impl Lines for PbxPeer {
    fn voice(&mut self, call: u32) -> Option<&mut Voice> {
        self.calls.get_mut(&call)?.voice.as_mut()
    }

    fn voices(&self) -> impl Iterator<Item = (u32, &Voice)> {
        self.calls
            .iter()
            .filter_map(|(id, call)| Some((*id, call.voice.as_ref()?)))
    }

    fn named(&self, call: Option<u32>) -> Option<u32> {
        call.or_else(|| self.calls().next())
    }

    fn packet(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Datagram { from, to, bytes });
    }

    fn tell(&mut self, now: Instant, call: u32, what: What) {
        self.report(now, call, what);
    }

    fn broke(&mut self, now: Instant, call: u32, rule: String) {
        self.violation(now, call, rule);
    }

    fn gave_out(&mut self, now: Instant, call: u32) {
        let is_over = |call: &Call| call.phase == Phase::Over;
        if self.calls.get(&call).is_some_and(|call| !is_over(call)) {
            self.send_bye(now, call);
        }
    }
}
