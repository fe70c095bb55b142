//! Our own words: offers and answers composed from a profile and local facts (RFC 3264).
//!
//! Nothing of a stranger's description is passed on except what the RFC demands: payload type
//! numbers, the crypto tag, rejected streams and the `t=` line.

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Origin, Session, Time};

use crate::attribute::Rtpmap;
use crate::{
    Codec, Crypto, Description, Direction, Disagreement, Format, Media, Profile, SrtpKey, Suite,
};

/// How we describe media toward one kind of peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaProfile {
    /// Plain RTP or SRTP keyed by `a=crypto`. Never negotiated: an offer of another profile is
    /// refused.
    pub profile: Profile,
    /// The codecs allowed, in order of preference; [`Codec::TelephoneEvent`] among them where
    /// DTMF is wanted.
    pub codecs: Vec<Codec>,
    /// Milliseconds of audio per packet we ask for (`a=ptime`, `a=maxptime`).
    pub ptime: u8,
    /// Offer, and accept, RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// The SRTP suites allowed, in order of preference; one `a=crypto` line is offered for each.
    pub suites: Vec<Suite>,
    /// The parameters of `a=fmtp` for Opus (RFC 7587 §6.1); empty for no such line.
    pub opus_fmtp: &'static str,
    /// The payload type we offer Opus under.
    pub opus_pt: u8,
    /// The payload type we offer telephone events under.
    pub dtmf_pt: u8,
    /// Announce our SSRC and CNAME with `a=ssrc` (RFC 5576).
    pub print_ssrc: bool,
}

impl MediaProfile {
    /// The payload type we offer a codec under: PCMU 0 and PCMA 8 (RFC 3551 §6), Opus and events
    /// as the profile says.
    pub fn offered_pt(&self, codec: Codec) -> u8 {
        match codec {
            Codec::Opus => self.opus_pt,
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::TelephoneEvent => self.dtmf_pt,
        }
    }
}

/// The local facts of one leg's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address media is expected at, as the far side reaches it.
    pub address: IpAddr,
    /// The port RTP is expected on.
    pub rtp_port: u16,
    /// The port RTCP is expected on; equal to `rtp_port` when there is only one socket.
    pub rtcp_port: u16,
    /// Session id of the `o=` line, constant for the life of the leg.
    pub session_id: u64,
    /// Session version of the `o=` line: one more with each changed description (RFC 3264 §8).
    pub version: u64,
    /// The one SSRC we send under.
    pub ssrc: u32,
    /// Our RTCP CNAME.
    pub cname: String,
    /// What we send under, when the profile is SRTP. Without it no `a=crypto` line is written, and
    /// nobody can agree.
    pub key: Option<SrtpKey>,
}

/// An offer of one audio stream, `sendrecv`.
pub fn offer(profile: &MediaProfile, local: &Local) -> Description {
    let formats: Vec<Format> = profile
        .codecs
        .iter()
        .map(|codec| our_format(profile, profile.offered_pt(*codec), *codec))
        .collect();
    // One key serves all the lines: the answer picks a single one, so no key stream is used twice.
    let crypto: Vec<Crypto> = match (&local.key, profile.profile) {
        (Some(key), Profile::Savp) => (1..)
            .zip(&profile.suites)
            .filter_map(|(tag, suite)| our_crypto(tag, *suite, key))
            .collect(),
        _ => Vec::new(),
    };
    let audio = Audio {
        formats,
        crypto,
        rtcp_mux: profile.rtcp_mux,
        direction: Direction::SendRecv,
    };
    let mut session = session(local, vec![Time::new(0, 0)]);
    session.medias.push(audio.describe(profile, local));
    Description::from_session(session)
}

/// An answer to `offer` (RFC 3264 §6): exactly one audio codec, beside it telephone events where
/// offered and allowed, under the payload type numbers of the offer.
///
/// The codec is `prefer` where it is offered and allowed, else the first of the profile's that is
/// offered. The first audio stream of our transport profile is taken; all other streams are
/// answered with port 0. The direction is the counterpart of the offered one, so hold is granted.
///
/// # Errors
///
/// [`Disagreement`] when no stream can be accepted: answer the offer with 488.
pub fn answer(
    offer: &Description,
    profile: &MediaProfile,
    local: &Local,
    prefer: Option<Codec>,
) -> Result<Description, Disagreement> {
    let (index, theirs) = acceptable_stream(offer, profile)?;
    let formats = answered_formats(&theirs, profile, prefer)?;
    let crypto = match profile.profile {
        Profile::Avp => Vec::new(),
        Profile::Savp => vec![answered_crypto(&theirs, profile, local)?],
    };
    let audio = Audio {
        formats,
        crypto,
        rtcp_mux: profile.rtcp_mux && theirs.rtcp_mux(),
        direction: theirs.effective_direction().reversed(),
    };
    // RFC 3264 §6: the t= line of the answer equals that of the offer.
    let mut session = session(local, offer.session().times.clone());
    for (at, stream) in offer.session().medias.iter().enumerate() {
        session.medias.push(if at == index {
            audio.describe(profile, local)
        } else {
            rejected(stream)
        });
    }
    Ok(Description::from_session(session))
}

/// What we say in an `m=audio` section.
struct Audio {
    formats: Vec<Format>,
    crypto: Vec<Crypto>,
    rtcp_mux: bool,
    direction: Direction,
}

