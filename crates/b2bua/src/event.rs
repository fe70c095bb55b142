//! What happens to calls, told while it happens: for logs, lists of running calls and whoever listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use sdp::Side;
use sdp::report::Unopened;

use crate::call_id::CallId;
use crate::number::E164;
use crate::record::{Direction, Record};

/// Something happened to a call.
#[derive(Clone, Debug)]
pub struct CallEvent {
    /// What is known of the call by now.
    pub facts: Facts,
    /// What happened.
    pub happened: Happened,
}

/// A step in the life of a call.
#[derive(Clone, Debug)]
pub enum Happened {
    /// Its INVITE was admitted.
    Began,
    /// The called side rings.
    Rang,
    /// The called side answered.
    Answered,
    /// Packets of a leg cannot be opened from now on (SRTP), or again after a quiet time.
    Unopened {
        /// The leg that sends them.
        side: Side,
        /// What the first of them lacked.
        why: Unopened,
        /// Where that came from: the peer, or anybody.
        source: SocketAddr,
    },
    /// It is over. This comes out before anything that tells a peer so: whoever keeps the record as
    /// it stands now loses no call whose end somebody has seen. What media measured is not in it
    /// yet; the final one is [`crate::Output::Record`].
    Over(Box<Record>),
}

impl Happened {
    /// A stable label for logs and listeners.
    pub const fn label(&self) -> &'static str {
        match self {
            Happened::Began => "began",
            Happened::Rang => "ringing",
            Happened::Answered => "answered",
            Happened::Unopened { .. } => "srtp_failed",
            Happened::Over(_) => "over",
        }
    }
}

/// What identifies a call, and how far it has come.
///
/// A [`Record`] has these fields as well, beside many more: it is a row, and whoever writes rows names its columns flat; a call that
/// runs has no such row yet.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Our id of the call.
    pub id: CallId,
    /// Who called whom.
    pub direction: Direction,
    /// The carrier's reference of the call, as far as it was learned.
    pub reference: Option<String>,
    /// The Call-ID of the carrier's leg.
    pub carrier_call_id: Option<String>,
    /// The Call-ID of the PBX's leg.
    pub pbx_call_id: Option<String>,
    /// The business number.
    pub number: E164,
    /// The user: `+` and digits, or whatever the carrier names its users by.
    pub user: String,
    /// The trunk.
    pub trunk: Arc<str>,
    /// When the INVITE was admitted.
    pub started: SystemTime,
    /// When the called side first rang.
    pub ringing: Option<SystemTime>,
    /// When the called side answered.
    pub answered: Option<SystemTime>,
}
