//! A header rule as an operator writes it, and what can be said against it.

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One more line of this name.
    Add,
    /// The only line of this name; with a pattern, only where a line fits it.
    Set,
    /// No line of this name; with a pattern, only those that fit it. A `*` at the end of the name
    /// stands for anything.
    Remove,
    /// The lines of this name under another.
    Rename,
    /// The lines of this name in the caller's INVITE, here under the same or another name.
    Copy,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Verb; 5] = [Verb::Add, Verb::Set, Verb::Remove, Verb::Rename, Verb::Copy];

    /// Its word in a configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Verb::Add => "add",
            Verb::Set => "set",
            Verb::Remove => "remove",
            Verb::Rename => "rename",
            Verb::Copy => "copy",
        }
    }
}

/// A header rule as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRule {
    /// What it does.
    pub verb: Verb,
    /// To the header of this name.
    pub header: String,
    /// The new name, of [`Verb::Rename`] and [`Verb::Copy`].
    pub to: Option<String>,
    /// The new value, a [`super::Template`]; of [`Verb::Add`], [`Verb::Set`] and [`Verb::Copy`].
    pub value: Option<String>,
    /// A regular expression the old value has to fit.
    pub matches: Option<String>,
}

/// What is wrong with a rule, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

pub(super) fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        problem: problem.into(),
        remedy: remedy.into(),
    })
}
