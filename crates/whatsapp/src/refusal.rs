//! What Meta's refusals mean, for the other leg, for the operator, and for trying again
//! (Meta reference 8).
//!
//! Refusals of one status are told apart by their reason phrase or `Warning: 399` text. Only a few
//! of the texts are printed anywhere, so they are matched by a part, without case; a 403 of an
//! unknown text has a row of its own.

use std::time::Duration;

use b2bua::cause::{Refusal, RefusalRule};

use crate::facts;

/// Whether calling again helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It does not, or would count against the business as another unanswered call.
    Never,
    /// Once, after a pause between these two; by another address of Meta's where there is one.
    Once {
        /// The shortest pause.
        least: Duration,
        /// The longest pause.
        most: Duration,
    },
    /// Once, if the password could be read anew and has changed.
    OnceWithNewPassword,
    /// Not before the limit frees, up to 24 hours later.
    WhenLimitFrees,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the core reads of it.
    pub rule: RefusalRule,
    /// Whether calling again helps.
    pub retry: Retry,
}

/// The row that fits a final answer of Meta, given the reason phrase or Warning text. The first
/// fitting one counts; `None` for what has no row.
pub fn row(status: u16, text: &str) -> Option<&'static Row> {
    let lower = text.to_ascii_lowercase();
    TABLE.iter().find(|row| {
        row.rule.status == status && row.rule.text.is_none_or(|part| lower.contains(part))
    })
}

/// Whether calling again helps after that answer; what has no row is not tried again.
pub fn retry(status: u16, text: &str) -> Retry {
    row(status, text).map_or(Retry::Never, |row| row.retry)
}

const ONCE: Retry = Retry::Once {
    least: facts::RETRY_AFTER_LEAST,
    most: facts::RETRY_AFTER_MOST,
};

