//! One call as Meta sees it: both tags, both sequence numbers, both targets, and what its own
//! proxies keep to themselves.
//!
//! ```text
//!  user-initiated (we place it)              business-initiated (it is placed to us)
//!
//!  Inviting ─► (407: again) ─► Talking       Ringing ─► Answered ─► Talking
//!     │  CANCEL         200 │ ACK               │ CANCEL    200 │ ACK
//!     ▼                     ▼                   ▼               ▼
//!   Over ◄──────────── Releasing ◄────────────────────────── Releasing ─► Over
//! ```

use std::time::Instant;

use bytes::Bytes;
use sip::{FlowId, Name, Request};

use super::knobs::{BusinessNumber, BusinessScript, UserCall};
use super::rules::Theirs;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Our INVITE is out.
    Inviting,
    /// Their INVITE passed, the user's phone rings.
    Ringing,
    /// Our 200 is out, the ACK is not in.
    Answered,
    /// Answered and acknowledged.
    Talking,
    /// Their 200 broke a rule; it gets no ACK.
    Spurned,
    /// Our BYE is out.
    Releasing,
    /// Nothing more is sent.
    Over,
}

/// A user-initiated call's own part.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// What the user wants.
    pub(crate) plan: UserCall,
    /// Branch of the live INVITE.
    pub(crate) branch: String,
    /// Its top Via, for ACK to a refusal and CANCEL.
    pub(crate) via: String,
    /// Whether any provisional response came.
    pub(crate) provisional: bool,
    /// Challenges answered.
    pub(crate) challenges: u8,
    /// Nonces answered.
    pub(crate) nonces: Vec<String>,
    /// The user gave up: CANCEL as soon as allowed.
    pub(crate) give_up: bool,
    /// CANCEL is out.
    pub(crate) cancelled: bool,
    /// The ACK to the 200, for repeated ones.
    pub(crate) ack: Option<Bytes>,
}

/// A business-initiated call's own part.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The INVITE that passed the challenge.
    pub(crate) invite: Request,
    /// The flow it came on.
    pub(crate) flow: sip::Flow,
    /// What happens to it.
    pub(crate) script: BusinessScript,
    /// Final response, for repeats of the INVITE and of the 200.
    pub(crate) last: Option<Bytes>,
}

/// The two kinds of calls.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// User-initiated.
    Placed(Box<Placed>),
    /// Business-initiated.
    Received(Box<Received>),
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    pub(crate) number: BusinessNumber,
    pub(crate) wacid: String,
    pub(crate) call_id: String,
    /// Our side's From or To value without tag.
    pub(crate) us: String,
    pub(crate) our_tag: String,
    /// Their side's To or From value without tag.
    pub(crate) them: String,
    pub(crate) their_tag: Option<String>,
    /// Our Contact URI; in-dialog requests must carry it byte for byte.
    pub(crate) contact: String,
    /// Their Contact URI.
    pub(crate) target: String,
    /// Routes of their own proxies, in the order our requests carry them.
    pub(crate) partner_routes: Vec<String>,
    pub(crate) our_cseq: u32,
    /// CSeq of the INVITE, whoever sent it.
    pub(crate) invite_cseq: u32,
    pub(crate) their_cseq: u32,
    /// The flow of the INVITE.
    pub(crate) flow: FlowId,
    /// Our description, and what it takes to judge the answer to it.
    pub(crate) words: super::offer::Words,
    pub(crate) theirs: Option<Theirs>,
    pub(crate) started: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) confirmed: bool,
    pub(crate) violations: u32,
    pub(crate) status: u16,
    /// Branch of our BYE.
    pub(crate) bye: Option<String>,
}

impl Call {
    /// Our From or To value with its tag.
    pub(crate) fn us_tagged(&self) -> String {
        format!("{};tag={}", self.us, self.our_tag)
    }

    /// Theirs; without a tag as long as there is none.
    pub(crate) fn them_tagged(&self) -> String {
        match &self.their_tag {
            Some(tag) => format!("{};tag={tag}", self.them),
            None => self.them.clone(),
        }
    }

    /// Whether an in-dialog request of theirs belongs to this call.
    pub(crate) fn owns(&self, request: &Request) -> bool {
        text(request.headers.first(&Name::CallId)) == self.call_id
            && request
                .to_tag()
                .is_some_and(|tag| tag.as_str() == self.our_tag.as_str())
            && self
                .their_tag
                .as_deref()
                .is_some_and(|theirs| request.from_tag().is_some_and(|tag| tag.as_str() == theirs))
    }

    /// Whether Meta's proxies find this call for an in-dialog request: Request-URI and Route set
    /// byte for byte (Meta reference 5.2, points 2 and 4). Says what is wrong.
    pub(crate) fn misrouted(&self, request: &Request, routes: &[String; 2]) -> Option<String> {
        let method = request.method.to_string();
        let uri = request.uri.as_str().to_owned();
        if uri != self.contact {
            return Some(format!(
                "{method} Request-URI is {uri}, not our Contact {}",
                self.contact
            ));
        }
        let got: Vec<String> = request
            .headers
            .list(&Name::Route)
            .map(|r| r.as_str().trim().to_owned())
            .collect();
        if got != routes[..] {
            return Some(format!("{method} Route set is {got:?}, not {routes:?}"));
        }
        None
    }

    /// Whether the call is past any exchange.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

/// A header value as text; empty when missing.
pub(crate) fn text(value: Option<&sip::Text>) -> String {
    value
        .map(|value| value.as_str().into_owned())
        .unwrap_or_default()
}
