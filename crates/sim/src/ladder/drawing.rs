//! The drawing of every ladder there is: posts, arrows between neighbours, notes; as text and as SVG.
//!
//! ```text
//!              Meta            wa-sbc           PBX
//!      0.080  │─── INVITE SDP ──►│                │
//!      0.090  │ · first packet   │                │
//! ```
//!
//! Who draws decides what the arrows say; nothing here knows SIP.

use std::fmt::Write;
use std::time::Duration;

/// A ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The names of the posts, from left to right: two at least.
    pub posts: Vec<String>,
    /// The rungs, in the order they are drawn.
    pub rungs: Vec<Rung>,
    /// Characters between two posts, 16 at least.
    pub width: usize,
}

/// One line of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Time since the ladder begins.
    pub at: Duration,
    /// What is drawn.
    pub mark: Mark,
}

/// What a line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Something went from a post to its neighbour.
    Arrow {
        /// The post it left.
        from: usize,
        /// The post it reached: one more, or one less.
        to: usize,
        /// What it was; cut where there is no room for it.
        label: String,
        /// What the arrow is made of.
        line: Line,
    },
    /// Something is said about the space right of a post, in as many lines as it needs.
    Note {
        /// The post left of the space; `None`: about the whole ladder.
        right_of: Option<usize>,
        /// What is said.
        text: String,
    },
}

/// What an arrow is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Signalling.
    Thin,
    /// Media.
    Double,
}

impl Line {
    fn char(self) -> char {
        match self {
            Line::Thin => '─',
            Line::Double => '═',
        }
    }
}

impl Ladder {
    /// The ladder for a terminal.
    pub fn text(&self) -> String {
        let width = self.width.max(16);
        let mut out = format!("{:>9}  ", "");
        if let Some((last, posts)) = self.posts.split_last() {
            for post in posts {
                // Writing to a String cannot fail.
                let _ = write!(out, "{post:<w$}", w = width + 1);
            }
            let _ = writeln!(out, "{last}");
        }
        for rung in &self.rungs {
            let at = rung.at.as_secs_f64();
            match &rung.mark {
                Mark::Arrow {
                    from,
                    to,
                    label,
                    line,
                } => {
                    let arrow = arrow(label, line.char(), from < to, width);
                    let _ = writeln!(
                        out,
                        "{at:>9.3}  {}",
                        self.row(Some(*from.min(to)), &arrow, width)
                    );
                }
                Mark::Note { right_of, text } => {
                    let room = match right_of {
                        Some(_) => width,
                        None => (width + 1) * self.gaps() - 1,
                    };
                    for (index, part) in folded(text, room.saturating_sub(4)).iter().enumerate() {
                        let sign = if index == 0 { '·' } else { ' ' };
                        let cell = format!("{:<room$}", format!(" {sign} {part}"));
                        let row = self.row(*right_of, &cell, width);
                        let _ = match index {
                            0 => writeln!(out, "{at:>9.3}  {row}"),
                            _ => writeln!(out, "{:>9}  {row}", ""),
                        };
                    }
                }
            }
        }
        out
    }

    /// One line of posts, with `cell` in the space right of the given post, or across all of them.
    fn row(&self, right_of: Option<usize>, cell: &str, width: usize) -> String {
        let Some(right_of) = right_of else {
            return format!("│{cell}│");
        };
        let empty = " ".repeat(width);
        let mut row = String::from("│");
        for gap in 0..self.gaps() {
            row.push_str(if gap == right_of { cell } else { &empty });
            row.push('│');
        }
        row
    }

    fn gaps(&self) -> usize {
        self.posts.len().saturating_sub(1).max(1)
    }

