//! A session description: read or refused. What is read prints back and reads the same, answers with a description both sides
//! understand alike, and shows no key in a log.

use sdp::{
    Agreed, Codec, Description, Keying, Local, MediaProfile, Profile, Role, SrtpKey, Suite, agree,
    compose,
};

pub(super) fn holds(bytes: &[u8]) {
    let Ok(offer) = Description::parse(bytes) else {
        return;
    };
    let printed = offer.to_bytes();
    let again = Description::parse(&printed).expect("our own words are readable");
    assert_eq!(again.to_bytes(), printed);
    let shown = format!("{offer:?}");
    assert!(!shown.contains("inline:"), "no key in a log");
    ask(&offer);
    for profile in [Profile::Savp, Profile::Avp] {
        answer(&offer, profile);
        // And as an answer to an offer of ours.
        let ours = compose::offer(&profile_of(profile), &local());
        let agreed = agree(&ours, &offer, Role::Offerer);
        if let (Ok(agreed), Ok(theirs)) = (agreed, agree(&ours, &offer, Role::Answerer)) {
            mirrored(&agreed, &theirs);
        }
    }
}

fn answer(offer: &Description, profile: Profile) {
    let Ok(answer) = compose::answer(offer, &profile_of(profile), &local(), Some(Codec::Pcma))
    else {
        return;
    };
    assert_eq!(
        answer.media().count(),
        offer.media().count(),
        "as many streams as were offered"
    );
    let answer = Description::parse(&answer.to_bytes()).expect("our own words are readable");
    let (theirs, ours) = (
        agree(offer, &answer, Role::Offerer),
        agree(offer, &answer, Role::Answerer),
    );
    if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
        mirrored(&ours, &theirs);
    }
}

fn ask(description: &Description) {
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
        let _ = (
            media.rtp_target(),
            media.rtcp_target(),
            media.profile(),
            media.address(),
        );
    }
    let _ = (
        description.version(),
        description.session_id().len(),
        description.audio().is_some(),
    );
}

fn mirrored(ours: &Agreed, theirs: &Agreed) {
    assert_eq!(ours.audio.codec, theirs.audio.codec);
    assert_eq!(
        (ours.audio.send_pt, ours.audio.receive_pt),
        (theirs.audio.receive_pt, theirs.audio.send_pt)
    );
    assert_eq!(ours.direction, theirs.direction.reversed());
    assert_eq!(ours.rtcp_mux, theirs.rtcp_mux);
    match (&ours.keying, &theirs.keying) {
        (Keying::None, Keying::None) => {}
        (
            Keying::Sdes { local, remote },
            Keying::Sdes {
                local: far,
                remote: near,
            },
        ) => {
            assert!(
                local == near && remote == far,
                "each sends under the key the other opens with"
            );
        }
        _ => panic!("one side keyed, the other not"),
    }
}

fn profile_of(profile: Profile) -> MediaProfile {
    MediaProfile {
        profile,
        codecs: vec![Codec::Opus, Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent],
        ptime: 20,
        rtcp_mux: true,
        suites: Suite::ALL.to_vec(),
        opus_fmtp: "useinbandfec=1",
        opus_pt: 111,
        dtmf_pt: 126,
        print_ssrc: true,
    }
}

fn local() -> Local {
    Local {
        address: [192, 0, 2, 1].into(),
        rtp_port: 4000,
        rtcp_port: 4001,
        session_id: 7,
        version: 7,
        ssrc: 9,
        cname: "sbc".to_owned(),
        key: Some(SrtpKey::wide([3; 44])),
    }
}
