//! RFC 3264 reduced to a value: what an offer and its answer agreed on.
//!
//! ```text
//!   offer ──┐
//!           ├─► agree(…, Role::Offerer)  ─► Agreed, as the offerer sees it
//!   answer ─┤
//!           └─► agree(…, Role::Answerer) ─► Agreed, as the answerer sees it
//! ```

use crate::{Agreed, Codec, Crypto, Description, Format, Keying, Media, Negotiated, Profile};

/// Which of the two descriptions is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We wrote the offer.
    Offerer,
    /// We wrote the answer.
    Answerer,
}

/// Why an offer cannot be answered, or an answer not be used. Fit for a log and, as an offer's
/// refusal, for a 488 (RFC 3261 §21.4.26).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// There is no audio stream.
    #[error("the description has no audio stream")]
    NoAudio,
    /// The answer rejects the audio stream (port 0).
    #[error("the answer rejects the audio stream")]
    Rejected,
    /// The transport profile is not the one wanted.
    #[error("the audio stream is {found}, not {wanted}")]
    ProfileMismatch {
        /// What is wanted, as an `m=` line writes it.
        wanted: String,
        /// What was found.
        found: String,
    },
    /// The transport profile is none we speak: DTLS-SRTP, profiles with feedback.
    #[error("the audio stream is {found}, which is none we speak")]
    UnknownProfile {
        /// What was found.
        found: String,
    },
    /// No audio codec on both sides.
    #[error("there is no audio codec both sides have")]
    NoCommonCodec,
    /// No usable `a=crypto` line where one is needed.
    #[error("there is no crypto line both sides can use")]
    NoCrypto,
    /// The answer chose a crypto line that was not offered (RFC 4568 §5.1.3).
    #[error("the answer chose crypto line {tag}, which was not offered so")]
    CryptoNotOffered {
        /// The tag of the answer.
        tag: u32,
    },
    /// No `c=` line with an IP address.
    #[error("the description has no IP address for its audio stream")]
    NoAddress,
}

/// What `offer` and `answer` agreed on, from the point of view of `we`.
///
/// Both roles see the same codec, keys and direction, mirrored. The milliseconds per packet are
/// each side's own: what the other asked for.
///
/// # Errors
///
/// [`Disagreement`] when the two do not describe a call.
pub fn agree(offer: &Description, answer: &Description, we: Role) -> Result<Agreed, Disagreement> {
    let (offered, answered) = audio_streams(offer, answer)?;
    let (ours, theirs) = match we {
        Role::Offerer => (&offered, &answered),
        Role::Answerer => (&answered, &offered),
    };
    let profile = common_profile(&offered, &answered)?;
    let (audio, dtmf) = formats(&offered, &answered, we)?;
    let rtcp_mux = offered.rtcp_mux() && answered.rtcp_mux();
    let remote_rtp = theirs.rtp_target().ok_or(Disagreement::NoAddress)?;
    let remote_rtcp = match rtcp_mux {
        true => remote_rtp,
        false => theirs.rtcp_target().ok_or(Disagreement::NoAddress)?,
    };
    Ok(Agreed {
        remote_rtp,
        remote_rtcp,
        rtcp_mux,
        audio,
        dtmf,
        ptime: ptime(theirs),
        keying: keying(profile, &offered, &answered, we)?,
        direction: ours
            .effective_direction()
            .meet(theirs.effective_direction().reversed()),
        wants_voip_metrics: theirs.wants_voip_metrics(),
    })
}

/// The stream the answer accepts, and the same place in the offer (RFC 3264 §6: m-lines
/// correspond by position).
fn audio_streams<'a>(
    offer: &'a Description,
    answer: &'a Description,
) -> Result<(Media<'a>, Media<'a>), Disagreement> {
    offer.audio().ok_or(Disagreement::NoAudio)?;
    let mut pairs = offer.media().zip(answer.media());
    pairs
        .find(|(offered, answered)| {
            [offered, answered]
                .iter()
                .all(|media| media.is_audio() && !media.is_rejected())
        })
        .ok_or(if answer.media().any(|media| media.is_audio()) {
            Disagreement::Rejected
        } else {
            Disagreement::NoAudio
        })
}

