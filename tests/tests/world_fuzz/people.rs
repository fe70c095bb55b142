//! What the people of a random world do with their telephones, and what their telephones are like.

use sim::Dice;
use sim::meta::knobs::{BusinessScript, Talk, Then, UserCall};
use sim::pbx::fork::Fork;
use sim::pbx::knobs::{AgentCall, PbxScript, PbxThen};

use super::place::{millis, one};

fn talk(dice: &mut Dice) -> Talk {
    Talk {
        hang_up_after: dice.happens(0.7).then(|| millis(dice, 20_000)),
        ..Talk::default()
    }
}

/// What a PBX says of the session, asked or not.
fn session(dice: &mut Dice) -> Vec<(String, String)> {
    let value = one(
        dice,
        &[
            "90;refresher=uac",
            "90;refresher=uas",
            "120",
            "600;refresher=uas",
        ],
    );
    vec![("Session-Expires".into(), value.into())]
}

/// An agent who is called.
pub(crate) fn agent(dice: &mut Dice) -> PbxScript {
    let then = match dice.below(10) {
        0 => PbxThen::Never,
        1 | 2 => {
            let status = one(dice, &[302, 404, 408, 480, 486, 488, 500, 503, 600, 603]);
            PbxThen::Refuse(millis(dice, 4_000), status, "No".into())
        }
        _ => PbxThen::Answer(millis(dice, 6_000)),
    };
    let forks = match dice.happens(0.15) {
        true => 1 + dice.below(3),
        false => 0,
    };
    let forks = (0..forks).map(|_| Fork {
        rings: millis(dice, 3_000),
        answers: dice.happens(0.4).then(|| millis(dice, 1_500)),
    });
    PbxScript {
        forks: forks.collect(),
        ring: dice
            .happens(0.8)
            .then(|| (millis(dice, 2_000), one(dice, &[180, 183]))),
        then,
        answer_despite_cancel: dice.happens(0.2),
        reliable: dice.happens(0.15),
        headers: match dice.happens(0.2) {
            true => session(dice),
            false => Vec::new(),
        },
        talk: talk(dice),
    }
}

/// A user who is called.
pub(crate) fn user(dice: &mut Dice) -> BusinessScript {
    let then = match dice.below(10) {
        0 => Then::Never,
        1 | 2 => {
            let status = one(dice, &[404, 408, 480, 486, 500, 503, 603]);
            Then::Refuse(millis(dice, 4_000), status, "No".into())
        }
        _ => Then::Answer(millis(dice, 6_000)),
    };
    let second_tag = dice.happens(0.2);
    BusinessScript {
        refuse: dice
            .happens(0.05)
            .then(|| (403, "No approved call permission found".into())),
        trying: dice.happens(0.8),
        ring: dice
            .happens(0.8)
            .then(|| (millis(dice, 2_000), one(dice, &[180, 183]))),
        second_tag,
        second_answers: second_tag && dice.happens(0.5),
        then,
        answer_despite_cancel: dice.happens(0.2),
        talk: talk(dice),
    }
}

/// A user who calls; `nth` of the world.
pub(crate) fn user_calls(dice: &mut Dice, nth: u32) -> UserCall {
    let mut call = sim::scene::user();
    call.caller = format!("+1219555{nth:04}");
    call.talk = talk(dice);
    call.cancel_after = dice.happens(0.3).then(|| millis(dice, 6_000));
    call.retry_elsewhere = dice.happens(0.1);
    call.wrong_password = dice.happens(0.05).then(|| "wrong".into());
    call
}

/// An agent who calls; `nth` of the world.
pub(crate) fn agent_calls(dice: &mut Dice, nth: u32) -> AgentCall {
    let mut call = sim::scene::agent();
    call.to = format!("+1219555{nth:04}");
    call.talk = talk(dice);
    call.cancel_after = dice.happens(0.3).then(|| millis(dice, 6_000));
    let knows = one(dice, &["", "Supported", "Require"]);
    if !knows.is_empty() && dice.happens(0.5) {
        call.headers.push((knows.into(), "100rel".into()));
        call.never_pracks = dice.happens(0.1);
    }
    if dice.happens(0.2) {
        call.headers.push(("Supported".into(), "timer".into()));
        call.headers.extend(session(dice));
    }
    call
}

/// A colleague who takes the place of somebody in a dialog (RFC 3891).
pub(crate) fn colleague(dice: &mut Dice, replaces: String) -> AgentCall {
    let mut call = sim::scene::agent();
    call.from = "201".into();
    call.talk = talk(dice);
    let early_only = dice.happens(0.2);
    let value = match early_only {
        true => format!("{replaces};early-only"),
        false => replaces,
    };
    call.headers.push(("Replaces".into(), value));
    if dice.happens(0.5) {
        call.headers.push(("Require".into(), "replaces".into()));
    }
    call
}
