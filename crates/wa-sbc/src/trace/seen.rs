//! What is remembered of a call: messages as they crossed our border, and what happened between them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::SystemTime;

use b2bua::CallId;
use bytes::Bytes;
use memchr::memmem::{self, Finder};
use sdp::Side;
use sip::Transport;

use crate::reference;

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A SIP message.
    Message(Crossed),
    /// Something about one leg, or about the whole call, in plain words.
    Fact {
        /// Between which two posts it belongs; `None`: to the whole call.
        gap: Option<Gap>,
        /// The words.
        text: String,
    },
}

/// A SIP message that crossed our border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// Towards us.
    pub inward: bool,
    /// The call's space it belongs to.
    pub gap: Gap,
    /// How it was carried.
    pub transport: Transport,
    /// Our address; unspecified while the connection was still being opened.
    pub local: SocketAddr,
    /// The peer's address; unspecified likewise.
    pub remote: SocketAddr,
    /// The message, as it was on the wire under TLS.
    pub bytes: Bytes,
}

/// The two spaces of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// Between Meta and us.
    Carrier,
    /// Between us and the PBX.
    Pbx,
}

impl Gap {
    /// Its stable name in files.
    pub const fn label(self) -> &'static str {
        match self {
            Gap::Carrier => "carrier",
            Gap::Pbx => "pbx",
        }
    }

    /// The gap of a name.
    pub fn of(label: &str) -> Option<Gap> {
        [Gap::Carrier, Gap::Pbx]
            .into_iter()
            .find(|gap| gap.label() == label)
    }
}

/// Everything remembered of one call, or of one INVITE that never became a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Our id of the call; `None` when the INVITE was refused at the door.
    pub call: Option<CallId>,
    /// The Call-IDs of its legs.
    pub legs: Vec<(Side, String)>,
    /// The side Meta is on, once it is known.
    pub carrier: Option<Side>,
    /// What was seen, in order.
    pub seen: VecDeque<Seen>,
    /// What was seen and is no longer remembered, after the first quarter of what is.
    pub left_out: u64,
}

impl Story {
    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = (SystemTime, &Crossed)> {
        self.seen.iter().filter_map(|seen| match &seen.what {
            What::Message(crossed) => Some((seen.at, crossed)),
            What::Fact { .. } => None,
        })
    }

    /// Whether the story is the one somebody asks for, see `Wanted`.
    pub fn is_about(&self, query: &str) -> bool {
        let wanted = Wanted::of(query);
        self.messages()
            .any(|(_, crossed)| wanted.is_in(&crossed.bytes))
    }
}

/// What somebody asks for: a Call-ID, Meta's id of a call in full or as the log shows it, or a telephone number as
/// people write it.
#[derive(Debug)]
pub(super) enum Wanted {
    Word(Box<Finder<'static>>),
    /// A short id, see [`reference`].
    Short(String),
}

impl Wanted {
    pub(super) fn of(query: &str) -> Wanted {
        if let Some(short) = reference::asked(query) {
            return Wanted::Short(short.to_owned());
        }
        let number = |char: &char| !matches!(char, ' ' | '-' | '(' | ')' | '/');
        let plain = query.starts_with('+')
            || query
                .chars()
                .all(|char| char.is_ascii_digit() || !number(&char));
        let wanted: String = match plain {
            true => query
                .trim_start_matches('+')
                .chars()
                .filter(number)
                .collect(),
            false => query.to_owned(),
        };
        Wanted::Word(Box::new(Finder::new(wanted.as_bytes()).into_owned()))
    }

    /// Whether it stands in the head of a message. A word of less than four letters stands everywhere.
    pub(super) fn is_in(&self, message: &[u8]) -> bool {
        let head = memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
        let head = &message[..head];
        match self {
            Wanted::Word(word) => word.needle().len() >= 4 && word.find(head).is_some(),
            Wanted::Short(id) => reference::stands_in(id, head),
        }
    }
}
