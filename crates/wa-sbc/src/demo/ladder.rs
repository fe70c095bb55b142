//! The messages of a call as a ladder of three posts.

use std::fmt::Write;
use std::time::Instant;

use super::cast::{Said, Who};
use super::script::millis;

/// Width of the space between two posts.
const GAP: usize = 34;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    at_ms: u128,
    /// Between Meta and the SBC, not between the SBC and the PBX.
    outside: bool,
    /// Towards the SBC.
    inward: bool,
    text: String,
}

impl Rung {
    /// The message a line of the SBC's log tells of, if it tells of one.
    pub(super) fn of(start: Instant, said: &Said) -> Option<Self> {
        let line = &said.what;
        let text = line["text"].as_str().filter(|_| said.who == Who::Log)?;
        let way = line["way"].as_str()?;
        let sdp = if line["sdp"] == true { " + SDP" } else { "" };
        Some(Self {
            at_ms: millis(start, said.at),
            outside: line["transport"] == "tls",
            inward: way == "in",
            text: format!("{text}{sdp}"),
        })
    }
}

/// Draws the ladder.
pub(super) fn draw(rungs: &[Rung]) -> String {
    let mut drawing = String::new();
    let _ = writeln!(
        drawing,
        "    ms  Meta{:^width$}PBX",
        "wa-sbc",
        width = 2 * GAP - 3
    );
    let blank = " ".repeat(GAP);
    for Rung {
        at_ms,
        outside,
        inward,
        text,
    } in rungs
    {
        // Inward means to the right on the outside and to the left on the inside.
        let arrow = arrow(text, inward == outside);
        let _ = match outside {
            true => writeln!(drawing, "{at_ms:>6}   │{arrow}│{blank}│"),
            false => writeln!(drawing, "{at_ms:>6}   │{blank}│{arrow}│"),
        };
    }
    drawing
}

fn arrow(text: &str, right: bool) -> String {
    const ROOM: usize = GAP - 6;
    let text = match text.chars().count() {
        0..=ROOM => text.to_owned(),
        _ => text.chars().take(ROOM - 1).chain(['…']).collect(),
    };
    let line = "─".repeat(GAP - 4 - text.chars().count());
    if right {
        format!("─ {text} {line}►")
    } else {
        format!("◄{line} {text} ─")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_where_the_messages_went() {
        let rung = |at_ms, outside, inward, text: &str| Rung {
            at_ms,
            outside,
            inward,
            text: text.into(),
        };
        let drawing = draw(&[
            rung(0, true, true, "INVITE + SDP"),
            rung(1, true, false, "100 Trying"),
            rung(12, false, false, "INVITE + SDP"),
            rung(
                1234,
                false,
                true,
                "a reason phrase much longer than the ladder is wide",
            ),
        ]);
        let expected =
            "    ms  Meta                             wa-sbc                              PBX
     0   │─ INVITE + SDP ──────────────────►│                                  │
     1   │◄──────────────────── 100 Trying ─│                                  │
    12   │                                  │─ INVITE + SDP ──────────────────►│
  1234   │                                  │◄── a reason phrase much longer… ─│
";
        assert_eq!(drawing, expected);
    }
}
