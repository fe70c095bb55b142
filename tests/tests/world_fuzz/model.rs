//! What holds at the end of every world, told without a look into the core: by records, by what both
//! peers report, and by what is left.

use std::collections::{BTreeMap, BTreeSet};

use b2bua::{Output, Record};
use sim::report::{Ended, What};

use super::draw::Story;

/// What strict peers object to and RFC 3261 lets happen when two messages cross on their way: both ends
/// hang up at once (§15.1.2), a CANCEL meets a final answer (§9.1).
const CROSSING: [&str; 2] = ["our BYE was answered 481", "CANCEL that matches no INVITE"];

/// A call as one peer saw it.
#[derive(Debug, Default)]
struct Seen {
    ended: Vec<Ended>,
}

/// Every call a peer saw, by its Call-ID.
fn seen(story: &Story, peer: &str) -> BTreeMap<String, Seen> {
    let mut ids = BTreeMap::new();
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for report in story
        .world
        .reports
        .iter()
        .filter(|report| report.peer == peer)
    {
        match &report.what {
            What::Started { call_id, .. } => {
                ids.insert(report.call, call_id.clone());
                all.entry(call_id.clone()).or_default();
            }
            What::Ended(ended) => {
                let seen = ids.get(&report.call).and_then(|id| all.get_mut(id));
                if let Some(seen) = seen {
                    seen.ended.push(ended.clone());
                }
            }
            _ => {}
        }
    }
    all
}

fn hold(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Judges a world that is over.
pub(crate) fn judge(story: &mut Story) -> Result<(), String> {
    nothing_is_left(story)?;
    let counters = story.world.core.counters();
    hold(counters.bugs == 0, || {
        format!("{} bugs of ours", counters.bugs)
    })?;
    let records = &story.world.records;
    hold(records.len() as u64 == counters.admitted, || {
        format!(
            "{} records of {} admitted INVITEs",
            records.len(),
            counters.admitted
        )
    })?;
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    hold(ids.len() == records.len(), || {
        "two records of one call".into()
    })?;
    let forbidden = story.world.meta.counts().forbidden;
    hold(forbidden == 0, || {
        format!("{forbidden} forbidden requests to Meta")
    })?;
    if !story.rough {
        let broken = story
            .world
            .reports
            .iter()
            .find_map(|report| match &report.what {
                What::Violation { rule } if !CROSSING.contains(&rule.as_str()) => {
                    Some(format!("{} {}: {rule}", report.peer, report.call))
                }
                _ => None,
            });
        hold(broken.is_none(), || broken.unwrap_or_default())?;
    }
    let meta = seen(story, "meta");
    let pbx = seen(story, "pbx");
    for (peer, calls) in [("Meta", &meta), ("the PBX", &pbx)] {
        for (id, call) in calls {
            hold(call.ended.len() == 1, || {
                format!("{peer} saw {} ends of {id}", call.ended.len())
            })?;
        }
    }
    for record in &story.world.records {
        let end = |calls: &BTreeMap<String, Seen>, id: &Option<String>| {
            calls.get(id.as_ref()?)?.ended.first().cloned()
        };
        let ends = (
            end(&meta, &record.carrier_call_id),
            end(&pbx, &record.pbx_call_id),
        );
        record_is_sound(record).map_err(|why| format!("{why}: {record:?}"))?;
        agrees(story.rough, record, &ends).map_err(|why| {
            format!(
                "{why}: {} answered {:?}, {ends:?}",
                record.cause.label(),
                record.answered
            )
        })?;
    }
    Ok(())
}

fn nothing_is_left(story: &mut Story) -> Result<(), String> {
    let world = &mut story.world;
    hold(world.is_quiet(), || {
        format!(
            "something is left: core idle {}, {} calls, {} ports, Meta {:?}, PBX {:?}",
            world.core.is_idle(),
            world.core.calls(),
            world.ports_in_use(),
            world.meta.calls().collect::<Vec<_>>(),
            world.pbx.calls().collect::<Vec<_>>(),
        )
    })?;
    let ports = world.ports_in_use();
    hold(ports == 0, || format!("{ports} ports are still leased"))?;
    let wait = world.core.poll();
    hold(matches!(wait, Output::Wait(None)), || {
        format!("a timer is left: {wait:?}")
    })
}

fn record_is_sound(record: &Record) -> Result<(), String> {
    let times = [
        Some(record.started),
        record.ringing,
        record.answered,
        Some(record.ended),
    ];
    let times: Vec<_> = times.into_iter().flatten().collect();
    hold(times.is_sorted(), || "its times run backwards".into())?;
    let normal = record.cause.label() == "normal";
    hold(!normal || record.answered.is_some(), || {
        "hung up, but never answered".into()
    })?;
    let spoke = !record.duration.is_zero();
    hold(!spoke || record.answered.is_some(), || {
        "lasted, but never answered".into()
    })
}

/// Whether both ends and the record tell the same story.
fn agrees(
    rough: bool,
    record: &Record,
    ends: &(Option<Ended>, Option<Ended>),
) -> Result<(), String> {
    let (Some(meta), Some(pbx)) = ends else {
        // A leg that was never called, or that nobody heard of.
        let called = record.answered.is_some();
        return hold(!called, || "answered by a leg that does not exist".into());
    };
    if rough {
        return Ok(());
    }
    if record.cause.label() == "normal" {
        hold(meta.answered && pbx.answered, || {
            "answered on one side only".into()
        })?;
        let apart = meta.duration_ms.abs_diff(pbx.duration_ms);
        hold(apart <= 3_000, || format!("the ends are {apart} ms apart"))?;
    }
    let connected = meta.confirmed && meta.answered && pbx.confirmed && pbx.answered;
    hold(!connected || record.answered.is_some(), || {
        "both talked, and the record says nobody did".into()
    })
}
