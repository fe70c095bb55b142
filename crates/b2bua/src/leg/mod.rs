//! Legs: one side of a call each, seen as a conversation.
//!
//! What a call hears from a leg ([`LegEvent`]) says nothing about the protocol below, so another
//! signalling can take SIP's place beside `sip`.

pub(crate) mod sip;

use std::time::Duration;

use bytes::Bytes;

use crate::cause::Cause;

/// What a leg tells its call.
#[derive(Debug)]
pub(crate) enum LegEvent {
    /// The called side is there: it has our call.
    Trying,
    /// The called side makes progress.
    Progress {
        /// 180 to 199.
        status: u16,
        /// Its description of early media; empty where it has none.
        body: Bytes,
        /// Facts the peer told along.
        headers: ::sip::Headers,
        /// The SDP answer of a reliable response (RFC 3262 §5); else empty.
        answer: Bytes,
    },
    /// The called side answered; its answer has been acknowledged.
    Answered {
        /// Its SDP answer; empty if it was told before, reliably.
        body: Bytes,
        /// Facts the peer told along.
        headers: ::sip::Headers,
    },
    /// The caller acknowledged our 200.
    Confirmed {
        /// Its SDP answer, if the 200 carried our offer; else empty.
        body: Bytes,
    },
    /// The caller gave up before the answer.
    Cancelled,
    /// The called side refused with a final status.
    Refused {
        /// 300 to 699.
        status: u16,
        /// Its reason phrase or Warning text.
        text: String,
        /// Its Retry-After (RFC 3261 §20.33).
        retry_after: Option<Duration>,
    },
    /// The leg failed, and not by the peer's word.
    Failed(Cause),
    /// Our answer was never acknowledged.
    NoAck,
    /// The peer hung up.
    Released {
        /// Facts the peer told along.
        headers: ::sip::Headers,
    },
    /// The peer offers to change the media of this leg; the call answers it.
    Reoffered {
        /// Its new SDP offer; `None` asks us to offer.
        offer: Option<Bytes>,
    },
    /// The session is to be refreshed with a re-INVITE: what do we offer?
    WantsRefresh,
    /// The answer to an offer of ours in mid-call (the ACK of an offerless re-INVITE, or a refresh).
    Reanswered {
        /// Its SDP answer.
        body: Bytes,
    },
    /// The peer told a digit in its signalling.
    Pressed {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was pressed.
        duration: Duration,
    },
    /// The peer wants somebody else in its place; the call decides.
    Referred(Box<self::sip::Referral>),
    /// The leg is over; nothing of it is left on the wire.
    Gone,
}
