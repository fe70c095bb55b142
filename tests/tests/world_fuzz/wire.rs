//! What the wire itself shows, read here anew: nothing that parses for the product is used to judge it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sim::World;
use sim::world::Party::{self, Meta, Sbc};
use sim::world::Passed;

/// All that may ever be sent to Meta.
const ALLOWED: [&str; 5] = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"];

/// A message on the wire.
pub(crate) struct Line<'a> {
    pub(crate) passed: &'a Passed,
    /// The method of a request.
    pub(crate) method: Option<&'a str>,
    /// The status of a response.
    pub(crate) status: Option<u16>,
    pub(crate) call_id: &'a str,
    /// Number and method of CSeq.
    pub(crate) cseq: (u32, &'a str),
    pub(crate) from_tag: &'a str,
    pub(crate) to_tag: &'a str,
    /// Branch of the top Via.
    pub(crate) branch: &'a str,
}

/// The value of a parameter of a header.
fn parameter<'a>(value: &'a str, name: &str) -> &'a str {
    let found = value.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        (key.trim() == name).then_some(value)
    });
    found
        .unwrap_or_default()
        .split([',', '>', ' '])
        .next()
        .unwrap_or_default()
}

/// The part of a From or To behind the address: its parameters.
fn tag(value: &str) -> &str {
    let outside = value.rsplit_once('>').map_or(value, |(_, outside)| outside);
    parameter(outside, "tag")
}

impl<'a> Line<'a> {
    fn read(passed: &'a Passed) -> Self {
        let start = passed.text.lines().next().unwrap_or_default();
        let status = start
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3)?.parse().ok());
        let method = start.split(' ').next().filter(|_| status.is_none());
        let header = |name| passed.header(name).unwrap_or_default();
        let (number, of) = header("CSeq").split_once(' ').unwrap_or_default();
        Line {
            passed,
            method,
            status,
            call_id: header("Call-ID"),
            cseq: (number.parse().unwrap_or_default(), of.trim()),
            from_tag: tag(header("From")),
            to_tag: tag(header("To")),
            branch: parameter(header("Via"), "branch"),
        }
    }

    fn is(&self, from: Party, to: Party) -> bool {
        (self.passed.from, self.passed.to) == (from, to)
    }

    fn is_request(&self, method: &str) -> bool {
        self.method == Some(method)
    }
}

/// Everything sent, read.
pub(crate) fn lines(world: &World) -> Vec<Line<'_>> {
    world.passed.iter().map(Line::read).collect()
}

