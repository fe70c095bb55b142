//! What holds at the end of every world, told without a look into the core: by records, by what both
//! peers report, and by what is left.

use std::collections::{BTreeMap, BTreeSet};

use b2bua::Record;
use b2bua::record::Direction;
use sim::World;
use sim::report::{Ended, What};
use sim::scene::secs;
use sim::world::Party::{Pbx, Sbc};

use super::acts::Act;
use super::draw::Story;
use super::{objections, wire};

/// A call as one peer saw it.
#[derive(Debug, Default)]
struct Seen {
    /// How often it began: an INVITE that met a broken connection may come a second time.
    started: usize,
    ended: Vec<End>,
}

/// An end, and when it was, in milliseconds.
type End = (u64, Ended);

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
                all.entry(call_id.clone()).or_default().started += 1;
            }
            What::Ended(ended) => {
                let seen = ids.get(&report.call).and_then(|id| all.get_mut(id));
                if let Some(seen) = seen {
                    seen.ended.push((report.at_ms, ended.clone()));
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
    let lines = wire::lines(&story.world);
    wire::judge(&lines, story.rough)?;
    objections::judge(story, &lines)?;
    drop(lines);
    let meta = seen(story, "meta");
    let pbx = seen(story, "pbx");
    for (peer, calls) in [("Meta", &meta), ("the PBX", &pbx)] {
        for (id, call) in calls {
            let (begun, ended) = (call.started, call.ended.len());
            let once = begun == 1 || (story.rough && begun == 2);
            hold(once && ended == begun, || {
                format!("{peer} saw {begun} beginnings and {ended} ends of {id}")
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
        cause_is_possible(story, record)?;
        record_is_sound(story, record).map_err(|why| format!("{why}: {record:?}"))?;
        agrees(story, record, &ends).map_err(|why| {
            let cause = record.cause.label();
            format!("{why}: {cause} answered {:?}, {ends:?}", record.answered)
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
    // A timer that was left would ask something: names are looked for again, nothing else goes on. What
    // peers still repeat is answered.
    let asked = |world: &World| {
        let ours = world.passed.iter().filter(|passed| passed.from == Sbc);
        // Who is registered goes on being so.
        ours.filter(|passed| !passed.text.starts_with("SIP/2.0"))
            .filter(|passed| !passed.text.starts_with("REGISTER"))
            .count()
    };
    let before = (asked(world), world.records.len());
    world.pass(secs(300));
    let quiet = world.until_quiet(secs(40));
    let after = (asked(world), world.records.len());
    hold(before == after && quiet, || {
        format!("it stirs when all is over: {before:?} became {after:?}")
    })
}

/// Nobody is blamed for what did not happen.
fn cause_is_possible(story: &Story, record: &Record) -> Result<(), String> {
    let label = record.cause.label();
    let possible = match label {
        "bug" | "media_failed" | "no_common_media" | "overload" => false,
        "media_silent" => story.rough || story.has(|act| matches!(act, Act::Mute(_))),
        "no_ack" => story.rough,
        "unreachable" => story.rough || story.has_dead_ends(),
        "operator" => story.has(|act| *act == Act::HangUpAll),
        _ => true,
    };
    hold(possible, || format!("a call ended by {label}: {record:?}"))
}

fn record_is_sound(story: &Story, record: &Record) -> Result<(), String> {
    // Whoever is answered before the PBX rings may be told of it later.
    let early = story.answers_early() && record.direction == Direction::UserInitiated;
    let times = [
        Some(record.started),
        record.ringing.filter(|_| !early),
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

/// How far apart both ends may learn that a call is over, where nothing is lost, in milliseconds.
const APART: u64 = 3_000;

/// Whether both ends and the record tell the same story.
fn agrees(story: &Story, record: &Record, ends: &(Option<End>, Option<End>)) -> Result<(), String> {
    let early = story.answers_early() && record.direction == Direction::UserInitiated;
    let (Some((meta_at, meta)), Some((pbx_at, pbx))) = ends else {
        // A leg that was never called, or that nobody heard of.
        let called = record.answered.is_some() && !early;
        return hold(!called, || "answered by a leg that does not exist".into());
    };
    if story.rough {
        return Ok(());
    }
    let both = meta.answered && pbx.answered;
    // The agent who sent the call elsewhere has left it.
    let pbx_call_id = record.pbx_call_id.as_deref();
    let transferred = story.referred(pbx_call_id) || story.replaced(pbx_call_id);
    // Of several telephones that pick up, the first wins: it need not be the one that tells of its end.
    let forked = answers(&story.world, pbx_call_id) > 1;
    if record.cause.label() == "normal" {
        hold(both || early, || "answered on one side only".into())?;
    }
    if both && !transferred && !forked {
        let apart = meta_at.abs_diff(*pbx_at);
        hold(apart <= APART, || format!("the ends are {apart} ms apart"))?;
    }
    let connected = both && meta.confirmed && pbx.confirmed;
    hold(!connected || record.answered.is_some(), || {
        "both talked, and the record says nobody did".into()
    })
}

/// How many telephones of the PBX answered a call.
fn answers(world: &World, call_id: Option<&str>) -> usize {
    let answers = world.messages(Pbx, Sbc, "SIP/2.0 200").into_iter();
    let to = answers
        .filter(|answer| answer.header("Call-ID") == call_id)
        .filter(|answer| {
            answer
                .header("CSeq")
                .is_some_and(|cseq| cseq.ends_with("INVITE"))
        })
        .filter_map(|answer| answer.header("To"));
    to.collect::<BTreeSet<_>>().len()
}
