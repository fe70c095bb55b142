//! How a leg stands when somebody wants its place (RFC 3891 §3).

use sip::DialogId;

use super::{Phase, SipLeg};

/// How a dialog of a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The leg has no such dialog.
    Unknown,
    /// The peer called, and we have not answered.
    EarlyOfPeer,
    /// We called, and this branch has not answered.
    EarlyOfOurs,
    /// Our 200 waits for its ACK.
    Unconfirmed,
    /// Both sides agreed that there is a call.
    Confirmed,
    /// It is being hung up, or was.
    Over,
}

impl SipLeg {
    /// How one of its dialogs stands.
    pub(crate) fn standing(&self, id: &DialogId) -> Standing {
        if let Phase::Calling(calling) = &self.phase {
            let early = calling.earlies.iter().any(|early| early.dialog.id() == id);
            return match early {
                true if calling.is_given_up() => Standing::Over,
                true => Standing::EarlyOfOurs,
                false => Standing::Unknown,
            };
        }
        if self.dialog.as_ref().is_none_or(|dialog| dialog.id() != id) {
            return Standing::Unknown;
        }
        match self.phase {
            Phase::Offered { .. } => Standing::EarlyOfPeer,
            Phase::Answering { .. } => Standing::Unconfirmed,
            Phase::Confirmed { .. } => Standing::Confirmed,
            Phase::Calling(_) | Phase::Releasing { .. } | Phase::Gone => Standing::Over,
        }
    }
}
