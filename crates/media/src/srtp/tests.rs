use super::*;
use sdp::{SrtpKey, Suite};

fn crypto(suite: Suite, mki: Option<Mki>) -> Crypto {
    Crypto {
        tag: 1,
        suite,
        key: SrtpKey::wide(std::array::from_fn(|i| (i * 7) as u8))
            .fit(suite)
            .unwrap(),
        lifetime: None,
        mki,
    }
}

fn rtp_packet(sequence: u16, payload: &[u8]) -> Packet {
    let mut header = [0; 12];
    rtp::Header {
        marker: false,
        pt: 8,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 0xcafe_babe,
        payload: 0..0,
    }
    .write(&mut header);
    let mut packet = Packet::new();
    packet.fill(&[&header[..], payload].concat());
    packet
}

/// RFC 3711 appendix B.2: the AES-CM key stream, through the same code that encrypts packets.
#[test]
fn key_stream_of_rfc_3711_b_2() {
    use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
    let key = [
        0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F,
        0x3C,
    ];
    let iv = [
        0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0, 0,
    ];
    let aes = aes::Aes128Enc::new(&key.into());
    let mut bytes = [0u8; 48];
    ctr::CtrCore::<&aes::Aes128Enc, ctr::flavors::Ctr128BE>::inner_iv_init(&aes, &iv.into())
        .apply_keystream_partial((&mut bytes[..]).into());
    let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
    assert_eq!(
        hex,
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"
    );
}

#[test]
fn what_is_protected_comes_back_for_every_suite_with_and_without_mki() {
    for suite in Suite::ALL {
        for mki in [
            None,
            Some(Mki {
                value: 1,
                length: 1,
            }),
            Some(Mki {
                value: 0x0102_0304,
                length: 4,
            }),
        ] {
            let crypto = crypto(suite, mki);
            let (mut protect, mut unprotect) = (Protect::new(&crypto), Unprotect::new(&crypto));
            let mki_len = mki.map_or(0, |m| m.length as usize);
            let tag = match suite {
                Suite::AesCm128HmacSha1_80 => 10,
                Suite::AesCm128HmacSha1_32 => 4,
                Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
            };
            let mut packet = rtp_packet(5, b"hello, this is audio");
            let plain = packet.as_slice().to_vec();
            protect.rtp(&mut packet).unwrap();
            assert_eq!(packet.len(), plain.len() + mki_len + tag);
            assert_ne!(&packet.as_slice()[12..32], &plain[12..]);
            unprotect.rtp(&mut packet).unwrap();
            assert_eq!(packet.as_slice(), plain);

            packet.fill(&[0x80, 201, 0, 1, 1, 2, 3, 4, 9, 9, 9, 9]);
            protect.rtcp(&mut packet).unwrap();
            // SRTCP keeps 80 bits where SRTP has 32.
            assert_eq!(packet.len(), 12 + 4 + mki_len + tag.max(10));
            unprotect.rtcp(&mut packet).unwrap();
            assert_eq!(
                packet.as_slice(),
                &[0x80, 201, 0, 1, 1, 2, 3, 4, 9, 9, 9, 9]
            );
        }
    }
}

#[test]
fn a_packet_passes_once() {
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let (mut protect, mut unprotect) = (Protect::new(&crypto), Unprotect::new(&crypto));
        let mut packet = rtp_packet(5, b"audio");
        protect.rtp(&mut packet).unwrap();
        let wire = packet.as_slice().to_vec();
        unprotect.rtp(&mut packet).unwrap();
        packet.fill(&wire);
        assert_eq!(unprotect.rtp(&mut packet), Err(UnprotectError::Replayed));
        assert_eq!(packet.as_slice(), wire);

        packet.fill(&[0x80, 201, 0, 1, 1, 2, 3, 4]);
        protect.rtcp(&mut packet).unwrap();
        let wire = packet.as_slice().to_vec();
        unprotect.rtcp(&mut packet).unwrap();
        packet.fill(&wire);
        assert_eq!(unprotect.rtcp(&mut packet), Err(UnprotectError::Replayed));
    }
}