impl Audio {
    fn describe(&self, profile: &MediaProfile, local: &Local) -> sdp_types::Media {
        let numbers: Vec<String> = self.formats.iter().map(|f| f.pt.to_string()).collect();
        let mut attributes = Vec::new();
        let mut add = |name: &str, value: String| {
            attributes.push(Attribute::with_value(name, value));
        };
        for crypto in &self.crypto {
            add("crypto", crypto.to_value());
        }
        for format in &self.formats {
            add("rtpmap", Rtpmap::of(format.pt, format.codec).to_value());
            if let Some(fmtp) = &format.fmtp {
                add("fmtp", format!("{} {fmtp}", format.pt));
            }
        }
        if let Some(port) = rtcp_port_to_tell(local, self.rtcp_mux) {
            add("rtcp", port.to_string());
        }
        if self.rtcp_mux {
            attributes.push(Attribute::new("rtcp-mux"));
        }
        let ptime = profile.ptime.to_string();
        attributes.push(Attribute::with_value("ptime", &ptime));
        attributes.push(Attribute::with_value("maxptime", &ptime));
        attributes.push(Attribute::new(self.direction.name()));
        if profile.print_ssrc {
            let value = format!("{} cname:{}", local.ssrc, local.cname);
            attributes.push(Attribute::with_value("ssrc", value));
        }
        sdp_types::Media {
            attributes,
            ..bare_media(
                "audio",
                local.rtp_port,
                profile.profile.name(),
                numbers.join(" "),
            )
        }
    }
}

/// The RTCP port, where the far side would guess it wrong (RFC 3605).
fn rtcp_port_to_tell(local: &Local, rtcp_mux: bool) -> Option<u16> {
    let usual = local.rtp_port.checked_add(1) == Some(local.rtcp_port)
        || (rtcp_mux && local.rtcp_port == local.rtp_port);
    (!usual).then_some(local.rtcp_port)
}

fn acceptable_stream<'a>(
    offer: &'a Description,
    profile: &MediaProfile,
) -> Result<(usize, Media<'a>), Disagreement> {
    let mut refused = None;
    for (index, media) in offer.media().enumerate() {
        if !media.is_audio() || media.is_rejected() {
            continue;
        }
        if media.profile() == Some(profile.profile) {
            return Ok((index, media));
        }
        refused = refused.or(Some(media));
    }
    Err(match refused {
        None => Disagreement::NoAudio,
        Some(media) => Disagreement::ProfileMismatch {
            wanted: profile.profile.name().to_owned(),
            found: media.transport().to_owned(),
        },
    })
}

fn answered_formats(
    theirs: &Media<'_>,
    profile: &MediaProfile,
    prefer: Option<Codec>,
) -> Result<Vec<Format>, Disagreement> {
    let offered = theirs.formats();
    let find = |codec: Codec| {
        let allowed = profile.codecs.contains(&codec);
        offered.iter().find(|f| allowed && f.codec == codec)
    };
    let audio = prefer
        .filter(|codec| codec.is_audio())
        .and_then(find)
        .or_else(|| {
            let mut ours = profile.codecs.iter().filter(|codec| codec.is_audio());
            ours.find_map(|codec| find(*codec))
        })
        .ok_or(Disagreement::NoCommonCodec)?;
    let events = find(Codec::TelephoneEvent);
    Ok([Some(audio), events]
        .into_iter()
        .flatten()
        .map(|format| our_format(profile, format.pt, format.codec))
        .collect())
}

fn answered_crypto(
    theirs: &Media<'_>,
    profile: &MediaProfile,
    local: &Local,
) -> Result<Crypto, Disagreement> {
    let key = local.key.as_ref().ok_or(Disagreement::NoCrypto)?;
    // RFC 4568 §5.1.2: the first acceptable line of the offer, under the offer's tag.
    theirs
        .crypto()
        .iter()
        .find(|line| profile.suites.contains(&line.suite))
        .and_then(|line| our_crypto(line.tag, line.suite, key))
        .ok_or(Disagreement::NoCrypto)
}

fn our_format(profile: &MediaProfile, pt: u8, codec: Codec) -> Format {
    let fmtp = match codec {
        Codec::Opus => Some(profile.opus_fmtp.to_owned()).filter(|fmtp| !fmtp.is_empty()),
        Codec::TelephoneEvent => Some("0-15".to_owned()),
        Codec::Pcma | Codec::Pcmu => None,
    };
    Format { pt, codec, fmtp }
}

/// `None`: the key is too short for the suite.
fn our_crypto(tag: u32, suite: Suite, key: &SrtpKey) -> Option<Crypto> {
    Some(Crypto {
        tag,
        suite,
        key: key.fit(suite)?,
        lifetime: None,
        mki: None,
    })
}

fn session(local: &Local, times: Vec<Time>) -> Session {
    let origin = Origin::with_ip_addr(local.session_id, local.version, local.address);
    Session {
        connection: Some(Connection::from_ip_addr(local.address)),
        times,
        ..Session::new(origin, "-")
    }
}

/// A stream we do not want: its `m=` line comes back with port 0 (RFC 3264 §6).
fn rejected(stream: &sdp_types::Media) -> sdp_types::Media {
    bare_media(&stream.media, 0, &stream.proto, stream.fmt.clone())
}

fn bare_media(media: &str, port: u16, proto: &str, fmt: String) -> sdp_types::Media {
    sdp_types::Media {
        media: media.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
