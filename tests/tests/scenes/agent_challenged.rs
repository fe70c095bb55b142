//! Meta challenges every call of the business (Meta reference 4.1).

use sim::meta::digest::Hash;
use sim::meta::knobs::{ChallengeStyle, PlusRule};
use sim::scene::*;
use sim::world::Party::{Meta, Pbx, Sbc};

/// Calls through one kind of challenge; the call must come up, in two INVITEs.
fn answered(style: ChallengeStyle) {
    let told = format!("{style:?}");
    let mut world = silent_world_with(|b| b.meta.challenge = style);
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Meta).answered, "{told}");
    let invites = story.messages(Sbc, Meta, "INVITE");
    assert_eq!(invites.len(), 2, "{told}");
    assert_eq!(
        invites[0].connection, invites[1].connection,
        "the retry goes over the same connection"
    );
    assert_eq!(invites[0].header("Call-ID"), invites[1].header("Call-ID"));
    let number = |i: usize| {
        invites[i]
            .header("CSeq")
            .and_then(|v| v.split(' ').next()?.parse::<u32>().ok())
    };
    assert_eq!(number(0).map(|n| n + 1), number(1));
}

#[test]
fn sha_256_first_then_md5() {
    answered(ChallengeStyle {
        hashes: vec![Hash::Sha256, Hash::Md5],
        ..Default::default()
    });
}

#[test]
fn md5_first_then_sha_256() {
    answered(ChallengeStyle {
        hashes: vec![Hash::Md5, Hash::Sha256],
        ..Default::default()
    });
}

#[test]
fn md5_alone() {
    answered(ChallengeStyle {
        hashes: vec![Hash::Md5],
        ..Default::default()
    });
}

#[test]
fn sha_256_alone() {
    answered(ChallengeStyle {
        hashes: vec![Hash::Sha256],
        ..Default::default()
    });
}

#[test]
fn two_challenges_joined_by_a_comma() {
    answered(ChallengeStyle {
        joined: true,
        ..Default::default()
    });
}

#[test]
fn algorithm_names_in_quotes() {
    answered(ChallengeStyle {
        quoted_algorithm: true,
        ..Default::default()
    });
}

#[test]
fn md5_that_is_not_named() {
    answered(ChallengeStyle {
        hashes: vec![Hash::Md5],
        bare_md5: true,
        ..Default::default()
    });
}

#[test]
fn a_401_instead_of_a_407() {
    answered(ChallengeStyle {
        status: 401,
        ..Default::default()
    });
}

#[test]
fn a_stale_nonce_is_answered_once_more() {
    let style = ChallengeStyle {
        stale_once: true,
        ..Default::default()
    };
    let mut world = silent_world_with(|b| b.meta.challenge = style);
    world.agent_calls(agent().hanging_up_after(secs(2)));
    let story = world.story(secs(120));
    story.is_clean();
    assert!(story.ended(Meta).answered);
    assert_eq!(story.messages(Sbc, Meta, "INVITE").len(), 3);
}

#[test]
fn a_meta_that_is_never_content_is_not_asked_for_ever() {
    let style = ChallengeStyle {
        insatiable: true,
        ..Default::default()
    };
    let mut world = silent_world_with(|b| b.meta.challenge = style);
    world.agent_calls(agent());
    let story = world.story(secs(120));
    story.is_clean();
    assert_eq!(story.messages(Sbc, Meta, "INVITE").len(), 2);
    assert_eq!(story.refused(Pbx).0, 500);
    assert_eq!(story.record().cause.label(), "credentials_refused");
}

#[test]
fn a_wrong_password_tells_the_agent_and_is_tried_once() {
    let mut world = silent_world_with(|b| b.meta.numbers[0].password = "reset-by-meta".into());
    world.agent_calls(agent());
    let story = world.story(secs(120));
    assert_eq!(story.messages(Sbc, Meta, "INVITE").len(), 2);
    assert_eq!(story.refused(Pbx).0, 500);
    assert!(
        story
            .messages(Meta, Sbc, "SIP/2.0 403 Invalid digest auth response")
            .len()
            == 1
    );
}

#[test]
fn a_number_without_a_password_tells_the_agent() {
    let mut world = silent_world_with(|b| {
        with_number(&mut b.settings, |n| {
            (n.password, n.challenge) = (None, false)
        });
    });
    world.agent_calls(agent());
    let story = world.story(secs(120));
    assert_eq!(story.messages(Sbc, Meta, "INVITE").len(), 1);
    assert_eq!(story.refused(Pbx).0, 500);
}

#[test]
fn digest_user_names_pass_with_and_without_plus_as_configured() {
    for (rule, username) in [
        (PlusRule::Without, "17125550259"),
        (PlusRule::With, "+17125550259"),
    ] {
        let mut world = silent_world_with(|b| {
            b.meta.username = rule;
            with_number(&mut b.settings, |n| n.username = username.into());
        });
        world.agent_calls(agent().hanging_up_after(secs(2)));
        let story = world.story(secs(120));
        story.is_clean();
        assert!(story.ended(Meta).answered, "{rule:?}");
    }
}
