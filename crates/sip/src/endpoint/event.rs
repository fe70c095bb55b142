//! What an endpoint says to its user and to the network.

use std::fmt;

use bytes::Bytes;

use crate::{Flow, FlowId, Request, Response};

/// A request of ours under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(pub(crate) u64);

/// A request of a peer to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerKey(pub(crate) u64);

/// What to do next.
#[derive(Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // moved once from a short queue to its reader
pub enum Output {
    /// Put these bytes on this flow; a flow still connecting keeps them until it is open.
    Send {
        /// The flow.
        flow: FlowId,
        /// A whole message.
        bytes: Bytes,
    },
    /// Something happened that concerns the user.
    Event(Event),
}

impl fmt::Debug for Output {
    /// Shows how many bytes are sent, not which: there may be keys among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Send { flow, bytes } => {
                write!(f, "Send({flow:?}, {} bytes)", bytes.len())
            }
            Output::Event(event) => event.fmt(f),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new request, never ACK or CANCEL; to be answered with
    /// [`Endpoint::respond`](super::Endpoint::respond). For INVITE 100 Trying has been sent.
    Request {
        /// Names the request when answering it.
        key: ServerKey,
        /// Where it came from.
        flow: Flow,
        /// The request; `received` and `rport` of its top Via are filled in.
        request: Request,
    },
    /// An ACK to a 2xx (or to nothing we know).
    Ack {
        /// Where it came from.
        flow: Flow,
        /// The ACK.
        request: Request,
    },
    /// A CANCEL for an INVITE without final response. The CANCEL is answered; the INVITE is to be
    /// answered with 487 by the user (RFC 3261 §9.2).
    Cancelled {
        /// The INVITE.
        key: ServerKey,
        /// The CANCEL, for its Reason header (RFC 3326).
        cancel: Request,
    },
    /// A CANCEL for an INVITE whose 2xx has left: it has no effect of its own (RFC 3261 §9.2), but says that
    /// nobody wants the call any more.
    CancelCrossed {
        /// The INVITE.
        key: ServerKey,
    },
    /// A response: each 1xx, the final one, and each repeated 2xx of an INVITE.
    Response {
        /// The request it answers.
        key: ClientKey,
        /// Where it came from.
        flow: Flow,
        /// The response.
        response: Response,
    },
    /// A 2xx to an INVITE that no transaction waits for: it may be ours, given up long ago. Whoever
    /// sends it, the user knows whether it was asked for.
    LateAnswer {
        /// Where it came from.
        flow: Flow,
        /// The 2xx.
        response: Response,
    },
    /// No final response will come.
    Failed {
        /// The request.
        key: ClientKey,
        /// Why.
        why: Failure,
    },
    /// Nobody acknowledged our 300–699 (timer H, RFC 3261 §17.2.1).
    NoAck {
        /// The INVITE.
        key: ServerKey,
    },
}

/// Why a request of ours got no final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Timer B or F: nobody answered for 64·T1; or no final response came 64·T1 after CANCEL.
    Timeout,
    /// The flow was lost.
    FlowLost,
}

/// Live transactions per kind: for leak tests and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// INVITEs of ours.
    pub invite_clients: usize,
    /// Other requests of ours, CANCELs among them.
    pub clients: usize,
    /// INVITEs of peers.
    pub invite_servers: usize,
    /// Other requests of peers, CANCELs among them.
    pub servers: usize,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> usize {
        self.invite_clients + self.clients + self.invite_servers + self.servers
    }
}

/// What was ignored or refused without asking the user, since the endpoint was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Responses to nothing we asked.
    pub stray_responses: u64,
    /// CANCELs of nothing we know, answered 481.
    pub stray_cancels: u64,
    /// Requests and responses sent again by a peer.
    pub repeated: u64,
    /// Requests refused with 503 because too many were under way.
    pub refused: u64,
    /// Requests dropped for the same reason.
    pub dropped: u64,
    /// Responses of the user to a request long answered or gone.
    pub late_answers: u64,
}