    /// The ladder as a picture of its own: no script, no font of ours, nothing fetched.
    pub fn svg(&self) -> String {
        const LEFT: usize = 90;
        const GAP: usize = 330;
        const STEP: usize = 24;
        const TOP: usize = 46;
        let notes = |text: &str| folded(text, 46).len();
        let lines: usize = self
            .rungs
            .iter()
            .map(|rung| match &rung.mark {
                Mark::Arrow { .. } => 1,
                Mark::Note {
                    right_of: Some(_),
                    text,
                } => notes(text),
                Mark::Note { text, .. } => folded(text, 92).len(),
            })
            .sum();
        let (width, height) = (LEFT + GAP * self.gaps() + 60, TOP + STEP * (lines + 1));
        let post = |index: usize| LEFT + GAP * index;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for (index, name) in self.posts.iter().enumerate() {
            let (x, name) = (post(index), escaped(name));
            let _ = writeln!(
                out,
                "<text x=\"{x}\" y=\"20\" text-anchor=\"middle\" font-weight=\"bold\">{name}</text>\
                 <line x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{height}\" stroke=\"#888\"/>"
            );
        }
        let mut y = TOP;
        for rung in &self.rungs {
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#666\">{:.3}</text>",
                LEFT - 12,
                y + 4,
                rung.at.as_secs_f64()
            );
            match &rung.mark {
                Mark::Arrow {
                    from,
                    to,
                    label,
                    line,
                } => {
                    let (x1, x2) = (post(*from), post(*to));
                    let head = if x1 < x2 { x2 - 8 } else { x2 + 8 };
                    let stroke = match line {
                        Line::Thin => "stroke=\"black\"",
                        Line::Double => "stroke=\"#2a6\" stroke-width=\"3\"",
                    };
                    let _ = writeln!(
                        out,
                        "<line x1=\"{x1}\" y1=\"{y}\" x2=\"{head}\" y2=\"{y}\" {stroke}/>\
                         <path d=\"M{x2},{y} L{head},{} L{head},{} z\"/>\
                         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                        y - 4,
                        y + 4,
                        x1.midpoint(x2),
                        y - 5,
                        escaped(label),
                    );
                    y += STEP;
                }
                Mark::Note { right_of, text } => {
                    let room = if right_of.is_some() { 46 } else { 92 };
                    for part in folded(text, room) {
                        let _ = writeln!(
                            out,
                            "<text x=\"{}\" y=\"{}\" fill=\"#247\">{}</text>",
                            post(right_of.unwrap_or(0)) + 10,
                            y + 4,
                            escaped(&part),
                        );
                        y += STEP;
                    }
                }
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

/// `────── label ─────►` or `◄───── label ──────`, exactly `width` wide.
fn arrow(label: &str, line: char, right: bool, width: usize) -> String {
    let room = width - 6;
    let label = match label.chars().count() {
        count if count > room => label.chars().take(room - 1).chain(['…']).collect(),
        _ => label.to_owned(),
    };
    let all = width - 3 - label.chars().count();
    let line = |length| line.to_string().repeat(length);
    let (before, after) = (line(all / 2), line(all - all / 2));
    match right {
        true => format!("{before} {label} {after}►"),
        false => format!("◄{before} {label} {after}"),
    }
}

/// A text in lines of at most `room` characters, broken between words where there are any.
fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is always a line");
            let used = line.chars().count();
            let space = usize::from(used > 0);
            if used + space + word.len() <= room {
                if used > 0 {
                    line.push(' ');
                }
                line.extend(&word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
            } else {
                let rest = word.split_off(room.min(word.len()));
                line.extend(&word);
                word = rest;
                lines.push(String::new());
            }
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Nothing a picture may not contain (XML 1.0 §2.2).
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(rungs: Vec<Rung>) -> Ladder {
        Ladder {
            posts: ["Meta", "wa-sbc", "PBX"].map(str::to_owned).into(),
            rungs,
            width: 24,
        }
    }

    fn arrow(ms: u64, from: usize, to: usize, label: &str) -> Rung {
        let mark = Mark::Arrow {
            from,
            to,
            label: label.into(),
            line: Line::Thin,
        };
        Rung {
            at: Duration::from_millis(ms),
            mark,
        }
    }

    fn note(ms: u64, right_of: Option<usize>, text: &str) -> Rung {
        let text = text.into();
        Rung {
            at: Duration::from_millis(ms),
            mark: Mark::Note { right_of, text },
        }
    }

    #[test]
    fn arrows_point_where_things_went_and_notes_stand_where_they_belong() {
        let drawn = ladder(vec![
            arrow(0, 0, 1, "INVITE SDP"),
            arrow(12, 1, 2, "INVITE SDP"),
            arrow(1_234, 2, 1, "a reason much longer than the gap"),
            note(1_300, Some(0), "first packet from the user"),
            note(1_400, None, "ended: busy"),
        ])
        .text();
        let expected = "           Meta                     wa-sbc                   PBX
    0.000  │───── INVITE SDP ──────►│                        │
    0.012  │                        │───── INVITE SDP ──────►│
    1.234  │                        │◄─ a reason much lon… ──│
    1.300  │ · first packet from    │                        │
           │   the user             │                        │
    1.400  │ · ended: busy                                   │
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_picture_shows_what_the_text_shows_and_trusts_nothing_it_is_given() {
        let svg = ladder(vec![
            arrow(0, 0, 1, "</svg><script>"),
            note(5, Some(1), "x & y"),
        ])
        .svg();
        assert!(svg.contains("&lt;/svg&gt;&lt;script&gt;") && svg.contains("x &amp; y"));
        assert_eq!(svg.matches("<svg").count(), 1);
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn words_longer_than_the_room_are_broken() {
        assert_eq!(folded("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(folded("", 3), [""]);
    }
}
