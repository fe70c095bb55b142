//! Why a call ended: one [`Cause`] travels through the whole house, and SIP status, Q.850 code,
//! text and metric label are *views* of it.

use std::fmt;
use std::time::Duration;

use sdp::Side;

use crate::number::Said;

/// Why a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Somebody hung up an answered call.
    Normal,
    /// The caller gave up before the answer.
    Cancelled,
    /// Nobody answered in time; our timer fired.
    NoAnswer,
    /// The called number is not configured here.
    UnknownNumber,
    /// The caller is not one we take calls from, or may not call this way.
    Forbidden,
    /// A trunk that leads to the public telephone network may not carry this call.
    PstnForbidden,
    /// The digest answer of the caller was wrong.
    BadCredentials,
    /// The peer challenged us again after our answer: the password is wrong or missing.
    CredentialsRefused {
        /// The leg whose peer refused them.
        by: Side,
    },
    /// Offer and answer have nothing in common; the text says what is missing.
    NoCommonMedia(String),
    /// The other leg's peer refused the call.
    Refused {
        /// The leg whose peer refused.
        by: Side,
        /// Its final status.
        status: u16,
        /// Its reason phrase, or the longer text of its Warning.
        text: String,
        /// What that refusal means.
        meaning: Refusal,
    },
    /// No connection to the peer, or it was lost before an answer.
    Unreachable {
        /// The leg that could not be reached.
        leg: Side,
        /// What the network said.
        why: String,
    },
    /// The peer gave no sign of life within 64·T1 (RFC 3261 timer B).
    Timeout {
        /// The silent leg.
        leg: Side,
    },
    /// Our 200 was never acknowledged (RFC 3261 §13.3.1.4).
    NoAck,
    /// A provisional response of ours was never acknowledged (RFC 3262 §3).
    NoPrack,
    /// Nobody refreshed the session of this leg in time (RFC 4028 §10).
    SessionExpired(Side),
    /// An answered leg sent neither RTP nor RTCP for too long.
    MediaSilent(Side),
    /// No ports, or the media engine refused the plan.
    MediaFailed(String),
    /// The user already has a call with the number.
    UserBusy,
    /// The trunk takes no calls at this time of day.
    Closed,
    /// The trunk is called where it has registered, and it has not.
    NotRegistered,
    /// A configured limit was reached.
    Limit(&'static str),
    /// The operator took the number or the trunk out of service.
    OutOfService {
        /// Callers are to hear busy.
        busy: bool,
    },
    /// The machine has more to do than it can.
    Overload,
    /// We are going out of service.
    Draining,
    /// The operator ended the call.
    Operator,
    /// A broken invariant of ours.
    Bug,
}

/// What a peer's refusal means for the other leg and for the operator.
///
/// A row of a table kept as data ([`RefusalRule`]): what is peculiar to a peer is never code here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable label for records and metrics.
    pub label: &'static str,
    /// The status the other leg gets.
    pub sip: u16,
    /// The Q.850 cause the other leg and the record get.
    pub q850: u8,
    /// What the operator should know or do; empty when there is nothing to do.
    pub hint: &'static str,
    /// Whether somebody has to mend something: logged as a warning.
    pub alarm: bool,
    /// The peer's trouble passes: the call is tried once more after a pause between these two.
    pub again: Option<(Duration, Duration)>,
}

/// One row of a peer's table of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalRule {
    /// The status it applies to.
    pub status: u16,
    /// A part of the reason phrase or Warning text, lower case; `None` fits any text.
    pub text: Option<&'static str>,
    /// What it means.
    pub meaning: Refusal,
}

/// The meaning of `status` with `text` by the first fitting row, else by RFC 3398 §8.2.
pub fn meaning(rules: &[RefusalRule], status: u16, text: &str) -> Refusal {
    let lower = text.to_ascii_lowercase();
    rules
        .iter()
        .find(|rule| rule.status == status && rule.text.is_none_or(|part| lower.contains(part)))
        .map_or_else(|| generic(status), |rule| rule.meaning)
}