/// The table, most telling rows of a status first.
pub const TABLE: [Row; 18] = [
    Row {
        rule: alarming(
            400,
            Some("invalid business phone number"),
            ("unknown_business_number", 500, 38),
            "Meta knows no business number like the one in From: compare the number with the one registered, sign by sign",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            Some("does not match any sip server"),
            ("from_domain_mismatch", 500, 38),
            "the domain in From is not the SIP server configured at Meta for this phone number id, nor above it: correct one of the two",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: quiet(
            403,
            Some("no approved call permission"),
            ("no_call_permission", 403, 21),
            "the user has not permitted calls of this number, or is not on WhatsApp: send a permission request first",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            Some("is not authorized for phone number"),
            ("app_not_authorized", 500, 38),
            "the app that configured the SIP server lacks whatsapp_business_messaging on the number: add the SIP server again with a token of the right app",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: quiet(
            403,
            Some("per day limit"),
            ("daily_limit", 403, 21),
            "this user has had all connected calls of the business that Meta allows in 24 hours",
        ),
        retry: Retry::WhenLimitFrees,
    },
    Row {
        rule: quiet(
            403,
            Some("duplicate call"),
            ("duplicate_call", 486, 17),
            "a call between this number and this user is already up",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            Some("auth uri does not match"),
            ("digest_uri_mismatch", 500, 38),
            "the uri of our digest and our To differ: something on the way rewrites one of them, or it is our fault",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            Some("digest"),
            ("wrong_password", 500, 38),
            "the SIP password is wrong or was reset: read it again with include_sip_credentials and configure it",
        ),
        retry: Retry::OnceWithNewPassword,
    },
    Row {
        rule: alarming(
            403,
            Some("payment"),
            ("no_payment_method", 503, 38),
            "the business account has no valid payment method: nobody can be called until it has",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            Some("sdp"),
            ("sdp_refused", 488, 88),
            "Meta refuses our offer: read back srtp_key_exchange_protocol of the number, it must be SDES",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            403,
            None,
            ("refused_by_meta", 403, 21),
            "a refusal Meta does not document: its text says why",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            404,
            None,
            ("request_uri_refused", 404, 1),
            "Meta found no such address: the host of the Request-URI must be its domain, never an IP address",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            408,
            Some("rtp timeout"),
            ("rtp_timeout", 408, 102),
            "the user's app received no media from us: look for a firewall or NAT in the way of our RTP",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: quiet(
            480,
            None,
            ("user_unavailable", 480, 18),
            "the user was not reached or did not answer; four unanswered calls in a row cost the permission",
        ),
        retry: Retry::Never,
    },
    Row {
        // Not "busy": 603 keeps a PBX from calling back as soon as the line is free.
        rule: quiet(
            486,
            None,
            ("user_declined", 603, 21),
            "the user declined; four unanswered calls in a row cost the permission",
        ),
        retry: Retry::Never,
    },
    Row {
        rule: quiet(487, None, ("cancelled", 487, 16), ""),
        retry: Retry::Never,
    },
    Row {
        rule: alarming(
            500,
            None,
            ("meta_error", 500, 41),
            "an error at Meta's; when every call ends so, look for a missing + in From or Request-URI",
        ),
        retry: ONCE,
    },
    Row {
        rule: alarming(
            503,
            None,
            ("meta_unavailable", 503, 41),
            "Meta is out of service or overloaded",
        ),
        retry: ONCE,
    },
];

/// The rows as the core takes them.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where out of bounds is an error"
)]
pub const RULES: [RefusalRule; TABLE.len()] = {
    let mut rules = [TABLE[0].rule; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        rules[at] = TABLE[at].rule;
        if let Retry::Once { least, most } = TABLE[at].retry {
            rules[at].meaning.again = Some((least, most));
        }
        at += 1;
    }
    rules
};

/// A row nobody has to act on.
const fn quiet(
    status: u16,
    text: Option<&'static str>,
    (label, sip, q850): (&'static str, u16, u8),
    hint: &'static str,
) -> RefusalRule {
    let meaning = Refusal {
        label,
        sip,
        q850,
        hint,
        alarm: false,
        again: None,
    };
    RefusalRule {
        status,
        text,
        meaning,
    }
}

/// A row somebody has to act on.
const fn alarming(
    status: u16,
    text: Option<&'static str>,
    (label, sip, q850): (&'static str, u16, u8),
    hint: &'static str,
) -> RefusalRule {
    let meaning = Refusal {
        label,
        sip,
        q850,
        hint,
        alarm: true,
        again: None,
    };
    RefusalRule {
        status,
        text,
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use b2bua::cause::meaning;

    /// Status and reason phrase of a sample.
    fn sample(name: &str) -> (u16, String) {
        let path = format!("{}/../sim/samples/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the sample is there");
        let line = text.lines().next().expect("a status line");
        let mut words = line.splitn(3, ' ').skip(1);
        let status = words
            .next()
            .and_then(|word| word.parse().ok())
            .expect("a status");
        (status, words.next().unwrap_or_default().to_owned())
    }

    #[test]
    fn every_published_refusal_is_understood() {
        let cases = [
            (
                "error-400-invalid-number.sip",
                "unknown_business_number",
                500,
                38,
                true,
            ),
            (
                "error-403-app-not-authorized.sip",
                "app_not_authorized",
                500,
                38,
                true,
            ),
            ("error-403-daily-limit.sip", "daily_limit", 403, 21, false),
            (
                "error-403-digest-uri.sip",
                "digest_uri_mismatch",
                500,
                38,
                true,
            ),
            ("error-403-digest.sip", "wrong_password", 500, 38, true),
            (
                "error-403-domain-mismatch.sip",
                "from_domain_mismatch",
                500,
                38,
                true,
            ),
            (
                "error-403-duplicate-call.sip",
                "duplicate_call",
                486,
                17,
                false,
            ),
            (
                "error-403-no-permission.sip",
                "no_call_permission",
                403,
                21,
                false,
            ),
            ("error-403-payment.sip", "no_payment_method", 503, 38, true),
            ("error-403-register.sip", "refused_by_meta", 403, 21, true),
            ("error-403-sdp.sip", "sdp_refused", 488, 88, true),
            (
                "error-404-ip-request-uri.sip",
                "request_uri_refused",
                404,
                1,
                true,
            ),
            ("error-408-rtp-timeout.sip", "rtp_timeout", 408, 102, true),
            ("error-480.sip", "user_unavailable", 480, 18, false),
            ("error-486.sip", "user_declined", 603, 21, false),
            ("error-487.sip", "cancelled", 487, 16, false),
            ("error-500-reinvite.sip", "meta_error", 500, 41, true),
            ("error-503.sip", "meta_unavailable", 503, 41, true),
        ];
        for (name, label, sip, q850, alarm) in cases {
            let (status, text) = sample(name);
            let meaning = meaning(&RULES, status, &text);
            assert_eq!(
                (meaning.label, meaning.sip, meaning.q850, meaning.alarm),
                (label, sip, q850, alarm),
                "{name}"
            );
        }
    }

    #[test]
    fn the_wording_may_differ_in_case_and_around_the_core() {
        for (text, label) in [
            ("NO APPROVED CALL PERMISSION FOUND", "no_call_permission"),
            (
                "(#403) Duplicate call: one active call per pair",
                "duplicate_call",
            ),
            (
                "Proxy auth uri does not match SIP \"to\" uri",
                "digest_uri_mismatch",
            ),
            (
                "Connected Call Per Day Limit hit for the number",
                "daily_limit",
            ),
            ("something new", "refused_by_meta"),
            ("", "refused_by_meta"),
        ] {
            assert_eq!(meaning(&RULES, 403, text).label, label, "{text}");
        }
    }

    #[test]
    fn only_outages_new_passwords_and_time_are_worth_another_call() {
        assert_eq!(retry(503, "Service Unavailable"), ONCE);
        assert_eq!(retry(500, "Internal Server Error"), ONCE);
        assert_eq!(
            retry(403, "Invalid digest auth response"),
            Retry::OnceWithNewPassword
        );
        assert_eq!(
            retry(403, "Business Initiated Connected Call Per Day Limit Hit"),
            Retry::WhenLimitFrees
        );
        for (status, text) in [
            (403, "No Approved Call Permission Found"),
            (480, ""),
            (486, ""),
            (487, ""),
            (408, "RTP Timeout"),
            (420, ""),
            (606, ""),
        ] {
            assert_eq!(retry(status, text), Retry::Never, "{status} {text}");
        }
    }

    #[test]
    fn a_status_without_a_row_is_left_to_the_general_mapping() {
        assert_eq!(row(408, "Request Timeout"), None);
        assert_eq!(row(400, "Bad Request"), None);
        assert_eq!(meaning(&RULES, 488, "Not Acceptable Here").q850, 88);
    }

    #[test]
    fn no_row_hides_a_later_one_and_texts_are_lower_case() {
        for (at, row) in TABLE.iter().enumerate() {
            let text = row.rule.text.unwrap_or_default();
            assert_eq!(text, text.to_ascii_lowercase());
            assert_eq!(
                super::row(row.rule.status, text).map(|found| found.rule.meaning.label),
                Some(row.rule.meaning.label),
                "row {at}"
            );
            assert_eq!(RULES[at].meaning.label, row.rule.meaning.label);
            let again = RULES[at].meaning.again.is_some();
            assert_eq!(again, matches!(row.retry, Retry::Once { .. }), "row {at}");
        }
    }

    #[test]
    fn who_is_alarmed_is_told_what_to_do() {
        for row in TABLE {
            let meaning = row.rule.meaning;
            assert!(
                !meaning.alarm || meaning.hint.len() > 20,
                "{}",
                meaning.label
            );
        }
    }
}
