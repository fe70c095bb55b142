//! What an operator asks of a running core, and what it answers: [`crate::Input::Operator`] and
//! [`crate::Output::Reply`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::{Load, Source};
use crate::call_id::CallId;
use crate::counters::Counters;
use crate::event::Facts;
use crate::number::E164;
use crate::service::{Service, Subject};

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Every call that has not ended.
    Calls,
    /// One of them.
    Call(CallId),
    /// End it.
    HangUp(CallId),
    /// Every configured number.
    Numbers,
    /// Every configured trunk.
    Trunks,
    /// Take a number or a trunk into or out of service.
    Serve(Subject, Service),
    /// Take no new calls, or take them again.
    Drain(bool),
    /// Figures of the whole.
    Status,
    /// Every source that is shut out.
    Bans,
    /// Shut out whoever is at an address, for so long.
    Ban(IpAddr, Duration),
    /// Let a source in again.
    Unban(Source),
}

/// The answer to a [`Wish`].
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Wish::Calls`] and [`Wish::Call`]: in the order they began.
    Calls(Vec<Running>),
    /// To [`Wish::Numbers`].
    Numbers(Vec<NumberState>),
    /// To [`Wish::Trunks`].
    Trunks(Vec<TrunkState>),
    /// To [`Wish::Status`].
    Status(Box<Status>),
    /// To [`Wish::Bans`]: each, and for how much longer.
    Bans(Vec<(Source, Duration)>),
    /// To [`Wish::HangUp`], [`Wish::Serve`], [`Wish::Drain`], [`Wish::Ban`] and [`Wish::Unban`]: done.
    Done,
    /// To all of them but the drain: there is none of that name, or it is spared.
    Unknown,
}

/// A call that has not ended.
#[derive(Clone, Debug)]
pub struct Running {
    /// What is known of it.
    pub facts: Facts,
    /// A stable label of its state: `preparing`, `dialing`, `ringing`, `answering`, `talking`,
    /// `releasing`.
    pub phase: &'static str,
}

/// How a number is doing.
#[derive(Clone, Debug)]
pub struct NumberState {
    /// The number.
    pub e164: E164,
    /// Its trunk.
    pub trunk: Arc<str>,
    /// Whether it takes calls.
    pub service: Service,
    /// Calls at the moment, and at most.
    pub calls: (usize, usize),
    /// Business-initiated calls begun in the last 24 hours, and at most.
    pub initiated: (u32, u32),
}

/// How a trunk is doing.
#[derive(Clone, Debug)]
pub struct TrunkState {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it takes calls.
    pub service: Service,
    /// Calls at the moment, and at most.
    pub calls: (usize, usize),
    /// Where calls to it go, most wanted first.
    pub destinations: Vec<Destination>,
    /// Our registration with it, if we are an extension of its.
    pub registration: Option<Registration>,
    /// How many contacts it has registered here, if it registers.
    pub contacts: Option<usize>,
}

/// How a registration of ours is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A stable label: `registered`, `trying`, `unreachable`, `refused`, `left`.
    pub state: &'static str,
    /// `host:port` of the server that knows us.
    pub server: Option<String>,
    /// For how long it still does.
    pub left: Option<Duration>,
    /// What went wrong last.
    pub trouble: Option<String>,
}

/// One destination of a trunk.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `host:port;transport=…`.
    pub target: String,
    /// Whether calls try it in its turn: it answers, or nobody found out that it does not.
    pub alive: bool,
}

/// Figures of the whole.
#[derive(Clone, Debug)]
pub struct Status {
    /// Calls that have not ended, and at most.
    pub calls: (usize, usize),
    /// Taking no new calls.
    pub draining: bool,
    /// What was counted since the start.
    pub counters: Counters,
    /// The last measurement of how much there is to do.
    pub load: Load,
    /// Percent of new calls that are admitted under that load; 100 but for overload.
    pub admitting: u8,
}