#[test]
fn forged_packets_move_neither_window_nor_rollover_counter() {
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let (mut protect, mut unprotect) = (Protect::new(&crypto), Unprotect::new(&crypto));
        let mut packet = rtp_packet(100, b"audio");
        protect.rtp(&mut packet).unwrap();
        unprotect.rtp(&mut packet).unwrap();
        let before: Vec<_> = unprotect.streams().collect();
        for sequence in [101u16, 20_000, 40_000, 65_535] {
            let mut forged = rtp_packet(sequence, b"audio and ten octets");
            assert_eq!(unprotect.rtp(&mut forged), Err(UnprotectError::Forged));
        }
        assert_eq!(unprotect.streams().collect::<Vec<_>>(), before);
    }
}

#[test]
fn every_bit_of_a_packet_is_authenticated() {
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let (mut protect, mut unprotect) = (Protect::new(&crypto), Unprotect::new(&crypto));
        let mut packet = rtp_packet(100, b"audio");
        protect.rtp(&mut packet).unwrap();
        let wire = packet.as_slice().to_vec();
        for bit in 0..wire.len() * 8 {
            let mut bent = wire.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            packet.fill(&bent);
            assert!(unprotect.rtp(&mut packet).is_err(), "bit {bit}");
        }
        packet.fill(&wire);
        unprotect.rtp(&mut packet).unwrap();
    }
}

#[test]
fn the_rollover_counter_survives_loss_around_the_wrap_and_a_standby_takes_it_over() {
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let (mut protect, mut unprotect) = (Protect::new(&crypto), Unprotect::new(&crypto));
        let mut standby = None;
        for n in 0u32..110_000 {
            let mut packet = rtp_packet(30_000u32.wrapping_add(n) as u16, &n.to_be_bytes());
            protect.rtp(&mut packet).unwrap();
            if n % 3 == 0 {
                continue; // lost
            }
            if n == 70_001 {
                let mut other = Unprotect::new(&crypto);
                unprotect.streams().for_each(|state| other.restore(state));
                standby = Some(other);
            }
            standby
                .as_mut()
                .unwrap_or(&mut unprotect)
                .rtp(&mut packet)
                .unwrap();
            assert_eq!(&packet.as_slice()[12..], &n.to_be_bytes());
        }
    }
}

/// RTP and RTCP of a source, as it leaves the far side.
fn sealed(protect: &mut Protect, ssrc: u32, sequence: u16) -> [Vec<u8>; 2] {
    let mut packet = rtp_packet(sequence, b"audio");
    packet.as_mut_slice()[8..12].copy_from_slice(&ssrc.to_be_bytes());
    protect.rtp(&mut packet).unwrap();
    let audio = packet.as_slice().to_vec();
    packet.fill(&[&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat());
    protect.rtcp(&mut packet).unwrap();
    [audio, packet.as_slice().to_vec()]
}

/// What comes of them.
fn opened(
    unprotect: &mut Unprotect,
    [audio, report]: &[Vec<u8>; 2],
) -> [Result<(), UnprotectError>; 2] {
    let mut packet = Packet::new();
    packet.fill(audio);
    let audio = unprotect.rtp(&mut packet);
    packet.fill(report);
    [audio, unprotect.rtcp(&mut packet)]
}

/// Neither of them passes. What is half a round of sequence numbers behind is taken for what comes after the next wrap, and
/// its tag is wrong then.
fn refused(unprotect: &mut Unprotect, packets: &[Vec<u8>; 2]) -> bool {
    opened(unprotect, packets).iter().all(Result::is_err)
}

#[test]
fn nothing_of_any_source_is_heard_twice_however_many_come_behind_it() {
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let mut unprotect = Unprotect::new(&crypto);
        // The first source lives long: its sequence numbers wrap.
        let mut first = Protect::new(&crypto);
        let mut all = Vec::new();
        for n in 0..5u16 {
            all.push(sealed(&mut first, 1, n * 16_000));
            assert_eq!(opened(&mut unprotect, &all[usize::from(n)]), [Ok(()); 2]);
        }
        for ssrc in 2..=32 {
            let packets = sealed(&mut Protect::new(&crypto), ssrc, 7);
            assert_eq!(opened(&mut unprotect, &packets), [Ok(()); 2], "{ssrc}");
            all.push(packets);
            for before in &all {
                assert!(refused(&mut unprotect, before), "{suite:?} {ssrc}");
            }
        }
        // For one more there is no memory; who was there goes on, over a wrap that nobody forgot.
        let more = sealed(&mut Protect::new(&crypto), 33, 7);
        assert_eq!(
            opened(&mut unprotect, &more),
            [Err(UnprotectError::Replayed); 2]
        );
        let on = sealed(&mut first, 1, 64_001);
        assert_eq!(opened(&mut unprotect, &on), [Ok(()); 2]);
        let on = sealed(&mut first, 1, 500);
        assert_eq!(opened(&mut unprotect, &on), [Ok(()); 2]);
        assert_eq!(
            opened(&mut unprotect, &more),
            [Err(UnprotectError::Replayed); 2]
        );
        assert!(all.iter().all(|before| refused(&mut unprotect, before)));
        // A standby knows as much.
        let mut standby = Unprotect::new(&crypto);
        unprotect.streams().for_each(|state| standby.restore(state));
        assert!(all.iter().all(|before| refused(&mut standby, before)));
        assert_eq!(
            opened(&mut standby, &sealed(&mut first, 1, 501)),
            [Ok(()); 2]
        );
    }
}

