//! What media is told and tells, in plain words for a ladder; and which calls are worth keeping.

use b2bua::record::Record;
use b2bua::{Cause, MediaCommand, MediaEvent};
use sdp::Side;
use sdp::report::{LegReport, SentReport};

/// Words about a leg, or about the whole call.
pub(super) type Words = Vec<(Option<Side>, String)>;

/// What a command to the media engine means.
pub(super) fn of_command(command: &MediaCommand) -> Words {
    match command {
        MediaCommand::Start { plans } => Side::BOTH
            .into_iter()
            .map(|side| {
                let agreed = &plans[side.index()].agreed;
                let codec = agreed.audio.codec.name();
                let remote = agreed.remote_rtp;
                (Some(side), format!("agreed: {codec}, media to {remote}"))
            })
            .collect(),
        MediaCommand::OpenGate(side) => vec![(Some(*side), "media may leave".into())],
        MediaCommand::Update { side, agreed } => {
            let (codec, direction) = (agreed.audio.codec.name(), agreed.direction.name());
            vec![(Some(*side), format!("agreed anew: {codec}, {direction}"))]
        }
        MediaCommand::SendDigit {
            side,
            digit,
            duration,
        } => {
            let ms = duration.as_millis();
            vec![(
                Some(*side),
                format!("digit {digit} pressed for it ({ms} ms)"),
            )]
        }
        MediaCommand::Replace { side, plan } => {
            let (codec, remote) = (plan.agreed.audio.codec.name(), plan.agreed.remote_rtp);
            vec![(
                Some(*side),
                format!("somebody else is there: {codec}, media to {remote}"),
            )]
        }
        _ => Vec::new(),
    }
}

/// What the media engine tells.
pub(super) fn of_event(event: &MediaEvent) -> Words {
    match event {
        MediaEvent::Opened { a, b } => [(Side::A, a), (Side::B, b)]
            .into_iter()
            .map(|(side, local)| {
                let (address, port) = (local.address, local.rtp_port);
                (Some(side), format!("media port {address}:{port}"))
            })
            .collect(),
        MediaEvent::Failed(why) => vec![(None, format!("media failed: {why}"))],
        MediaEvent::FirstReceived(side) => vec![(Some(*side), "first packet came".into())],
        MediaEvent::FirstSent(side) => vec![(Some(*side), "first packet left".into())],
        MediaEvent::Silent { side, after } => {
            let after = after.as_secs_f64();
            vec![(Some(*side), format!("no packet for {after:.0} s"))]
        }
        MediaEvent::Quiet { side, after } => {
            let after = after.as_secs_f64();
            vec![(Some(*side), format!("no audio for {after:.0} s"))]
        }
        // Told where it is news: see `of_report`.
        MediaEvent::Reported { .. } => Vec::new(),
        MediaEvent::Resumed(side) => vec![(Some(*side), "packets come again".into())],
        MediaEvent::Recut { side, begins } => {
            let text = match begins {
                true => "packets of another length: coded anew",
                false => "audio passes again",
            };
            vec![(Some(*side), text.into())]
        }
        MediaEvent::Unopened { side, why, source } => {
            let text = format!("SRTP fails: {why}, from {source}");
            vec![(Some(*side), text)]
        }
        MediaEvent::Digit {
            from,
            digit,
            duration_ms,
        } => vec![(Some(*from), format!("digit {digit} ({duration_ms} ms)"))],
        MediaEvent::Closed(report) => Side::BOTH
            .into_iter()
            .map(|side| (Some(side), figures(&report.legs[side.index()])))
            .collect(),
    }
}

/// How a leg was last said to be received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hearing {
    reported: bool,
    loss: Loss,
}

/// How much gets lost, as coarse as one hears it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loss {
    #[default]
    Little,
    Audible,
    Heavy,
}

/// What a report of ours tells that none before it told: that there are reports at all, which keep a silent leg alive, and
/// that packets get lost, or no longer.
pub(super) fn of_report(side: Side, report: &SentReport, before: &mut Hearing) -> Words {
    let mut words = Vec::new();
    if !before.reported {
        before.reported = true;
        words.push((Some(side), "first RTCP left: it keeps the leg alive".into()));
    }
    if let Some(block) = report.block {
        let percent = u32::from(block.fraction_lost) * 100 / 256;
        let loss = match percent {
            0..3 => Loss::Little,
            3..20 => Loss::Audible,
            _ => Loss::Heavy,
        };
        if loss != before.loss {
            before.loss = loss;
            words.push((
                Some(side),
                match loss {
                    Loss::Little => "hardly a packet gets lost any more".into(),
                    _ => format!("{percent} % of the packets get lost on the way here"),
                },
            ));
        }
    }
    words
}

/// The figures of a leg, those that are zero and good left out.
fn figures(leg: &LegReport) -> String {
    let mut words = vec![format!(
        "received {} packets, sent {}",
        leg.packets_received, leg.packets_sent
    )];
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    };
    say(leg.lost, "lost");
    say(leg.reordered, "out of order");
    say(leg.undecryptable, "SRTP failures");
    say(leg.foreign, "from elsewhere");
    say(leg.malformed, "malformed");
    say(leg.clipped, "held back before the gate");
    say(leg.rtcp_sent, "RTCP keep-alives sent");
    say(leg.rtcp_received, "RTCP received");
    words.join(", ")
}

/// Whether somebody will ask why: the way, a box or a setting is to blame, or one party heard nothing.
pub(super) fn is_failure(record: &Record) -> bool {
    let expected = match &record.cause {
        Cause::Normal
        | Cause::Cancelled
        | Cause::NoAnswer
        | Cause::UserBusy
        | Cause::Draining
        | Cause::Operator
        | Cause::Limit(_)
        | Cause::PstnForbidden => true,
        Cause::Refused { meaning, .. } => {
            !meaning.alarm && matches!(meaning.sip, 404 | 480 | 486 | 487 | 603)
        }
        _ => false,
    };
    let deaf = record.answered.is_some()
        && record.duration.as_secs() >= 3
        && record
            .media
            .legs
            .iter()
            .any(|leg| leg.packets_received == 0);
    !expected || deaf
}
