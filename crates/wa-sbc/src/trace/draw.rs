//! A story as a ladder: both legs side by side, media facts and decisions between the messages.

use std::time::SystemTime;

use sim::ladder::{Ladder, Line, Mark, Rung, label};

use super::redact::redacted;
use super::seen::{Crossed, Gap, Seen, Story, What};
use crate::plain::plain;

/// Width of the space between two posts.
const WIDTH: usize = 44;

/// How a story is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// As SVG instead of text.
    pub svg: bool,
    /// Every message in full below the ladder.
    pub messages: bool,
    /// With keys and digest answers.
    pub secrets: bool,
}

/// Draws a story.
pub fn draw(story: &Story, manner: Manner) -> String {
    let ladder = ladder(story);
    if manner.svg {
        return ladder.svg();
    }
    let mut out = head(story);
    out.push_str(&ladder.text());
    if manner.messages {
        for (at, crossed) in story.messages() {
            let bytes = match manner.secrets {
                true => crossed.bytes.clone(),
                false => redacted(&crossed.bytes),
            };
            let way = if crossed.inward { "from" } else { "to" };
            let seconds = since(story, at).as_secs_f64();
            out.push_str(&format!(
                "\n── {seconds:.3} {way} {} over {} ──\n{}\n",
                crossed.remote,
                crossed.transport.via_name(),
                in_lines(&bytes),
            ));
        }
    }
    out
}

/// A message as it is, but for what a terminal would obey.
fn in_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.trim_end().lines().map(plain).collect();
    lines.join("\n")
}

fn head(story: &Story) -> String {
    let mut out = String::new();
    if let Some(call) = story.call {
        out.push_str(&format!("{call}\n"));
    }
    for (side, call_id) in &story.legs {
        let peer = match story.carrier.map(|carrier| carrier == *side) {
            Some(true) => ", Meta",
            Some(false) => ", the PBX",
            None => "",
        };
        out.push_str(&format!("leg {side:?}{peer}: Call-ID {}\n", plain(call_id)));
    }
    out
}

/// The ladder of a story.
fn ladder(story: &Story) -> Ladder {
    let mut rungs = Vec::new();
    // Where a box stood, the picture says so.
    let gap_at = story.seen.len().saturating_sub(1).min(story.seen.len() / 3);
    for (index, seen) in story.seen.iter().enumerate() {
        let at = since(story, seen.at);
        if story.left_out > 0 && index == gap_at {
            let text = format!(
                "about here {} more were seen and are forgotten",
                story.left_out
            );
            rungs.push(Rung {
                at,
                mark: Mark::Note {
                    right_of: None,
                    text,
                },
            });
        }
        let Seen { what, .. } = seen;
        match what {
            What::Message(crossed) => {
                rungs.push(Rung {
                    at,
                    mark: arrow(crossed),
                });
                if let Some(text) = words(&crossed.bytes) {
                    let right_of = Some(post_left_of(crossed.gap));
                    rungs.push(Rung {
                        at,
                        mark: Mark::Note { right_of, text },
                    });
                }
            }
            What::Fact { gap, text } => {
                let right_of = gap.map(post_left_of);
                rungs.push(Rung {
                    at,
                    mark: Mark::Note {
                        right_of,
                        text: plain(text).into_owned(),
                    },
                });
            }
        }
    }
    Ladder {
        posts: ["Meta", "wa-sbc", "PBX"].map(str::to_owned).into(),
        rungs,
        width: WIDTH,
    }
}

fn since(story: &Story, at: SystemTime) -> std::time::Duration {
    let begin = story.seen.front().map_or(at, |seen| seen.at);
    at.duration_since(begin).unwrap_or_default()
}

fn post_left_of(gap: Gap) -> usize {
    match gap {
        Gap::Carrier => 0,
        Gap::Pbx => 1,
    }
}

fn arrow(crossed: &Crossed) -> Mark {
    let far = match crossed.gap {
        Gap::Carrier => 0,
        Gap::Pbx => 2,
    };
    let (from, to) = if crossed.inward { (far, 1) } else { (1, far) };
    Mark::Arrow {
        from,
        to,
        label: plain(&label(&String::from_utf8_lossy(&crossed.bytes))).into_owned(),
        line: Line::Thin,
    }
}

/// What a final refusal says in words, and why a party hung up: reason phrase, `Warning`, `Reason`.
fn words(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let mut words = Vec::new();
    if let Some(status) = start.strip_prefix("SIP/2.0 ")
        && status
            .as_bytes()
            .first()
            .is_some_and(|class| *class >= b'3')
        && !matches!(status.get(..3), Some("401" | "407" | "487"))
    {
        words.push(status.to_owned());
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if ["warning", "reason"]
            .iter()
            .any(|known| name.trim().eq_ignore_ascii_case(known))
        {
            words.push(format!("{}: {}", name.trim(), value.trim()));
        }
    }
    (!words.is_empty()).then(|| plain(&words.join("; ")).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn seen(ms: u64, inward: bool, gap: Gap, text: &str) -> Seen {
        let nowhere = ([0, 0, 0, 0], 0).into();
        Seen {
            at: UNIX_EPOCH + Duration::from_millis(ms),
            what: What::Message(Crossed {
                inward,
                gap,
                transport: sip::Transport::Tls,
                local: nowhere,
                remote: nowhere,
                bytes: text.to_owned().into(),
            }),
        }
    }

    #[test]
    fn a_refusal_shows_metas_words_and_no_secret() {
        let key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
        let story = Story {
            seen: [
                seen(0, false, Gap::Carrier, &format!("INVITE sip:x SIP/2.0\r\nCSeq: 1 INVITE\r\nProxy-Authorization: Digest response=\"00ff00ff\"\r\n\r\na=crypto:1 S inline:{key}\r\n")),
                seen(90, true, Gap::Carrier, "SIP/2.0 403 No approved call permission\r\nCSeq: 1 INVITE\r\nWarning: 399 meta \"ask first\"\r\n\r\n"),
            ]
            .into(),
            ..Story::default()
        };
        let manner = Manner {
            messages: true,
            ..Manner::default()
        };
        let text = draw(&story, manner);
        let flat = text
            .replace(['│', '\n'], " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(
            flat.contains("403 No approved call permission; Warning: 399"),
            "{text}"
        );
        assert!(!text.contains(key) && !text.contains("00ff00ff"), "{text}");
        assert!(
            !draw(
                &story,
                Manner {
                    svg: true,
                    ..manner
                }
            )
            .contains(key)
        );
        assert!(
            draw(
                &story,
                Manner {
                    secrets: true,
                    ..manner
                }
            )
            .contains(key)
        );
    }
}
