//! A scene as an ASCII ladder, one line per message with the time it left, and as a page of
//! documentation whose identifiers stay the same from run to run.
//!
//! ```text
//!              Meta                            wa-sbc                          PBX
//!      0.080  │────────── INVITE SDP ─────────►│                              │
//!      0.100  │◄──────── 100 (INVITE) ─────────│                              │
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

mod drawing;

pub use drawing::{Ladder, Line, Mark, Rung};

use crate::world::{Party, Passed, World};

/// Characters between two parties.
const WIDTH: usize = 30;

impl World {
    /// Everything that passed so far, and the first media packet of each direction.
    pub fn ladder(&self) -> String {
        let mut rungs: Vec<Rung> = self.passed.iter().map(rung).collect();
        rungs.extend(
            self.first_packets
                .iter()
                .map(|(way, at)| arrow(*at, *way, "first media".into(), Line::Double)),
        );
        // Stable: what leaves at one moment stays in its order, media behind signalling.
        rungs.sort_by_key(|rung| rung.at);
        Ladder {
            posts: ["Meta", "wa-sbc", "PBX"].map(str::to_owned).into(),
            rungs,
            width: WIDTH,
        }
        .text()
    }
}

/// A message as an arrow.
fn rung(passed: &Passed) -> Rung {
    let lost = if passed.arrived.is_some() { "" } else { " ✗" };
    let label = format!("{}{lost}", label(&passed.text));
    arrow(passed.at, (passed.from, passed.to), label, Line::Thin)
}

fn arrow(at: Duration, way: (Party, Party), label: String, line: Line) -> Rung {
    let (from, to) = (post(way.0), post(way.1));
    Rung {
        at,
        mark: Mark::Arrow {
            from,
            to,
            label,
            line,
        },
    }
}

fn post(party: Party) -> usize {
    match party {
        Party::Meta => 0,
        Party::Sbc => 1,
        Party::Pbx => 2,
    }
}

/// Method or status, with `SDP` when there is a body and `+auth` when there are credentials.
pub fn label(text: &str) -> String {
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    let first = words.next().unwrap_or_default();
    let name = match first.starts_with("SIP/") {
        true => words.next().unwrap_or_default(),
        false => first,
    };
    let method = text
        .lines()
        .find_map(|line| line.strip_prefix("CSeq:"))
        .and_then(|value| value.split_whitespace().nth(1))
        .unwrap_or_default();
    let of = if name != method {
        format!(" ({method})")
    } else {
        String::new()
    };
    let body = if text
        .split_once("\r\n\r\n")
        .is_some_and(|(_, body)| !body.is_empty())
    {
        " SDP"
    } else {
        ""
    };
    let authorised = text.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("proxy-authorization:") || line.starts_with("authorization:")
    });
    let with = if authorised { " +auth" } else { "" };
    format!("{name}{of}{with}{body}")
}

/// A page of documentation about one run.
#[derive(Debug)]
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// What it shows: whole paragraphs.
    pub about: &'a str,
    /// What is to be seen in a message, and how it is found: who sent it, and how its start line
    /// begins; the last such message is shown.
    pub messages: &'a [(&'a str, Party, Party, &'a str)],
    /// What came of it: lines of a list.
    pub outcome: &'a [String],
}

impl World {
    /// Writes a page about what has passed. Keys are left out, and whatever is drawn by lot has a
    /// name instead of its value, so that the page changes only when the behaviour does.
    pub fn page(&self, page: &Page<'_>) -> String {
        let mut names = Names::default();
        let texts: Vec<String> = self.passed.iter().map(|p| names.stable(&p.text)).collect();
        let mut text = format!("# {}\n\n{}\n\n", page.title, page.about);
        text.push_str("```text\n");
        text.push_str(&self.ladder());
        text.push_str(
            "```\n\nTimes are seconds; a message stands where it left. `SDP`: with a description. ",
        );
        text.push_str("`+auth`: with credentials. `═`: the first media packet of a direction.\n");
        if !page.outcome.is_empty() {
            text.push_str("\n## What came of it\n\n");
            for line in page.outcome {
                let _ = writeln!(text, "* {line}");
            }
        }
        text.push_str("\n## The messages worth reading\n");
        for (why, from, to, start) in page.messages {
            let found = self
                .passed
                .iter()
                .zip(&texts)
                .rev()
                .find(|(p, _)| p.from == *from && p.to == *to && p.text.starts_with(start));
            let shown = found.map_or("(not sent)", |(_, text)| text.as_str());
            let _ = write!(text, "\n{why}\n\n```text\n{}\n```\n", shown.trim_end());
        }
        text
    }
}

