//! What came of a replay.

use std::fmt;

use crate::trace::Story;

/// What came of a replay. Its `Display` holds nothing that changes from run to run: it is what
/// `expect.txt` keeps.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Messages and media facts of the replay, for a ladder.
    pub story: Story,
    /// What the core sent, in order, by leg; repetitions counted.
    pub sent: Vec<String>,
    /// One line per call record.
    pub records: Vec<String>,
    /// What Meta's user and the PBX heard.
    pub audio: Vec<String>,
    /// What the core decided, in its own words.
    pub decisions: Vec<String>,
    /// Where the core acts otherwise than in the capture.
    pub differences: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("sent", &self.sent),
            ("decided", &self.decisions),
            ("recorded", &self.records),
            ("heard", &self.audio),
            ("differs from the capture", &self.differences),
        ];
        for (title, lines) in parts {
            writeln!(f, "{title}")?;
            if lines.is_empty() {
                writeln!(f, "  nothing")?;
            }
            for line in lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