/// Judges everything the core sent.
pub(crate) fn judge(lines: &[Line<'_>], rough: bool) -> Result<(), String> {
    for line in lines.iter().filter(|line| line.is(Sbc, Meta)) {
        nothing_forbidden(line)?;
    }
    one_stream_to_meta(lines)?;
    dialogs_are_kept(lines)?;
    answers_are_ended(lines, rough)
}

fn nothing_forbidden(line: &Line<'_>) -> Result<(), String> {
    let start = || line.passed.text.lines().next().unwrap_or_default();
    if let Some(method) = line.method {
        let allowed = ALLOWED.contains(&method) && (method != "INVITE" || line.to_tag.is_empty());
        if !allowed {
            return Err(format!("Meta was sent {}", start()));
        }
    }
    let early = line.status.is_some_and(|status| status < 200);
    if early && !line.passed.body().is_empty() {
        return Err(format!("Meta was sent SDP in {}", start()));
    }
    for forbidden in ["Session-Expires", "Min-SE", "RSeq", "Refer-To", "Replaces"] {
        if line.passed.header(forbidden).is_some() {
            return Err(format!("Meta was sent {forbidden} in {}", start()));
        }
    }
    Ok(())
}

/// One description for the life of a call, with one SSRC and one key.
fn one_stream_to_meta(lines: &[Line<'_>]) -> Result<(), String> {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.is(Sbc, Meta)) {
        let body = line.passed.body();
        if body.is_empty() {
            continue;
        }
        if *said.entry(line.call_id).or_insert(body) != body {
            return Err(format!("Meta got two descriptions in {}", line.call_id));
        }
    }
    Ok(())
}

/// Requests inside a dialog carry tags both ends know, and sequence numbers that rise.
fn dialogs_are_kept(lines: &[Line<'_>]) -> Result<(), String> {
    // Call-ID and tag, by who chose it.
    let mut known: BTreeSet<(Party, &str, &str)> = BTreeSet::new();
    // The last sequence number of ours by peer, Call-ID and both tags, and its connection; and what
    // was sent already.
    let mut last: BTreeMap<(Party, &str, &str, &str), (u32, usize)> = BTreeMap::new();
    let mut sent: BTreeSet<(&str, &str)> = BTreeSet::new();
    for line in lines {
        let peer = if line.passed.from == Sbc {
            line.passed.to
        } else {
            line.passed.from
        };
        let ours = line.passed.from == Sbc;
        let own_tag = match line.method.is_some() {
            true => line.from_tag,
            false => line.to_tag,
        };
        let chose = if ours { Sbc } else { peer };
        if let (true, Some(method)) = (ours, line.method) {
            let inside = !line.to_tag.is_empty();
            // An ACK belongs to the INVITE's number, a refusal's to its branch as well.
            let counts = inside && !matches!(method, "ACK" | "CANCEL");
            if counts && !known.contains(&(peer, line.call_id, line.to_tag)) {
                return Err(format!("{method} to a tag nobody has: {}", line.to_tag));
            }
            if counts && !known.contains(&(Sbc, line.call_id, line.from_tag)) {
                return Err(format!("{method} from a tag of nobody: {}", line.from_tag));
            }
            if counts && sent.insert((line.branch, method)) {
                let dialog = (peer, line.call_id, line.from_tag, line.to_tag);
                let (number, way) = (line.cseq.0, line.passed.connection);
                // The same once more over another connection is what follows a broken one.
                let falls =
                    |(before, by): (u32, usize)| number < before || (number == before && way == by);
                if last.insert(dialog, (number, way)).is_some_and(falls) {
                    return Err(format!(
                        "{method} with CSeq {number} after the same or more"
                    ));
                }
            }
            if line.cseq.1 != method {
                return Err(format!("{method} with a CSeq of {}", line.cseq.1));
            }
        }
        if !own_tag.is_empty() {
            known.insert((chose, line.call_id, own_tag));
        }
    }
    Ok(())
}

/// Whoever answers an INVITE of ours gets an ACK, and his call ends.
fn answers_are_ended(lines: &[Line<'_>], rough: bool) -> Result<(), String> {
    let answers: BTreeSet<_> = lines
        .iter()
        .filter(|line| line.passed.to == Sbc && line.passed.arrived.is_some())
        .filter(|line| matches!(line.status, Some(200..=299)) && line.cseq.1 == "INVITE")
        .filter(|line| !line.to_tag.is_empty())
        .map(|line| (line.passed.from, line.call_id, line.from_tag, line.to_tag))
        .collect();
    for answer in answers {
        let (peer, call_id, from_tag, to_tag) = answer;
        let of = |line: &&Line<'_>| line.call_id == call_id;
        let acked = lines.iter().filter(of).any(|line| {
            let tags = (line.from_tag, line.to_tag);
            line.is_request("ACK") && line.is(Sbc, peer) && tags == (from_tag, to_tag)
        });
        let ended = lines.iter().filter(of).any(|line| {
            let tags = [line.from_tag, line.to_tag];
            line.is_request("BYE") && (tags == [from_tag, to_tag] || tags == [to_tag, from_tag])
        });
        if !acked {
            return Err(format!("the 200 of {to_tag} in {call_id} got no ACK"));
        }
        if !ended && !rough {
            return Err(format!(
                "the answer of {to_tag} in {call_id} was never hung up"
            ));
        }
    }
    Ok(())
}

/// Whether Meta was acknowledged its answer in a call.
pub(crate) fn ack_came(lines: &[Line<'_>], call_id: &str) -> bool {
    let answered: Vec<_> = lines
        .iter()
        .filter(|line| line.is(Meta, Sbc) && line.call_id == call_id)
        .filter(|line| line.cseq.1 == "INVITE" && matches!(line.status, Some(200..=299)))
        .map(|line| line.cseq.0)
        .collect();
    lines.iter().any(|line| {
        let acks = line.is(Sbc, Meta) && line.is_request("ACK") && line.call_id == call_id;
        acks && answered.contains(&line.cseq.0) && line.passed.arrived.is_some()
    })
}

/// Whether a BYE of a peer that was answered 481 had crossed one of ours on the way: ours left before
/// that answer, and the peer's before ours came (RFC 3261 §15.1.2).
pub(crate) fn byes_crossed(lines: &[Line<'_>], peer: Party, call_id: &str) -> bool {
    let bye = |from, to| {
        lines
            .iter()
            .filter(move |line| line.is(from, to) && line.call_id == call_id)
            .filter(|line| line.is_request("BYE"))
    };
    let refused = bye(peer, Sbc).filter(|theirs| {
        lines.iter().any(|line| {
            line.is(Sbc, peer) && line.status == Some(481) && line.branch == theirs.branch
        })
    });
    refused.into_iter().all(|theirs| {
        let answered = lines
            .iter()
            .find(|line| {
                line.is(Sbc, peer) && line.status == Some(481) && line.branch == theirs.branch
            })
            .map_or(Duration::ZERO, |line| line.passed.at);
        bye(Sbc, peer).any(|ours| {
            let came = ours.passed.arrived.unwrap_or(Duration::MAX);
            ours.passed.at <= answered && theirs.passed.at <= came
        })
    })
}

/// Whether every BYE of a peer that was answered 481 belongs to a dialog we cannot know: it is one the peer made by answering
/// an INVITE of ours, and no such answer ever came.
pub(crate) fn answer_was_lost(lines: &[Line<'_>], peer: Party, call_id: &str) -> bool {
    let of = || lines.iter().filter(|line| line.call_id == call_id);
    let called = of().any(|line| line.is(Sbc, peer) && line.is_request("INVITE"));
    called
        && refused_byes(lines, peer, call_id).all(|bye| {
            !of().any(|line| {
                line.is(peer, Sbc)
                    && line.cseq.1 == "INVITE"
                    && matches!(line.status, Some(200..=299))
                    && line.to_tag == bye.from_tag
                    && line.passed.arrived.is_some()
            })
        })
}

/// Whether every BYE of a peer that was answered 481 came before the peer's own answer to our INVITE, which it had overtaken:
/// a dialog nobody had heard of.
pub(crate) fn bye_overtook(lines: &[Line<'_>], peer: Party, call_id: &str) -> bool {
    let mut byes = refused_byes(lines, peer, call_id).peekable();
    byes.peek().is_some()
        && byes.all(|bye| {
            let mut heard = lines.iter().filter(|line| {
                let of = line.is(peer, Sbc) && line.call_id == call_id;
                of && line.cseq.1 == "INVITE"
                    && line.status > Some(100)
                    && line.to_tag == bye.from_tag
            });
            let came = heard.clone().any(|line| line.passed.at <= bye.passed.at);
            came && heard.all(|line| line.passed.arrived > bye.passed.arrived)
        })
}

/// Whether our BYE to Meta came twice, over two connections, and the answer to the first did not reach us.
pub(crate) fn bye_said_twice(lines: &[Line<'_>], call_id: &str) -> bool {
    let byes: Vec<_> = lines
        .iter()
        .filter(|line| line.is(Sbc, Meta) && line.call_id == call_id && line.is_request("BYE"))
        .collect();
    byes.windows(2).any(|two| {
        let answered = lines.iter().any(|line| {
            line.is(Meta, Sbc) && line.branch == two[0].branch && line.passed.arrived.is_some()
        });
        two[0].cseq == two[1].cseq
            && two[0].passed.connection != two[1].passed.connection
            && !answered
    })
}

/// The BYEs of a peer in a call that we answered 481.
fn refused_byes<'a>(
    lines: &'a [Line<'a>],
    peer: Party,
    call_id: &'a str,
) -> impl Iterator<Item = &'a Line<'a>> {
    lines
        .iter()
        .filter(move |line| line.is(peer, Sbc) && line.call_id == call_id)
        .filter(|line| line.is_request("BYE"))
        .filter(move |bye| {
            lines.iter().any(|line| {
                line.is(Sbc, peer) && line.status == Some(481) && line.branch == bye.branch
            })
        })
}

/// Whether the CANCEL that Meta could not place, at this millisecond, had crossed the final answer to
/// its INVITE: the answer left before the CANCEL came, and the CANCEL before the answer did (RFC 3261
/// §9.1).
pub(crate) fn cancel_crossed(lines: &[Line<'_>], at_ms: u128) -> bool {
    let mut cancels = lines.iter().filter(|line| {
        let came = line.passed.arrived.map(|at| at.as_millis());
        line.is_request("CANCEL") && line.is(Sbc, Meta) && came == Some(at_ms)
    });
    cancels.all(|cancel| {
        lines.iter().any(|answer| {
            let of = answer.branch == cancel.branch && answer.cseq.1 == "INVITE";
            let is_final = answer.status.is_some_and(|status| status >= 200);
            let (left, came) = (answer.passed.at, answer.passed.arrived);
            answer.is(Meta, Sbc)
                && of
                && is_final
                && Some(left) <= cancel.passed.arrived
                && came.is_none_or(|came| cancel.passed.at <= came)
        })
    })
}
