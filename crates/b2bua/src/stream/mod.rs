//! The audio stream of one leg: what was said about it, what was agreed, what media is to do.

mod said;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use sdp::plan::{Care, Gain, Gate, LegPlan, Smoothing};
use sdp::{Agreed, Codec, Crypto, Description, Keying, Local, MediaProfile, Role, SrtpKey};
use sip::Ident;

use crate::Cause;
use crate::media::LocalMedia;
use crate::profile::{Digits, PeerProfile, Reoffer};
use crate::record::LegMedia;
use crate::settings::{Carrier, Number, Srtp, Trunk};
use said::{Ours, Theirs};

/// The audio stream of one leg.
#[derive(Debug)]
pub(crate) struct Stream {
    peer: Arc<PeerProfile>,
    profile: MediaProfile,
    srtp: Srtp,
    smoothing: Option<Smoothing>,
    gain: Gain,
    local: Option<Local>,
    ours: Option<Ours>,
    theirs: Option<Theirs>,
    agreed: Option<Agreed>,
}

/// How media is spoken with the carrier for `number`.
fn carrier_profile(carrier: &Carrier, number: &Number) -> MediaProfile {
    MediaProfile {
        profile: sdp::Profile::Savp,
        codecs: number.codecs.clone(),
        ptime: carrier.ptime,
        rtcp_mux: carrier.rtcp_mux,
        suites: number.suites.clone(),
        opus_fmtp: carrier.profile.opus_fmtp,
        opus_pt: carrier.profile.opus_pt,
        dtmf_pt: carrier.profile.dtmf_pt,
        print_ssrc: carrier.profile.print_ssrc,
    }
}

/// How media is spoken with a trunk.
fn trunk_profile(trunk: &Trunk) -> MediaProfile {
    MediaProfile {
        profile: trunk.media.srtp.offered(),
        codecs: trunk.codecs.clone(),
        ptime: trunk.ptime,
        rtcp_mux: false,
        suites: trunk.media.suites.clone(),
        opus_fmtp: trunk.profile.opus_fmtp,
        opus_pt: trunk.profile.opus_pt,
        dtmf_pt: trunk.profile.dtmf_pt,
        print_ssrc: trunk.profile.print_ssrc,
    }
}

impl Stream {
    /// The carrier's: SRTP, always.
    pub(crate) fn of_carrier(carrier: &Carrier, number: &Number) -> Self {
        let profile = carrier_profile(carrier, number);
        Self::new(carrier.profile.clone(), profile, Srtp::Required)
    }

    /// A trunk's.
    pub(crate) fn of_trunk(trunk: &Trunk) -> Self {
        let profile = trunk_profile(trunk);
        Self {
            smoothing: trunk.media.smoothing,
            gain: trunk.media.gain,
            ..Self::new(trunk.profile.clone(), profile, trunk.media.srtp)
        }
    }

    fn new(peer: Arc<PeerProfile>, profile: MediaProfile, srtp: Srtp) -> Self {
        Self {
            peer,
            profile,
            srtp,
            smoothing: None,
            gain: Gain::default(),
            local: None,
            ours: None,
            theirs: None,
            agreed: None,
        }
    }

    /// Takes the peer's first offer, refusing at once what could never be answered. A peer that
    /// may change its media may also leave the offer to us (RFC 3264 §5, RFC 3261 §13.2.1).
    pub(crate) fn offered(&mut self, body: &[u8]) -> Result<(), Cause> {
        if body.is_empty() && self.peer.reoffer == Reoffer::Negotiate {
            return Ok(());
        }
        let offer = parse(body)?;
        self.profile.profile = self.fitting(&offer);
        let anywhere = Local {
            address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            rtp_port: 9,
            rtcp_port: 9,
            session_id: 0,
            version: 0,
            ssrc: 0,
            cname: String::new(),
            key: Some(SrtpKey::wide([0; 44])),
        };
        let answer =
            sdp::compose::answer(&offer, &self.profile, &anywhere, None).map_err(disagreement)?;
        sdp::agree(&offer, &answer, Role::Answerer).map_err(disagreement)?;
        self.theirs = Some(offer.into());
        Ok(())
    }

    /// The ports are known: from now on we can speak.
    pub(crate) fn open(&mut self, ident: &mut Ident, local: &LocalMedia) {
        let session_id = u64::from(ident.u32());
        self.local = Some(Local {
            address: local.address,
            rtp_port: local.rtp_port,
            rtcp_port: local.rtcp_port,
            session_id,
            version: session_id,
            ssrc: ident.u32(),
            cname: ident.tag(),
            key: (self.srtp != Srtp::Off).then(|| SrtpKey::wide(ident.bytes())),
        });
    }