#[test]
fn a_key_stops_at_its_lifetime() {
    let mut crypto = crypto(Suite::AesCm128HmacSha1_80, None);
    crypto.lifetime = Some(3);
    let mut protect = Protect::new(&crypto);
    for sequence in 0..3 {
        protect.rtp(&mut rtp_packet(sequence, b"a")).unwrap();
    }
    assert_eq!(
        protect.rtp(&mut rtp_packet(3, b"a")),
        Err(ProtectError::KeyExhausted)
    );
}

#[test]
fn a_sequence_number_is_never_used_twice() {
    for suite in Suite::ALL {
        let mut protect = Protect::new(&crypto(suite, None));
        protect.rtp(&mut rtp_packet(7, b"a")).unwrap();
        assert_eq!(
            protect.rtp(&mut rtp_packet(7, b"b")),
            Err(ProtectError::Reused)
        );
    }
}

#[test]
fn keys_cannot_be_printed() {
    let crypto = crypto(Suite::AesCm128HmacSha1_80, None);
    let text = format!("{:?} {:?}", Protect::new(&crypto), Unprotect::new(&crypto));
    assert!(!text.contains("salt") && !text.contains("aes"), "{text}");
}

#[test]
fn who_joins_behind_the_first_wrap_understands_and_so_does_who_hears_of_a_new_key() {
    let highest = |wraps: u64| StreamState {
        ssrc: 0xcafe_babe,
        rtp_highest: Some(wraps << 16 | 2),
        rtp_seen: 1,
        rtcp_highest: None,
        rtcp_seen: 0,
    };
    for suite in Suite::ALL {
        let crypto = crypto(suite, None);
        let sealed = |wraps: u64| {
            let mut protect = Protect::new(&crypto);
            let mut packet = rtp_packet(3, b"now he is heard");
            let ssrc = rtp::ssrc(packet.as_slice());
            protect.restore(StreamState {
                ssrc,
                ..highest(wraps)
            });
            protect.rtp(&mut packet).unwrap();
            packet
        };
        // Heard from the beginning, and for the first time behind the first wrap.
        for wraps in [0, 1] {
            let mut unprotect = Unprotect::new(&crypto);
            assert_eq!(
                unprotect.rtp(&mut sealed(wraps)),
                Ok(()),
                "{suite:?} {wraps}"
            );
        }
        let mut unprotect = Unprotect::new(&crypto);
        assert_eq!(unprotect.rtp(&mut sealed(2)), Err(UnprotectError::Forged));
        // A key that changes behind the fifth wrap, counting on or anew.
        for wraps in [0, 5] {
            let mut before = Unprotect::new(&crypto);
            before.restore(highest(5));
            let mut unprotect = Unprotect::succeeding(&crypto, &before);
            assert_eq!(
                unprotect.rtp(&mut sealed(wraps)),
                Ok(()),
                "{suite:?} {wraps}"
            );
            // From the first packet on there is nothing to guess.
            let other = if wraps == 0 { 5 } else { 0 };
            assert!(unprotect.rtp(&mut sealed(other)).is_err());
        }
    }
}
