//! How Meta wants to be treated: the facts, put into the form the core reads.

use b2bua::profile::{
    Digits, Extensions, LatchRule, Nat, OpaqueUser, PeerProfile, Progress, Reoffer,
};
use sdp::plan::{Proof, Silence};

use crate::{facts, headers, refusal};

/// Meta, as a peer.
pub const META: PeerProfile = PeerProfile {
    name: "meta",
    allow: facts::WE_ALLOW,
    // The app rings by itself from the start; 183 and media before the 200 would count as answer.
    progress: Progress::RingingOnly,
    // No change in mid-call is documented: an unchanged offer gets the current answer (5.3).
    reoffer: Reoffer::OnlyUnchanged,
    // Nothing beyond the five methods is documented; it answers 500 and the call is lost (5.3).
    extensions: Extensions::NONE,
    // What follows the dialog goes to its name (2), on connections whose far end we have verified.
    nat: Nat::Never,
    alias: false,
    opaque_user: Some(OpaqueUser {
        letters: facts::BSUID_COUNTRY_LETTERS,
        separator: '.',
        longest: facts::BSUID_LONGEST,
    }),
    // To, Request-URI and the `uri` of the digest are one value (4.3); From is the registered
    // number at the configured server (3.1).
    fixed_headers: &["To"],
    from_host_fixed: true,
    refusals: &refusal::RULES,
    gated: !facts::EARLY_MEDIA,
    // The first packet must be ours (10.3), and 20 s without one end the call (10.7).
    silence: Silence::Frames,
    // Meta answers our first packet; what the agent says before is held (10.8).
    proof: Some(Proof::Heard),
    // 20 ms are mandatory (10.1), and a PBX may send what it likes.
    exact_ptime: true,
    // Its relays may answer from another address than the SDP names; SRTP tells who is who.
    latch: LatchRule::Authenticated,
    inactivity: Some(facts::INACTIVITY),
    quiet: b2bua::profile::PBX.quiet,
    unsolicited_dtmf: Some(facts::DTMF_PAYLOAD_TYPE),
    opus_pt: facts::OPUS_PAYLOAD_TYPE,
    digits: Digits::Events,
    dtmf_pt: facts::DTMF_PAYLOAD_TYPE,
    opus_fmtp: facts::OPUS_PARAMETERS,
    print_ssrc: true,
    metadata: Some(&headers::NAMES),
};

#[cfg(test)]
mod tests {
    use super::*;
    use sdp::{Codec, Description, Local, MediaProfile, Profile, SrtpKey, Suite, compose};

    fn sample(name: &str) -> Vec<u8> {
        let path = format!("{}/../sim/samples/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).expect("the sample is there")
    }

    #[test]
    fn an_offer_by_these_facts_is_the_recommended_one() {
        let sample = Description::parse(&sample("sbc-bic-sdes-offer.sdp")).expect("readable");
        let key: SrtpKey = sample.audio().expect("audio").crypto().remove(0).key;
        let profile = MediaProfile {
            profile: Profile::Savp,
            codecs: vec![Codec::Opus, Codec::TelephoneEvent],
            ptime: facts::PTIME,
            rtcp_mux: facts::RTCP_MUX,
            suites: vec![Suite::from_name(facts::SRTP_SUITE).expect("a known suite")],
            opus_fmtp: META.opus_fmtp,
            opus_pt: META.opus_pt,
            dtmf_pt: META.dtmf_pt,
            print_ssrc: META.print_ssrc,
        };
        let local = Local {
            address: "203.0.113.20".parse().expect("an address"),
            rtp_port: 31002,
            rtcp_port: 31003,
            session_id: 20260401120001,
            version: 1,
            ssrc: 305419897,
            cname: "sbc".to_owned(),
            key: Some(key),
        };
        assert_eq!(
            compose::offer(&profile, &local).to_string(),
            sample.to_string()
        );
    }

    #[test]
    fn a_user_who_hides_his_number_is_known_by_the_form_of_his_id() {
        let form = META.opaque_user.expect("users without numbers exist");
        let of_length = |length| format!("BR.{}", "a".repeat(length));
        for (user, fits) in [
            ("US.13491208655302741918", true),
            (&of_length(128), true),
            (&of_length(129), false),
            ("", false),
            ("anonymous", false),
            ("US.", false),
            ("us.1", false),
            ("USA.1", false),
            ("U1.1", false),
            ("US.a-b", false),
            ("US.13 49", false),
            ("US.a@b", false),
            ("US.1.2", false),
            ("+12195550714", false),
        ] {
            assert_eq!(form.fits(user), fits, "{user}");
        }
    }

    #[test]
    fn the_event_clock_is_the_one_spoken() {
        assert_eq!(Codec::TelephoneEvent.clock(), facts::DTMF_CLOCK);
    }
}
