//! What a peer tells about its calls: one event, one JSON line.
//!
//! The demo and the end-to-end tests read these lines; scenes read the values.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sip::{Name, Response};

/// One event of one peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Milliseconds since the peer started.
    pub at_ms: u64,
    /// Which peer: `meta` or `pbx`.
    pub peer: &'static str,
    /// The peer's own number of the call, from 1; 0 when it belongs to none.
    pub call: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The peer listens (real sockets only): its addresses.
    Listening {
        /// Address of the SIP socket.
        address: String,
        /// `udp`, `tcp` or `tls`.
        transport: &'static str,
    },
    /// A call starts: an INVITE was sent or received.
    Started {
        /// Whether this peer placed it.
        placed: bool,
        /// Call-ID.
        call_id: String,
        /// User part of From.
        from: String,
        /// User part of the Request-URI.
        to: String,
        /// Extension headers (`X-…`) of a received INVITE: lower-case name to value.
        headers: BTreeMap<String, String>,
    },
    /// We were challenged (401 or 407) and answered, or challenged the far side.
    Challenged {
        /// 401 or 407.
        status: u16,
        /// Whether the far side challenged us.
        by_far: bool,
    },
    /// A provisional response: received when we called, sent when we were called.
    Progress {
        /// 100 to 199.
        status: u16,
        /// Whether it had a body.
        body: bool,
    },
    /// The call was answered.
    Answered {
        /// Milliseconds from the first INVITE.
        after_ms: u64,
        /// The audio codec agreed on.
        codec: String,
    },
    /// The ACK to the 200 came or went.
    Confirmed,
    /// The 200 was not acknowledged, by our strictness (`refused`) or by the far side.
    Unconfirmed {
        /// Whether we kept our ACK back because of what the 200 said.
        refused: bool,
    },
    /// A final response that is no success: received when we called, sent when we were called.
    Refused {
        /// 300 to 699.
        status: u16,
        /// Reason phrase.
        reason: String,
        /// Value of a Reason header, where there was one.
        cause: Option<String>,
    },
    /// A CANCEL.
    Cancelled {
        /// Whether the far side sent it.
        by_far: bool,
    },
    /// A BYE.
    Bye {
        /// Whether the far side sent it.
        by_far: bool,
        /// Whether it came or went over another connection than the INVITE.
        new_connection: bool,
        /// Value of a Reason header, where there was one.
        cause: Option<String>,
    },
    /// The answer to our BYE.
    ByeAnswered {
        /// Its status.
        status: u16,
    },
    /// A NOTIFY told how a transfer of ours goes.
    Notified {
        /// The status in its sipfrag.
        status: u16,
        /// Whether it was the last word.
        over: bool,
    },
    /// We answered a request otherwise than with success.
    Rejected {
        /// Its method.
        method: String,
        /// Our status.
        status: u16,
    },
    /// The far side broke a rule.
    Violation {
        /// Which one, in words.
        rule: String,
    },
    /// A request no peer may send here (REGISTER, re-INVITE, UPDATE, …).
    Forbidden {
        /// Its method; `re-INVITE` for an INVITE inside a dialog.
        method: String,
    },
    /// A request was not answered in time, or its connection failed.
    Failed {
        /// What and why.
        why: String,
    },
    /// The first media packet of the far side came.
    FirstPacket {
        /// Milliseconds from the answer (negative: before it).
        after_ms: i64,
    },
    /// A whole digit came (RFC 4733).
    Digit {
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
        /// Its length.
        duration_ms: u32,
    },
    /// No media came for too long.
    MediaTimeout {
        /// How long none came.
        silent_ms: u64,
    },
    /// What was heard, at the end of a call with audio.
    Heard(Heard),
    /// What was counted, before the peer exits.
    Summary {
        /// Calls that are over.
        calls: u64,
        /// The answered ones of them.
        answered: u64,
        /// Rules broken by the far side.
        violations: u64,
        /// Requests nobody may send.
        forbidden: u64,
        /// Calls still up.
        open: u64,
    },
    /// A line command was not understood.
    Misunderstood {
        /// The line.
        line: String,
    },
    /// The call is over.
    Ended(Ended),
}

impl What {
    /// A refusal as it came.
    pub(crate) fn refused(response: &Response) -> What {
        let cause = response.headers.first(&Name::Reason);
        What::Refused {
            status: response.status,
            reason: response.reason.as_str().into_owned(),
            cause: cause.map(|text| text.as_str().into_owned()),
        }
    }
}

/// What one end heard during a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Heard {
    /// RTP packets received and understood.
    pub packets: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// The longest silence between two audio packets, in milliseconds.
    pub longest_gap_ms: u64,
    /// Gaps in the *tone* longer than 40 ms, once it had begun.
    pub tone_gaps: u32,
    /// The longest of them, in milliseconds.
    pub longest_tone_gap_ms: u64,
    /// The tone that was expected, Hz.
    pub expected_hz: Option<f64>,
    /// Whether the expected tone was there in at least nine of ten windows between its first and its last.
    pub tone_found: bool,
    /// Share of the windows with the expected tone, 0.0 to 1.0.
    pub tone_share: f64,
    /// How much of the expected tone was heard in all, in milliseconds.
    pub tone_ms: u64,
    /// Level of the expected tone in dBFS of a full-scale sine; `-120` where it never was.
    pub level_db: f64,
    /// Level difference to the tone as it was generated, dB.
    pub level_error_db: f64,
    /// Milliseconds from the answer to the first window with the expected tone.
    pub first_tone_ms: Option<i64>,
    /// Packets that failed authentication, had no known payload type, or were no RTP.
    pub bad: u64,
    /// RTCP packets received.
    pub rtcp: u64,
    /// Different SSRCs received.
    pub ssrcs: u32,
    /// Digits received.
    pub digits: String,
}

/// The last word about a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ended {
    /// Whether it was answered.
    pub answered: bool,
    /// Whether the ACK of the answer came, or went.
    pub confirmed: bool,
    /// Who ended it: `us`, `far`, `timeout`, `refused`, `failed`.
    pub by: &'static str,
    /// Final status of the INVITE, 0 without one.
    pub status: u16,
    /// Milliseconds from the answer to the end.
    pub duration_ms: u64,
    /// Rules the far side broke in this call.
    pub violations: u32,
}

/// The extension headers of a request.
pub(crate) fn extensions(headers: &sip::Headers) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_ascii_lowercase(),
                value.as_str().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with("x-"))
        .collect()
}

/// Milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Report {
    /// One line of JSON without the line end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| format!("{{\"event\":\"unprintable\",\"why\":\"{error}\"}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_flat_line() {
        let report = Report {
            at_ms: 12,
            peer: "meta",
            call: 1,
            what: What::ByeAnswered { status: 404 },
        };
        assert_eq!(
            report.to_line(),
            r#"{"at_ms":12,"peer":"meta","call":1,"event":"bye_answered","status":404}"#
        );
        let report = Report {
            at_ms: 0,
            peer: "pbx",
            call: 2,
            what: What::Heard(Heard::default()),
        };
        assert!(
            report
                .to_line()
                .starts_with(r#"{"at_ms":0,"peer":"pbx","call":2,"event":"heard","packets":0"#)
        );
    }
}