fn common_profile(offered: &Media<'_>, answered: &Media<'_>) -> Result<Profile, Disagreement> {
    let found = |media: &Media<'_>| media.transport().to_owned();
    match (offered.profile(), answered.profile()) {
        (Some(offer), Some(answer)) if offer == answer => Ok(offer),
        (None, _) => Err(Disagreement::UnknownProfile {
            found: found(offered),
        }),
        _ => Err(Disagreement::ProfileMismatch {
            wanted: found(offered),
            found: found(answered),
        }),
    }
}

/// The answer's first audio format that was offered, and its telephone events.
fn formats(
    offered: &Media<'_>,
    answered: &Media<'_>,
    we: Role,
) -> Result<(Negotiated, Option<Negotiated>), Disagreement> {
    let (offered, answered) = (offered.formats(), answered.formats());
    let mut audio = None;
    let mut dtmf = None;
    for answer in &answered {
        let Some(offer) = counterpart(&offered, answer) else {
            continue;
        };
        let (ours, theirs) = match we {
            Role::Offerer => (offer, answer),
            Role::Answerer => (answer, offer),
        };
        let negotiated = Negotiated {
            codec: answer.codec,
            send_pt: theirs.pt,
            receive_pt: ours.pt,
            remote_fmtp: theirs.fmtp.as_deref().map(Into::into),
        };
        let slot = match answer.codec {
            Codec::TelephoneEvent => &mut dtmf,
            _ => &mut audio,
        };
        slot.get_or_insert(negotiated);
    }
    Ok((audio.ok_or(Disagreement::NoCommonCodec)?, dtmf))
}

/// The offered format an answered one stands for: same codec, if possible same number. An answerer
/// should keep the numbers (RFC 3264 §6.1), but need not.
fn counterpart<'f>(offered: &'f [Format], answer: &Format) -> Option<&'f Format> {
    let mut same = offered.iter().filter(|offer| offer.codec == answer.codec);
    let first = same.clone().next();
    same.find(|offer| offer.pt == answer.pt).or(first)
}

fn keying(
    profile: Profile,
    offered: &Media<'_>,
    answered: &Media<'_>,
    we: Role,
) -> Result<Keying, Disagreement> {
    if profile == Profile::Avp {
        return Ok(Keying::None);
    }
    let offered = offered.crypto();
    let (Some(answer), false) = (answered.crypto().into_iter().next(), offered.is_empty()) else {
        return Err(Disagreement::NoCrypto);
    };
    let chosen = |line: &Crypto| line.tag == answer.tag && line.suite == answer.suite;
    let Some(offer) = offered.into_iter().find(chosen) else {
        return Err(Disagreement::CryptoNotOffered { tag: answer.tag });
    };
    Ok(match we {
        Role::Offerer => Keying::Sdes {
            local: offer.into(),
            remote: answer.into(),
        },
        Role::Answerer => Keying::Sdes {
            local: answer.into(),
            remote: offer.into(),
        },
    })
}

/// What the far side asks for, within what it takes, within what makes sense: whole tens from 10
/// to 60 ms, else 20.
fn ptime(theirs: &Media<'_>) -> u8 {
    let wanted = theirs.ptime().unwrap_or(20);
    let limit = theirs.maxptime().filter(|limit| *limit >= 10).unwrap_or(60);
    let ptime = wanted.min(limit);
    match u8::try_from(ptime) {
        Ok(ptime @ 10..=60) => ptime - ptime % 10,
        Ok(61..) | Err(_) => 60,
        Ok(_) => 20,
    }
}

#[cfg(test)]
mod tests;
