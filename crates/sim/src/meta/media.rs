//! Meta's media side: places, the one voice of a call, and the 20 s and 30 s timers
//! (Meta reference 10).

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use sdp::{Codec, Crypto, Keying, SrtpKey, Suite};

use super::MetaPeer;
use super::call::Kind;
use super::offer::EVENTS;
use crate::report::What;
use crate::voice::{Strictness, Told, VoicePlan};

/// Payload type of events Meta sends though none were offered (Meta reference 10.6).
const UNASKED_EVENTS: u8 = 126;

impl MetaPeer {
    /// Whether a call of ours has its media at this address.
    pub(crate) fn speaks_at(&self, address: SocketAddr) -> bool {
        self.voices.speaks_at(address)
    }

    /// Both descriptions are known: the voice starts, and waits for the far side's first packet.
    pub(super) fn start_voice(&mut self, now: Instant, id: u32) {
        if self.settings.media.silent {
            return;
        }
        let (first_media, later_media) = (self.settings.first_media, self.settings.later_media);
        let seed = self.dice.roll();
        let Some(call) = self.calls.get(&id) else {
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
                local: crypto(own).into(),
                remote: crypto(theirs.key).into(),
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
                    let cause = "SIP;cause=408;text=\"RTP Timeout\"";
                    self.send_bye(now, id, Some(cause.into()));
                }
            }
        }
    }
}