    /// The transport profile an offer is answered in: ours, or where both are taken the offer's, SRTP
    /// before plain RTP.
    fn fitting(&self, offer: &Description) -> sdp::Profile {
        let has_savp = || {
            let mut streams = offer.media();
            streams.any(|media| {
                media.is_audio()
                    && !media.is_rejected()
                    && media.profile() == Some(sdp::Profile::Savp)
            })
        };
        match self.srtp {
            Srtp::Allowed if has_savp() => sdp::Profile::Savp,
            _ => self.srtp.offered(),
        }
    }

    /// The stream of whoever takes the peer's place: on the same ports, everything else its own. `None`
    /// before the ports are known.
    pub(crate) fn successor(&self, ident: &mut Ident) -> Option<Stream> {
        let local = self.local.as_ref()?;
        let place = LocalMedia {
            address: local.address,
            rtp_port: local.rtp_port,
            rtcp_port: local.rtcp_port,
        };
        let mut next = Stream::new(self.peer.clone(), self.profile.clone(), self.srtp);
        next.profile.profile = self.srtp.offered();
        next.smoothing = self.smoothing;
        next.gain = self.gain;
        next.open(ident, &place);
        Some(next)
    }

    /// Whether the peer made an offer that waits for our answer.
    pub(crate) fn was_offered(&self) -> bool {
        self.theirs.is_some()
    }

    /// Our offer, once the ports are known.
    pub(crate) fn offer(&mut self) -> Result<Bytes, Cause> {
        let offer = self.composed().ok_or_else(|| missing("a port"))?;
        self.ours = Some(Ours::Offer);
        Ok(offer.to_bytes().into())
    }

    /// The offer we make, or made: what it is composed of changes only when something else is said.
    fn composed(&self) -> Option<Description> {
        let local = self.local.as_ref()?;
        Some(sdp::compose::offer(&self.profile, local))
    }

    /// The peer's answer to our offer.
    pub(crate) fn answered(&mut self, body: &[u8]) -> Result<&Agreed, Cause> {
        let answer = parse(body)?;
        let offer = match &self.ours {
            Some(Ours::Offer) => self.composed(),
            // A refresh offers what holds, in whichever words that was said.
            Some(Ours::Answer(printed)) => Description::parse(printed).ok(),
            None => None,
        };
        let offer = offer.ok_or_else(|| missing("an offer of ours"))?;
        let agreed = sdp::agree(&offer, &answer, Role::Offerer).map_err(disagreement)?;
        self.theirs = Some(answer.into());
        Ok(self.agreed.insert(agreed))
    }

    /// The peer's answer to an offer of ours in mid-call. `None`: what holds goes on to hold
    /// (RFC 3264 §8), because the answer is of no use or the peer may change nothing.
    pub(crate) fn reanswered(&mut self, body: &[u8]) -> Option<&Agreed> {
        if self.peer.reoffer == Reoffer::OnlyUnchanged {
            return None;
        }
        self.answered(body).ok()
    }

    /// Our answer to the peer's offer, with `prefer` as the codec where both sides have it.
    pub(crate) fn answer(&mut self, prefer: Option<Codec>) -> Result<Bytes, Cause> {
        let offer = self.theirs.as_ref().and_then(Theirs::description);
        let offer = offer.ok_or_else(|| missing("an offer of the peer"))?;
        let local = self.local.as_ref().ok_or_else(|| missing("a port"))?;
        let answer =
            sdp::compose::answer(offer, &self.profile, local, prefer).map_err(disagreement)?;
        self.agreed = Some(sdp::agree(offer, &answer, Role::Answerer).map_err(disagreement)?);
        let body = Bytes::from(answer.to_bytes());
        self.ours = Some(Ours::from(&body));
        Ok(body)
    }

    /// Our answer as it was, for whoever was told it in a provisional response (RFC 3261 §13.2.1).
    pub(crate) fn answer_again(&self) -> Result<Bytes, Cause> {
        self.current()
            .ok_or_else(|| missing("a description of ours"))
    }

    /// Whether the peer does not want to hear anybody: it has the other side on hold.
    pub(crate) fn is_held(&self) -> bool {
        self.agreed
            .as_ref()
            .is_some_and(|agreed| !agreed.direction.sends() || agreed.has_no_address())
    }