/// Names for what is drawn by lot, given in the order of appearance.
#[derive(Debug, Default)]
struct Names {
    given: BTreeMap<(&'static str, String), String>,
    counts: BTreeMap<&'static str, usize>,
    /// The first CSeq number of each end of each dialog.
    first_cseqs: Vec<(String, u64)>,
}

/// Parameters whose values are drawn by lot.
const DRAWN: [&str; 8] = [
    "tag", "branch", "nonce", "cnonce", "opaque", "response", "i", "inline",
];

impl Names {
    fn name(&mut self, kind: &'static str, value: &str) -> String {
        let counts = &mut self.counts;
        let entry = self.given.entry((kind, value.to_owned()));
        let name = entry.or_insert_with(|| {
            let count = counts.entry(kind).or_default();
            *count += 1;
            format!("{kind}-{count}")
        });
        name.clone()
    }

    /// A message with `\n` line ends and stable identifiers.
    fn stable(&mut self, text: &str) -> String {
        let lines: Vec<&str> = text.split("\r\n").collect();
        let call_id = lines
            .iter()
            .find_map(|line| line.strip_prefix("Call-ID:"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        let lines: Vec<String> = lines
            .iter()
            .map(|line| self.stable_line(line, &call_id))
            .collect();
        lines.join("\n")
    }

    fn stable_line(&mut self, line: &str, call_id: &str) -> String {
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "call-id" => return format!("{name}: {}", self.call_id(value)),
                "cseq" => return format!("{name}: {}", self.cseq(call_id, value)),
                "content-length" => {
                    let some = if value.trim() == "0" { "0" } else { "…" };
                    return format!("{name}: {some}");
                }
                _ if value.starts_with("wacid.") => {
                    return format!("{name}: {}", self.wacid(value));
                }
                _ => {}
            }
        }
        if line.starts_with("o=") {
            let fields: Vec<&str> = line.split(' ').collect();
            let rest = fields.get(3..).unwrap_or_default().join(" ");
            return format!("{} … … {rest}", fields.first().copied().unwrap_or_default());
        }
        for (start, shown) in [
            ("a=ssrc:", "a=ssrc:…"),
            ("a=msid:", "a=msid:…"),
            ("a=msid-semantic:", "a=msid-semantic:…"),
        ] {
            if line.starts_with(start) {
                return shown.to_owned();
            }
        }
        self.stable_parameters(line)
    }

    /// `tag=…`, `branch=…` and the like, quoted or not; `inline:…` too.
    fn stable_parameters(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((at, kind)) = next_drawn(rest) {
            let value_from = at + kind.len() + 1;
            out.push_str(&rest[..value_from]);
            rest = &rest[value_from..];
            let open = rest.starts_with('"');
            let body = rest.strip_prefix('"').unwrap_or(rest);
            let end = body
                .find([';', ',', '"', ' ', '>', '|'])
                .unwrap_or(body.len());
            let value = &body[..end];
            let shown = match kind {
                "inline" => "KEY-AND-SALT".to_owned(),
                "branch" => format!("z9hG4bK-{}", self.name(kind, value)),
                _ => self.name(kind, value),
            };
            if open {
                out.push('"');
            }
            out.push_str(&shown);
            rest = &body[end..];
        }
        out + rest
    }

