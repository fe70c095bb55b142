//! What a check found.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Calls go, but something wants looking at, or could not be found out from here.
    Warn,
    /// Calls fail.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, in plain words.
    pub found: String,
    /// What to do about it; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    pub fn pass(found: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, found, "")
    }

    /// Wants looking at.
    pub fn warn(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, found, remedy)
    }

    /// Calls fail.
    pub fn fail(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, found, remedy)
    }

    fn new(verdict: Verdict, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check: "",
            verdict,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    /// The same, found by a check.
    #[must_use]
    pub fn of(mut self, check: &'static str) -> Self {
        self.check = check;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict}  {:<12} {}", self.check, self.found)?;
        if !self.remedy.is_empty() {
            write!(f, "\n{:>19}remedy: {}", "", self.remedy)?;
        }
        Ok(())
    }
}
