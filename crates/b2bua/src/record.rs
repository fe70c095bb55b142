//! The record of a call (a CDR): exactly one for every admitted INVITE, written when it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sdp::report::MediaReport;
use sdp::{Codec, Side, Suite};

use crate::call_id::CallId;
use crate::cause::Cause;
use crate::number::E164;

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// A user of the carrier called the business.
    UserInitiated,
    /// The business called a user of the carrier.
    BusinessInitiated,
}

impl Direction {
    /// A stable label for records and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Direction::UserInitiated => "user_initiated",
            Direction::BusinessInitiated => "business_initiated",
        }
    }

    /// The side the carrier is on.
    pub const fn carrier(self) -> Side {
        match self {
            Direction::UserInitiated => Side::A,
            Direction::BusinessInitiated => Side::B,
        }
    }
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleasedBy {
    /// The carrier or its user.
    Carrier,
    /// The PBX.
    Pbx,
    /// We: a timer, a limit, an error, the operator.
    Us,
}

impl ReleasedBy {
    /// A stable label for records.
    pub const fn label(self) -> &'static str {
        match self {
            ReleasedBy::Carrier => "carrier",
            ReleasedBy::Pbx => "pbx",
            ReleasedBy::Us => "sbc",
        }
    }
}

/// What one leg agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegMedia {
    /// Its audio codec.
    pub codec: Codec,
    /// Its SRTP suite; `None` for plain RTP.
    pub suite: Option<Suite>,
}

/// The record of one call.
#[derive(Clone, Debug)]
pub struct Record {
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
    /// It leads to the public telephone network.
    pub pstn: bool,
    /// When the INVITE was admitted.
    pub started: SystemTime,
    /// When the called side first rang.
    pub ringing: Option<SystemTime>,
    /// When the called side answered.
    pub answered: Option<SystemTime>,
    /// When the call ended.
    pub ended: SystemTime,
    /// From answer to end by our clock; zero when unanswered.
    pub duration: Duration,
    /// The duration the carrier told, in seconds.
    pub carrier_duration: Option<u64>,
    /// Six-second pulses of an answered business-initiated call, fractions rounded up; by the
    /// carrier's duration where it told one.
    pub pulses: Option<u64>,
    /// Who ended it.
    pub released_by: ReleasedBy,
    /// Why it ended.
    pub cause: Cause,
    /// What each leg agreed on, by [`Side::index`]; leg A is the caller's.
    pub legs: [Option<LegMedia>; 2],
    /// The carrier's metadata: lower-case header name to value.
    pub metadata: BTreeMap<String, String>,
    /// What media measured.
    pub media: MediaReport,
    /// Digits that came from each side, by [`Side::index`].
    pub digits: [u32; 2],
}

impl Record {
    /// The side the carrier is on.
    pub fn carrier_side(&self) -> Side {
        self.direction.carrier()
    }

    /// From the moment packets might go to a leg to the first that carried the other leg's audio.
    pub fn answer_to_first_audio(&self, to: Side) -> Option<Duration> {
        self.media.legs[to.index()].first_audio_sent
    }
}

/// Six-second pulses, fractions rounded up.
pub(crate) fn pulses(duration: Duration) -> u64 {
    const PULSE: u128 = 6_000;
    u64::try_from(duration.as_millis().div_ceil(PULSE)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_pulse_are_rounded_up() {
        let of = |millis| pulses(Duration::from_millis(millis));
        assert_eq!(
            [of(0), of(1), of(6_000), of(6_001), of(56_000)],
            [0, 1, 1, 2, 10]
        );
    }
}