    fn call_id(&mut self, value: &str) -> String {
        match value.strip_prefix("outgoing:") {
            Some(wacid) => format!("outgoing:{}", self.wacid(wacid)),
            None => {
                let host = value.split_once('@').map_or("", |(_, host)| host);
                let at = if host.is_empty() { "" } else { "@" };
                format!("{}{at}{host}", self.name("call", value))
            }
        }
    }

    fn wacid(&mut self, value: &str) -> String {
        format!("wacid.{}", self.name("call", value).to_uppercase())
    }

    /// CSeq numbers counted from 1 in each dialog and direction.
    fn cseq(&mut self, call_id: &str, value: &str) -> String {
        let (number, method) = value.split_once(' ').unwrap_or((value, ""));
        let number: u64 = number.parse().unwrap_or_default();
        // The two ends of a dialog count for themselves, and start far apart.
        let own = |(id, first): &&(String, u64)| {
            *id == call_id && (*first..*first + 64).contains(&number)
        };
        let first = match self.first_cseqs.iter().find(own) {
            Some((_, first)) => *first,
            None => {
                self.first_cseqs.push((call_id.to_owned(), number));
                number
            }
        };
        format!("{} {method}", 1 + number - first)
    }
}

/// The next parameter drawn by lot: where its name begins, and which it is.
fn next_drawn(text: &str) -> Option<(usize, &'static str)> {
    DRAWN
        .iter()
        .filter_map(|kind| {
            let mark = if *kind == "inline" { ':' } else { '=' };
            let needle = format!("{kind}{mark}");
            text.match_indices(&needle)
                .find(|(at, _)| {
                    let before = text[..*at].chars().next_back();
                    before.is_none_or(|c| matches!(c, ';' | ',' | ' '))
                })
                .map(|(at, _)| (at, *kind))
        })
        .min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_method_status_credentials_and_description() {
        let of = |text: &str| label(text);
        assert_eq!(
            of("INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\nproxy-authorization: Digest\r\n\r\nv=0"),
            "INVITE +auth SDP"
        );
        assert_eq!(
            of("SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n"),
            "100 (INVITE)"
        );
    }

    #[test]
    fn what_is_drawn_by_lot_gets_a_name_and_no_key_is_shown() {
        let mut names = Names::default();
        let text = "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/TLS h:5061;rport;branch=z9hG4bKabc;alias\r\n\
            From: <sip:a@b>;tag=t77\r\nTo: <sip:c@d>;tag=q5\r\nCall-ID: outgoing:wacid.XYZ=\r\nCSeq: 907 INVITE\r\n\
            x-wa-meta-wacid: wacid.XYZ=\r\nContent-Length:   120\r\n\
            Proxy-Authorization: Digest username=\"1\", nonce=\"n1\",cnonce=\"c1\",response=\"r1\", nc=00000001\r\n\r\n\
            o=- 123 2 IN IP4 10.0.0.5\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\na=ssrc:99 cname:x\r\n";
        let stable = names.stable(text);
        for expected in [
            "branch=z9hG4bK-branch-1;alias",
            "From: <sip:a@b>;tag=tag-1",
            "To: <sip:c@d>;tag=tag-2",
            "Call-ID: outgoing:wacid.CALL-1",
            "x-wa-meta-wacid: wacid.CALL-1",
            "CSeq: 1 INVITE",
            "nonce=\"nonce-1\",cnonce=\"cnonce-1\",response=\"response-1\", nc=00000001",
            "o=- … … IN IP4 10.0.0.5",
            "inline:KEY-AND-SALT|2^20",
            "a=ssrc:…",
            "Content-Length: …",
        ] {
            assert!(stable.contains(expected), "{expected} in\n{stable}");
        }
        let again = names.stable("BYE sip:x SIP/2.0\r\nCall-ID: outgoing:wacid.XYZ=\r\nCSeq: 909 BYE\r\nTo: <sip:c@d>;tag=q5\r\n\r\n");
        assert!(
            again.contains("CSeq: 3 BYE") && again.contains("tag=tag-2"),
            "{again}"
        );
    }
}
