//! What holds for every input: reading never fails badly, and both sides see one agreement.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::subsequence;
use sdp::{
    Agreed, Codec, Crypto, Description, Keying, Local, MediaProfile, Mki, Negotiated, Profile,
    Role, SrtpKey, Suite, agree, compose,
};

use crate::samples;

const SUITES: [Suite; 4] = Suite::ALL;

fn key() -> impl Strategy<Value = SrtpKey> {
    (any::<[u8; 32]>(), any::<[u8; 12]>()).prop_map(|(key, salt)| {
        let mut bytes = [0; 44];
        bytes[..32].copy_from_slice(&key);
        bytes[32..].copy_from_slice(&salt);
        SrtpKey::wide(bytes)
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits | 0x0100_0000))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 100))),
    ]
}

/// Any profile with at least one audio codec.
pub(crate) fn profile() -> impl Strategy<Value = MediaProfile> {
    let audio = subsequence(vec![Codec::Opus, Codec::Pcma, Codec::Pcmu], 1..=3).prop_shuffle();
    let suites = subsequence(SUITES.to_vec(), 1..=2).prop_shuffle();
    (
        audio,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        suites,
        96u8..=110,
        112u8..=127,
        any::<bool>(),
    )
        .prop_map(
            |(mut codecs, events, secure, rtcp_mux, suites, opus_pt, dtmf_pt, print_ssrc)| {
                if events {
                    codecs.push(Codec::TelephoneEvent);
                }
                MediaProfile {
                    profile: if secure { Profile::Savp } else { Profile::Avp },
                    codecs,
                    ptime: 20,
                    rtcp_mux,
                    suites,
                    opus_fmtp: "useinbandfec=1",
                    opus_pt,
                    dtmf_pt,
                    print_ssrc,
                }
            },
        )
}

/// Any local facts, with a key.
pub(crate) fn local() -> impl Strategy<Value = Local> {
    (
        address(),
        1024u16..65535,
        any::<bool>(),
        any::<u64>(),
        any::<u32>(),
        key(),
    )
        .prop_map(|(address, rtp_port, single, session_id, ssrc, key)| Local {
            address,
            rtp_port,
            rtcp_port: if single { rtp_port } else { rtp_port + 1 },
            session_id,
            version: session_id,
            ssrc,
            cname: "sbc".to_owned(),
            key: Some(key),
        })
}

/// A sample with bytes overwritten, cut out, doubled and spliced from another sample.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = samples::all().into_iter().map(|(_, bytes)| bytes).collect();
    let sample = proptest::sample::select(samples);
    let change = (
        any::<proptest::sample::Index>(),
        0usize..40,
        any::<u8>(),
        0u8..5,
    );
    (sample.clone(), sample, prop::collection::vec(change, 1..12)).prop_map(
        |(mut bytes, other, changes)| {
            for (at, length, byte, kind) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                let end = (at + length).min(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => drop(bytes.drain(at..end)),
                    2 => {
                        let piece = bytes[at..end].to_vec();
                        bytes.splice(at..at, piece);
                    }
                    3 => {
                        let from = at.min(other.len());
                        let to = end.min(other.len());
                        bytes.splice(at..end, other[from..to].iter().copied());
                    }
                    _ => bytes[at] = b"0123456789 :/|^;=\r\n"[usize::from(byte) % 19],
                }
            }
            bytes
        },
    )
}

/// Asks a description everything there is to ask.
fn interrogate(description: &Description) {
    for media in description.media() {
        let _ = (
            media.formats(),
            media.ptime(),
            media.maxptime(),
            media.direction(),
            media.effective_direction(),
        );
        let _ = (
            media.crypto(),
            media.rtcp(),
            media.rtcp_mux(),
            media.ssrc(),
            media.mid(),
        );
        let _ = (media.rtp_target(), media.rtcp_target(), media.profile());
    }
    let _ = format!("{description:?} {description}");
}