/// RFC 3398 §8.2.6.1, folded to what a caller can act on.
fn generic(status: u16) -> Refusal {
    let (label, sip, q850) = match status {
        404 | 410 | 604 => ("not_found", 404, 1),
        408 | 504 => ("peer_timeout", 480, 102),
        480 => ("unavailable", 480, 18),
        486 | 600 => ("busy", 486, 17),
        487 => ("cancelled", 487, 16),
        403 | 603 => ("declined", 603, 21),
        415 | 488 | 606 => ("media_refused", 488, 88),
        484 => ("incomplete_number", 484, 28),
        503 => ("peer_unavailable", 503, 41),
        500..=599 => ("peer_error", 500, 41),
        300..=399 => ("redirected", 480, 31),
        _ => ("peer_refused", 480, 31),
    };
    Refusal {
        label,
        sip,
        q850,
        hint: "",
        alarm: false,
        again: None,
    }
}

impl Cause {
    /// The cause with its details for a log: numbers a peer named in its refusal are redacted.
    pub fn said(&self) -> String {
        Said(&self.to_string()).to_string()
    }

    /// The status a leg that waits for a final answer gets.
    pub fn sip(&self) -> u16 {
        match self {
            Cause::Normal | Cause::Operator => 480,
            Cause::Cancelled => 487,
            Cause::NoAnswer | Cause::Closed | Cause::NotRegistered => 480,
            Cause::UserBusy | Cause::OutOfService { busy: true } => 486,
            Cause::OutOfService { busy: false } => 503,
            Cause::UnknownNumber => 404,
            Cause::Forbidden | Cause::BadCredentials | Cause::PstnForbidden => 403,
            Cause::CredentialsRefused { .. } => 500,
            Cause::NoCommonMedia(_) => 488,
            Cause::Refused { meaning, .. } => meaning.sip,
            Cause::Unreachable { .. } | Cause::Timeout { .. } => 503,
            Cause::NoAck | Cause::MediaSilent(_) | Cause::SessionExpired(_) => 408,
            Cause::NoPrack => 504,
            Cause::MediaFailed(_) | Cause::Limit(_) | Cause::Overload | Cause::Draining => 503,
            Cause::Bug => 500,
        }
    }

    /// The Q.850 cause for `Reason` headers and the record.
    pub fn q850(&self) -> u8 {
        match self {
            Cause::Normal | Cause::Cancelled | Cause::Operator => 16,
            Cause::NoAnswer => 19,
            Cause::Closed | Cause::NotRegistered => 20,
            Cause::UserBusy | Cause::OutOfService { busy: true } => 17,
            Cause::OutOfService { busy: false } => 27,
            Cause::UnknownNumber => 1,
            Cause::Forbidden | Cause::BadCredentials => 21,
            Cause::PstnForbidden => 57,
            Cause::CredentialsRefused { .. }
            | Cause::Unreachable { .. }
            | Cause::Timeout { .. } => 38,
            Cause::NoCommonMedia(_) => 88,
            Cause::Refused { meaning, .. } => meaning.q850,
            Cause::NoAck | Cause::NoPrack | Cause::MediaSilent(_) | Cause::SessionExpired(_) => 102,
            Cause::MediaFailed(_) => 47,
            Cause::Limit(_) | Cause::Overload | Cause::Draining => 42,
            Cause::Bug => 41,
        }
    }

