//! SIPp as a PBX that does in mid-call whatever it likes, the real binary between, the simulated Meta on the other side over
//! TLS and SRTP: every request is answered to the letter, and Meta finds no fault and no method beyond its five.

use tests::desk::{Desk, Outcome, heard_the_agent};
use tests::metronome::undisturbed;
use tests::sbc::Setup;

/// One call between the simulated Meta and a scenario of SIPp.
fn call(story: &str, scenario: &str, user_calls: bool, meta: &[&str]) -> Option<Outcome> {
    Desk {
        story,
        scenario,
        user_calls,
        meta,
        ..Desk::PLAIN
    }
    .play()
}

/// One call of a user or of the PBX, of a PBX that has an account.
fn account(desk: &Desk<'_>) -> Option<Outcome> {
    let change: fn(&mut Setup) = |setup| {
        setup.trunk_lines =
            "username = \"desk\"\npassword = { env = \"WA_SBC_TEST_PASSWORD\" }\n".into();
        // This SIPp reads the first challenge only, and knows MD5.
        setup.tables = "[registrar]\nalgorithms = [\"MD5\"]\n".into();
    };
    Desk { change, ..*desk }.play()
}

#[test]
fn a_pbx_holds_updates_and_tells_digits_and_meta_hears_keys_and_no_request() {
    undisturbed(|| {
        let hang_up = ["--hang-up-after", "8"];
        let Some(outcome) = call("sipp-changes", "pbx_changes", true, &hang_up) else {
            return;
        };
        let heard = &outcome.meta.events("heard")[0];
        assert_eq!(heard["digits"], "5#", "{heard}");
        assert_eq!(heard["ssrcs"], 1, "{heard}");
        assert_eq!(heard["bad"], 0, "{heard}");
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
    });
}

#[test]
fn a_pbx_rings_reliably_and_answers_in_its_ringing() {
    undisturbed(|| {
        let hang_up = ["--hang-up-after", "3"];
        let story = call("sipp-reliable", "pbx_rings_reliably", true, &hang_up);
        let Some(outcome) = story else { return };
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
        assert!(!outcome.meta.events("answered").is_empty());
    });
}

#[test]
fn a_pbx_calls_with_too_short_a_session_then_reliably_and_refreshes() {
    undisturbed(|| {
        let answer = ["--answer-after", "2"];
        let story = call("sipp-refreshes", "pbx_calls_and_refreshes", false, &answer);
        let Some(outcome) = story else { return };
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
    });
}

#[test]
fn a_pbx_whose_offers_cross_is_told_to_wait_and_holds_afterwards() {
    undisturbed(|| {
        let Some(outcome) = call("sipp-glare", "pbx_offers_twice", true, &[]) else {
            return;
        };
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
    });
}

#[test]
fn an_agent_who_picks_up_in_the_moment_the_user_gives_up_is_let_go() {
    undisturbed(|| {
        // Counted from the ringing: on a busy machine a call may take long to reach the desk.
        let gives_up = ["--cancel-ringing-after", "1"];
        let story = call(
            "sipp-cancel-race",
            "pbx_answers_despite_cancel",
            true,
            &gives_up,
        );
        let Some(outcome) = story else { return };
        assert_eq!(
            outcome.record()["cause"],
            "cancelled",
            "{}",
            outcome.record()
        );
    });
}

#[test]
fn a_pbx_with_an_account_proves_itself_and_calls_the_user() {
    undisturbed(|| {
        let desk = Desk {
            story: "sipp-proves-itself",
            scenario: "pbx_calls_proving_itself",
            user_calls: false,
            meta: &["--answer-after", "0.5"],
            ..Desk::PLAIN
        };
        let Some(outcome) = account(&desk) else {
            return;
        };
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
        heard_the_agent(&outcome.meta);
    });
}

#[test]
fn a_pbx_that_guesses_its_password_is_refused_and_the_user_never_rings() {
    undisturbed(|| {
        let desk = Desk {
            story: "sipp-guesses",
            scenario: "pbx_calls_with_a_guess",
            user_calls: false,
            password: "a guess",
            // Nobody calls it, so it ends by itself.
            meta: &["--at-most", "4"],
            ..Desk::PLAIN
        };
        let Some(outcome) = account(&desk) else {
            return;
        };
        assert!(outcome.record.is_none(), "{:?}", outcome.record);
        let of_a_call = |report: &serde_json::Value| report["call"] != 0;
        let calls = outcome.meta.reports();
        assert!(!calls.iter().any(of_a_call), "{calls:?}");
    });
}

#[test]
fn a_user_reaches_a_pbx_that_challenges_our_registration_and_our_call() {
    undisturbed(|| {
        let desk = Desk {
            story: "sipp-extension",
            scenario: "pbx_knows_its_extensions",
            meta: &["--hang-up-after", "2"],
            change: |setup| {
                setup.trunk_lines = "[trunk.register]\nusername = \"1200\"\n\
                     password = { env = \"WA_SBC_TEST_PASSWORD\" }\n"
                    .into();
            },
            first: Some("trunk office: registered with"),
            dialogs: 2,
            ..Desk::PLAIN
        };
        let Some(outcome) = desk.play() else { return };
        assert_eq!(outcome.record()["cause"], "normal", "{}", outcome.record());
    });
}

#[test]
fn a_pbx_that_gives_up_while_it_rings_ends_the_ringing_at_the_user() {
    undisturbed(|| {
        let never = ["--never-answer"];
        let Some(outcome) = call("sipp-gives-up", "pbx_gives_up", false, &never) else {
            return;
        };
        assert_eq!(
            outcome.record()["cause"],
            "cancelled",
            "{}",
            outcome.record()
        );
    });
}

#[test]
fn a_pbx_that_gives_up_in_the_moment_the_user_picks_up_is_hung_up() {
    undisturbed(|| {
        let answer = ["--answer-after", "0.5"];
        let late = call("sipp-too-late", "pbx_gives_up_too_late", false, &answer);
        let Some(outcome) = late else { return };
        assert_eq!(
            outcome.record()["cause"],
            "cancelled",
            "{}",
            outcome.record()
        );
    });
}