/// One side's view of an agreement, and what the other side's must be.
fn assert_mirrored(ours: &Agreed, theirs: &Agreed) {
    let swapped =
        |negotiated: &Negotiated| (negotiated.codec, negotiated.receive_pt, negotiated.send_pt);
    let straight =
        |negotiated: &Negotiated| (negotiated.codec, negotiated.send_pt, negotiated.receive_pt);
    assert_eq!(straight(&ours.audio), swapped(&theirs.audio));
    assert_eq!(
        ours.dtmf.as_ref().map(straight),
        theirs.dtmf.as_ref().map(swapped)
    );
    assert_eq!(ours.direction, theirs.direction.reversed());
    assert_eq!(ours.rtcp_mux, theirs.rtcp_mux);
    match (&ours.keying, &theirs.keying) {
        (Keying::None, Keying::None) => {}
        (
            Keying::Sdes { local, remote },
            Keying::Sdes {
                local: far_local,
                remote: far_remote,
            },
        ) => {
            assert_eq!((local, remote), (far_remote, far_local));
        }
        (ours, theirs) => panic!("{ours:?} against {theirs:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_a_stranger_writes_stops_us(bytes in mutated(), other in mutated(), profile in profile(), local in local()) {
        let (Ok(offer), other) = (Description::parse(&bytes), Description::parse(&other)) else {
            return Ok(());
        };
        interrogate(&offer);
        if let Ok(other) = other {
            let ours = agree(&offer, &other, Role::Offerer);
            let theirs = agree(&offer, &other, Role::Answerer);
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                assert_mirrored(&ours, &theirs);
            }
        }
        if let Ok(answer) = compose::answer(&offer, &profile, &local, None) {
            interrogate(&answer);
            prop_assert_eq!(answer.media().count(), offer.media().count());
            // Whatever was offered, an answer of ours is one both sides can use, unless the offer
            // has no address to send to.
            if offer.audio().is_some_and(|audio| audio.address().is_some()) {
                let agreed = agree(&offer, &answer, Role::Answerer);
                prop_assert!(agreed.is_ok() || answer.media().zip(offer.media()).any(|(ours, theirs)| !ours.is_rejected() && theirs.address().is_none()), "{:?}", agreed);
            }
        }
    }

    #[test]
    fn bytes_of_no_meaning_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(description) = Description::parse(&bytes) {
            interrogate(&description);
        }
    }

    #[test]
    fn a_description_we_printed_is_read_the_same(bytes in mutated()) {
        if let Ok(description) = Description::parse(&bytes) {
            let printed = description.to_bytes();
            let again = Description::parse(&printed).expect("our own words are readable");
            prop_assert_eq!(again.to_bytes(), printed);
        }
    }
}

proptest! {
    #[test]
    fn both_sides_see_one_agreement_mirrored(
        profile in profile(), mut other in profile(), offerer in local(), answerer in local(),
        prefer in prop::option::of(prop::sample::select(vec![Codec::Opus, Codec::Pcma, Codec::Pcmu])),
    ) {
        other.profile = profile.profile;
        let offer = compose::offer(&profile, &offerer);
        let Ok(answer) = compose::answer(&offer, &other, &answerer, prefer) else {
            let common = profile.codecs.iter().any(|codec| codec.is_audio() && other.codecs.contains(codec));
            let suite = profile.suites.iter().any(|suite| other.suites.contains(suite));
            prop_assert!(!common || (profile.profile == Profile::Savp && !suite));
            return Ok(());
        };
        // As over the wire.
        let offer = Description::parse(&offer.to_bytes()).expect("readable");
        let answer = Description::parse(&answer.to_bytes()).expect("readable");
        let ours = agree(&offer, &answer, Role::Offerer).expect("agreement");
        let theirs = agree(&offer, &answer, Role::Answerer).expect("agreement");
        assert_mirrored(&ours, &theirs);
        prop_assert_eq!(ours.remote_rtp, (answerer.address, answerer.rtp_port).into());
        prop_assert_eq!(theirs.remote_rtp, (offerer.address, offerer.rtp_port).into());
        let rtcp_port = if ours.rtcp_mux { answerer.rtp_port } else { answerer.rtcp_port };
        prop_assert_eq!(ours.remote_rtcp, (answerer.address, rtcp_port).into());
        if let Some(prefer) = prefer.filter(|codec| profile.codecs.contains(codec) && other.codecs.contains(codec)) {
            prop_assert_eq!(ours.audio.codec, prefer);
        }
        prop_assert_eq!(ours.audio.send_pt, profile.offered_pt(ours.audio.codec));
        prop_assert_eq!(ours.dtmf.is_some(), profile.codecs.contains(&Codec::TelephoneEvent) && other.codecs.contains(&Codec::TelephoneEvent));
    }

    #[test]
    fn a_crypto_line_survives_printing(
        tag in 0u32..1_000_000_000, suite in prop::sample::select(SUITES.to_vec()), key in key(),
        lifetime in prop::option::of(1u64..=1 << 48), mki in prop::option::of((any::<u64>(), 1u8..=8)),
    ) {
        let mki = mki.map(|(value, length)| Mki { value: value >> (64 - 8 * u32::from(length)), length });
        let key = key.fit(suite).expect("wide enough");
        let crypto = Crypto { tag, suite, key, lifetime, mki };
        prop_assert_eq!(Crypto::parse(&crypto.to_value()), Ok(crypto));
    }
}