    /// A stable label for metrics and records; dashboards depend on it.
    pub fn label(&self) -> &'static str {
        match self {
            Cause::Normal => "normal",
            Cause::Cancelled => "cancelled",
            Cause::NoAnswer => "no_answer",
            Cause::Closed => "closed",
            Cause::NotRegistered => "not_registered",
            Cause::UserBusy => "user_busy",
            Cause::UnknownNumber => "unknown_number",
            Cause::Forbidden => "forbidden",
            Cause::PstnForbidden => "pstn_forbidden",
            Cause::BadCredentials => "bad_credentials",
            Cause::CredentialsRefused { .. } => "credentials_refused",
            Cause::NoCommonMedia(_) => "no_common_media",
            Cause::Refused { meaning, .. } => meaning.label,
            Cause::Unreachable { .. } => "unreachable",
            Cause::Timeout { .. } => "timeout",
            Cause::NoAck => "no_ack",
            Cause::NoPrack => "no_prack",
            Cause::SessionExpired(_) => "session_expired",
            Cause::MediaSilent(_) => "media_silent",
            Cause::MediaFailed(_) => "media_failed",
            Cause::Limit(_) => "limit",
            Cause::OutOfService { busy: true } => "busied_out",
            Cause::OutOfService { busy: false } => "out_of_service",
            Cause::Overload => "overload",
            Cause::Draining => "draining",
            Cause::Operator => "operator",
            Cause::Bug => "bug",
        }
    }

    /// Whether the way to the peer is to blame, not the peer.
    pub(crate) fn is_of_the_way(&self) -> bool {
        matches!(self, Cause::Unreachable { .. } | Cause::Timeout { .. })
    }

    /// Whether another destination of the same peer may take the call: the way is to blame, or the
    /// destination said that it has trouble of its own.
    pub(crate) fn is_of_the_destination(&self) -> bool {
        let trouble = |status| matches!(status, 408 | 500 | 502..=504);
        match self {
            Cause::Refused { status, .. } => trouble(*status),
            _ => self.is_of_the_way(),
        }
    }

    /// Whether somebody has to mend something.
    pub fn is_alarm(&self) -> bool {
        match self {
            Cause::Refused { meaning, .. } => meaning.alarm,
            Cause::CredentialsRefused { .. }
            | Cause::Unreachable { .. }
            | Cause::NoAck
            | Cause::SessionExpired(_)
            | Cause::MediaFailed(_)
            | Cause::Bug => true,
            _ => false,
        }
    }

    /// What the operator should know or do; empty when there is nothing to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Cause::Refused { meaning, .. } => meaning.hint,
            Cause::CredentialsRefused { .. } => {
                "the password configured for the number is not the one the peer expects"
            }
            Cause::NoAck => {
                "the peer never saw our 200: look for a box that rewrites Record-Route or Contact"
            }
            Cause::SessionExpired(_) => {
                "the peer no longer refreshes its session: it lost the call, or the way to it"
            }
            Cause::PstnForbidden => "PSTN leg not allowed",
            Cause::NoCommonMedia(_) => {
                "keying has to be what the number, and towards the PBX `srtp` of the trunk, is configured for, and the codecs of number, trunk and peers have to meet"
            }
            Cause::Unreachable { .. } => {
                "no connection to the peer: it is down, its name is not found, or a firewall is between"
            }
            Cause::Timeout { .. } => {
                "the peer is silent: does it run, does it know us as a peer, does a firewall swallow its answers?"
            }
            Cause::MediaSilent(_) => {
                "no packet came from that leg: the media range is closed, the address we announce is not the outer one, or the peer is behind a NAT"
            }
            Cause::MediaFailed(_) => {
                "no media port could be had: widen the range of media ports, or allow fewer calls at once"
            }
            Cause::Limit(_) => {
                "as many calls as the configuration allows: raise the limit named if machine and PBX bear it"
            }
            _ => "",
        }
    }
}

/// Whole, with the words of whoever refused: for the record. Only [`Cause::said`] is fit for a log.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        match self {
            Cause::Refused {
                by, status, text, ..
            } => write!(f, " (leg {by:?}: {status} {text})"),
            Cause::Unreachable { leg, why } => write!(f, " (leg {leg:?}: {why})"),
            Cause::Timeout { leg } | Cause::CredentialsRefused { by: leg } => {
                write!(f, " (leg {leg:?})")
            }
            Cause::MediaSilent(side) | Cause::SessionExpired(side) => write!(f, " (leg {side:?})"),
            Cause::NoCommonMedia(why) | Cause::MediaFailed(why) => write!(f, " ({why})"),
            Cause::Limit(which) => write!(f, " ({which})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[RefusalRule] = &[
        RefusalRule {
            status: 403,
            text: Some("permission"),
            meaning: Refusal {
                label: "no_permission",
                sip: 403,
                q850: 21,
                hint: "",
                alarm: false,
                again: None,
            },
        },
        RefusalRule {
            status: 403,
            text: None,
            meaning: Refusal {
                label: "other_403",
                sip: 500,
                q850: 38,
                hint: "look",
                alarm: true,
                again: None,
            },
        },
    ];

    #[test]
    fn rows_of_one_status_are_told_apart_by_their_text() {
        assert_eq!(
            meaning(RULES, 403, "No Approved Call PERMISSION found").label,
            "no_permission"
        );
        assert_eq!(meaning(RULES, 403, "something else").label, "other_403");
    }

    #[test]
    fn a_status_without_a_row_is_mapped_by_rfc_3398() {
        assert_eq!(
            (meaning(RULES, 486, "").sip, meaning(RULES, 486, "").q850),
            (486, 17)
        );
        assert_eq!(meaning(RULES, 404, "").q850, 1);
        assert_eq!(meaning(RULES, 599, "").sip, 500);
    }
}