    /// The peer offers a change in mid-call. The codec in use is kept where the offer has it.
    /// On refusal everything stays as it was (RFC 3264 §8). Another key of the peer gets another key of
    /// ours: some begin to count packets anew in both directions when one key changes.
    pub(crate) fn reoffered(&mut self, ident: &mut Ident, body: &[u8]) -> Result<Bytes, Cause> {
        let offer = parse(body)?;
        if self.peer.reoffer == Reoffer::OnlyUnchanged {
            let theirs = self.theirs.as_ref();
            let unchanged = theirs.is_some_and(|theirs| theirs.is(&offer));
            let current = self.current().filter(|_| unchanged);
            return current
                .ok_or_else(|| Cause::NoCommonMedia("the peer may not change its media".into()));
        }
        let said = (self.current(), self.theirs.take());
        let fitting = self.fitting(&offer);
        let profile = std::mem::replace(&mut self.profile.profile, fitting);
        self.theirs = Some(offer.into());
        let held = self.agreed.clone();
        let prefer = held.as_ref().map(|agreed| agreed.audio.codec);
        let answer = self.answer(prefer).inspect_err(|_| {
            self.theirs = said.1;
            self.profile.profile = profile;
        })?;
        let key = self.agreed.as_ref().and_then(their_key);
        if key.is_some() && key != held.as_ref().and_then(their_key) {
            self.rekey(ident);
        } else if self.current() == said.0 {
            // A refresh: the same words in the same version (RFC 3264 §8).
            return Ok(answer);
        }
        self.next_version();
        self.answer(prefer)
    }

    /// Another peer is asked: what its predecessor agreed to is void.
    pub(crate) fn forget_agreement(&mut self) {
        self.agreed = None;
    }

    /// What we said last, word for word.
    pub(crate) fn current(&self) -> Option<Bytes> {
        match self.ours.as_ref()? {
            Ours::Offer => Some(self.composed()?.to_bytes().into()),
            Ours::Answer(printed) => Some(Bytes::copy_from_slice(printed)),
        }
    }

    /// The peer asks us to offer in mid-call (an offerless re-INVITE).
    pub(crate) fn offer_again(&mut self, ident: &mut Ident) -> Result<Bytes, Cause> {
        if self.peer.reoffer == Reoffer::OnlyUnchanged {
            return self.answer_again();
        }
        self.rekey(ident);
        self.next_version();
        self.offer()
    }

    /// Another key from the next description on. What is sent until that is agreed on goes under the old one.
    fn rekey(&mut self, ident: &mut Ident) {
        if let Some(local) = &mut self.local
            && self.srtp != Srtp::Off
        {
            local.key = Some(SrtpKey::wide(ident.bytes()));
        }
    }

    /// All is agreed on: what was said is rarely needed from now on. What a peer said that may say something else next is
    /// in what was agreed, and of no further use.
    pub(crate) fn rest(&mut self) {
        match self.peer.reoffer {
            Reoffer::Negotiate => self.theirs = None,
            Reoffer::OnlyUnchanged => self.theirs.iter_mut().for_each(Theirs::rest),
        }
    }

    /// RFC 3264 §8: the version in `o=` counts our descriptions.
    fn next_version(&mut self) {
        if let Some(local) = &mut self.local {
            local.version += 1;
        }
    }

    /// What holds now.
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// What media is to do, once everything is agreed.
    pub(crate) fn plan(&self, gate: Gate, signalling: Option<IpAddr>) -> Option<LegPlan> {
        let local = self.local.as_ref()?;
        Some(LegPlan {
            agreed: self.agreed.clone()?,
            ssrc: local.ssrc,
            cname: local.cname.clone(),
            gate,
            proof: self.peer.proof,
            silence: self.peer.silence,
            latch: self.peer.latch.latch(signalling),
            inactivity: self.peer.inactivity,
            quiet: self.peer.quiet,
            unsolicited_dtmf: self.peer.unsolicited_dtmf,
            care: Care {
                tones: self.peer.digits == Digits::Tones,
                smoothing: self.smoothing,
                gain: self.gain,
                exact_ptime: self.peer.exact_ptime,
            },
        })
    }

    /// The codec and suite, for the record.
    pub(crate) fn media(&self) -> Option<LegMedia> {
        let agreed = self.agreed.as_ref()?;
        let suite = match &agreed.keying {
            Keying::None => None,
            Keying::Sdes { local, .. } => Some(local.suite),
        };
        Some(LegMedia {
            codec: agreed.audio.codec,
            suite,
        })
    }
}

/// What the peer sends under.
fn their_key(agreed: &Agreed) -> Option<&Crypto> {
    match &agreed.keying {
        Keying::None => None,
        Keying::Sdes { remote, .. } => Some(remote),
    }
}

fn parse(body: &[u8]) -> Result<Description, Cause> {
    Description::parse(body).map_err(|malformed| Cause::NoCommonMedia(malformed.to_string()))
}

fn disagreement(why: sdp::Disagreement) -> Cause {
    Cause::NoCommonMedia(why.to_string())
}

fn missing(what: &str) -> Cause {
    Cause::NoCommonMedia(format!("{what} is missing"))
}
