//! The messages of a call, as the SBC's log tells of them, as a ladder of three posts.

use std::time::{Duration, Instant};

use sim::ladder::{Ladder, Line, Mark};

use super::cast::{Said, Who};

/// Width of the space between two posts.
const GAP: usize = 34;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    at: Duration,
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
            at: said.at.saturating_duration_since(start),
            outside: line["transport"] == "tls",
            inward: way == "in",
            text: format!("{text}{sdp}"),
        })
    }

    fn drawn(&self) -> sim::ladder::Rung {
        let far = if self.outside { 0 } else { 2 };
        let (from, to) = if self.inward { (far, 1) } else { (1, far) };
        sim::ladder::Rung {
            at: self.at,
            mark: Mark::Arrow {
                from,
                to,
                label: self.text.clone(),
                line: Line::Thin,
            },
        }
    }
}

/// Draws the ladder.
pub(super) fn draw(rungs: &[Rung]) -> String {
    Ladder {
        posts: ["Meta", "wa-sbc", "PBX"].map(str::to_owned).into(),
        rungs: rungs.iter().map(Rung::drawn).collect(),
        width: GAP,
    }
    .text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_where_the_messages_went() {
        let rung = |outside, inward, text: &str| Rung {
            at: Duration::ZERO,
            outside,
            inward,
            text: text.into(),
        };
        let drawing = draw(&[
            rung(true, true, "INVITE + SDP"),
            rung(true, false, "100 Trying"),
            rung(false, false, "INVITE + SDP"),
            rung(false, true, "180 Ringing"),
        ]);
        let lines: Vec<&str> = drawing.lines().skip(1).collect();
        assert!(
            lines[0].contains("│─") && lines[0].contains("►│ "),
            "{drawing}"
        );
        assert!(
            lines[1].contains("│◄") && lines[1].contains("100 Trying ─"),
            "{drawing}"
        );
        assert!(
            lines[2].contains(" │─") && lines[2].ends_with("►│"),
            "{drawing}"
        );
        assert!(
            lines[3].contains(" │◄") && lines[3].ends_with("─│"),
            "{drawing}"
        );
    }
}
