//! What the peers object to: nothing, but where RFC 3261 lets two messages cross on their way, and then
//! only if they did.

use std::collections::BTreeMap;

use sim::report::{Report, What};
use sim::world::Party::{self, Meta, Pbx};

use super::draw::Story;
use super::wire::{self, Line};

/// Judges every objection of a world.
pub(crate) fn judge(story: &Story, lines: &[Line<'_>]) -> Result<(), String> {
    let mut ids: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    for report in &story.world.reports {
        if let What::Started { call_id, .. } = &report.what {
            ids.insert((report.peer, report.call), call_id);
        }
        let call_id = ids.get(&(report.peer, report.call)).copied();
        let call_id = call_id.unwrap_or_default();
        let objects = match &report.what {
            What::Violation { rule } => !is_excused(story, lines, report, rule, call_id),
            What::ByeAnswered { status: 200 } => false,
            What::ByeAnswered { status: 481 } => {
                let peer = party(report);
                let lost = story.rough
                    && (wire::answer_was_lost(lines, peer, call_id)
                        || bye_was_lost(story, report, call_id));
                let early = wire::bye_overtook(lines, peer, call_id);
                !lost && !early && !wire::byes_crossed(lines, peer, call_id)
            }
            What::ByeAnswered { .. } => true,
            _ => false,
        };
        if objects {
            let what = &report.what;
            return Err(format!("{} {}: {what:?}", report.peer, report.call));
        }
    }
    Ok(())
}

fn party(report: &Report) -> Party {
    if report.peer == "meta" { Meta } else { Pbx }
}

/// Whether our own goodbye had been said before and never got through: nobody there, on any connection.
fn bye_was_lost(story: &Story, report: &Report, call_id: &str) -> bool {
    let of = |id: &Option<String>| id.as_deref() == Some(call_id);
    let mut records = story.world.records.iter();
    let record = records.find(|record| of(&record.carrier_call_id) || of(&record.pbx_call_id));
    let said = format!("({}) never answered our BYE", report.peer);
    let mut log = story.world.log.iter();
    // A leg that was left in mid-call stands in no record: then it is one of any call's.
    let its = |call| record.is_none_or(|record| call == Some(record.id));
    log.any(|line| its(line.call) && line.text.contains(&said))
}

/// Whether the far side could not know better, or did no wrong.
fn is_excused(
    story: &Story,
    lines: &[Line<'_>],
    report: &Report,
    rule: &str,
    call_id: &str,
) -> bool {
    let link = &story.world.meta_link;
    let shuffles = !link.jitter.is_zero() || link.overtaken > 0.0 || link.doubled > 0.0;
    match rule {
        // Told as `ByeAnswered` as well, and judged there.
        "our BYE was answered 481" => true,
        "CANCEL that matches no INVITE" => wire::cancel_crossed(lines, u128::from(report.at_ms)),
        // Its answer went with a connection, so it was said once more over another one.
        "BYE with CSeq 1, not above the last one" => {
            story.rough && wire::bye_said_twice(lines, call_id)
        }
        // Whatever breaks, it broke before the 200 came, or took the ACK with it.
        "no ACK to our 200 in 64·T1" => story.rough && !wire::ack_came(lines, call_id),
        // A datagram that comes twice is replayed, and one that is overtaken lies behind.
        "a packet whose SRTP authentication fails" => shuffles,
        _ => shuffles && rule.starts_with("timestamp moved"),
    }
}
