//! A scene as an ASCII ladder: one line per message, with the time it left.
//!
//! ```text
//!                 Meta                      SBC                       PBX
//!    0.080  1     │─────── INVITE ─────────►│                          │
//!    0.100  1     │◄───────── 100 ──────────│                          │
//! ```

use std::fmt::Write;

use crate::world::{Party, Passed, World};

/// Characters between two parties.
const WIDTH: usize = 30;

impl World {
    /// Everything that passed so far.
    pub fn ladder(&self) -> String {
        draw(&self.passed)
    }
}

/// Draws messages in the order they were sent.
pub fn draw(passed: &[Passed]) -> String {
    let mut text = format!(
        "{:>9}  {:<w$}{:<w$}{}\n",
        "",
        "Meta",
        "SBC",
        "PBX",
        w = WIDTH + 1
    );
    for message in passed {
        let label = label(&message.text);
        let lost = if message.arrived { "" } else { " ✗" };
        let arrow = arrow(&format!("{label}{lost}"), points_right(message));
        let empty = " ".repeat(WIDTH);
        let (left, right) = match (message.from, message.to) {
            (Party::Meta, _) | (_, Party::Meta) => (arrow, empty),
            _ => (empty, arrow),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>9.3}  │{left}│{right}│", message.at.as_secs_f64());
    }
    text
}

fn points_right(message: &Passed) -> bool {
    message.from < message.to
}

/// `────── label ─────►` or `◄───── label ──────`, exactly as wide as the gap.
fn arrow(label: &str, right: bool) -> String {
    let label: String = label.chars().take(WIDTH - 6).collect();
    let line = WIDTH - 3 - label.chars().count();
    let (before, after) = (line / 2, line - line / 2);
    match right {
        true => format!("{} {label} {}►", "─".repeat(before), "─".repeat(after)),
        false => format!("◄{} {label} {}", "─".repeat(before), "─".repeat(after)),
    }
}

/// Method or status, with `SDP` when there is a body.
fn label(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rungs_have_one_width_and_point_the_right_way() {
        let rung = |from, to, text: &str, arrived| Passed {
            at: Duration::from_millis(1_500),
            from,
            to,
            connection: 0,
            text: text.into(),
            arrived,
        };
        let drawn = draw(&[
            rung(
                Party::Meta,
                Party::Sbc,
                "INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0",
                true,
            ),
            rung(
                Party::Sbc,
                Party::Meta,
                "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n",
                true,
            ),
            rung(
                Party::Sbc,
                Party::Pbx,
                "BYE sip:x SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n",
                false,
            ),
        ]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(
            lines[1].contains("1.500  │")
                && lines[1].contains(" INVITE SDP ")
                && lines[1].contains("►│")
        );
        assert!(lines[2].contains("│◄") && lines[2].contains(" 100 (INVITE) "));
        assert!(lines[3].contains(" BYE ✗ "));
        let widths: Vec<usize> = lines[1..].iter().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{drawn}");
    }
}
