//! The facts: one constant each, with where it was read, how far to trust it, the state of the
//! source, and what follows from it.
//!
//! `docs/meta.md` is made from this file.

use std::time::Duration;

/// Where a fact comes from, and so how far to trust it (Meta reference 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Meta's own documentation.
    Documented,
    /// Public copies of Meta's documentation.
    PublicCopy,
    /// Traces and reports of others: real, but anecdotal.
    Field,
    /// Inferred: a working assumption.
    Inferred,
}

impl Origin {
    /// A word for tables.
    pub const fn label(self) -> &'static str {
        match self {
            Origin::Documented => "documented",
            Origin::PublicCopy => "public copy",
            Origin::Field => "field",
            Origin::Inferred => "inferred",
        }
    }
}

/// A fact, for whoever wants to list them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name of its constant.
    pub name: &'static str,
    /// Its value, as `Debug` prints it.
    pub value: String,
    /// What it says.
    pub what: &'static str,
    /// The section of the Meta reference.
    pub section: &'static str,
    /// How far to trust it.
    pub origin: Origin,
    /// The state of its source: year and month.
    pub date: &'static str,
    /// What follows from it.
    pub consequence: &'static str,
}

/// Declares the constants and the list of them in one go, so that no fact lacks a source.
macro_rules! facts {
    ($(
        $(#[doc = $what:literal])+
        [$section:literal $origin:ident $date:literal] $name:ident: $type:ty = $value:expr;
        => $consequence:literal
    )+) => {
        $(
            $(#[doc = $what])+
            #[doc = ""]
            #[doc = concat!("Meta reference ", $section, ", state of ", $date, ". ", $consequence)]
            pub const $name: $type = $value;
        )+

        /// All facts, in the order of the Meta reference.
        pub fn all() -> Vec<Fact> {
            vec![$(Fact {
                name: stringify!($name),
                value: format!("{:?}", $name),
                what: concat!($($what),+).trim_ascii(),
                section: $section,
                origin: Origin::$origin,
                date: $date,
                consequence: $consequence,
            }),+]
        }
    };
}

facts! {
    /// A user without a number is `CC.` and up to this many letters and digits (a BSUID).
    ["1" PublicCopy "2026-06"] BSUID_LONGEST: usize = 128;
    => "A caller need not be a number; From and Contact are never assumed to be digits."

    /// Before the dot of a BSUID stands the user's country in this many letters.
    ["1" PublicCopy "2026-06"] BSUID_COUNTRY_LETTERS: usize = 2;
    => "The form is recognised by it; everything else in a user part is a number or refused."

    /// How every call id of Meta begins.
    ["1" Documented "2025-12"] WACID_PREFIX: &str = "wacid.";
    => "The id is opaque and case-sensitive; it goes into the record and to Meta's support unchanged."

    /// Meta's SIP domain: the host of every Request-URI and To we send.
    ["2" Documented "2025-12"] DOMAIN: &str = "wa.meta.vc";
    => "An IP address in its place is answered 404; its certificate is verified against this name."

    /// Meta's SIP port.
    ["2" Documented "2025-12"] PORT: u16 = 5061;
    => "Connections lead there; it stands in no URI, because no accepted sample has it."

    /// The only transport, as the parameter of a Request-URI.
    ["2" Documented "2025-12"] TRANSPORT: &str = "tls";
    => "TLS in both directions, on the Request-URI but not in To."

    /// The port Meta calls us at when the settings of the number name none.
    ["2" Documented "2025-12"] OUR_DEFAULT_PORT: u16 = 5061;
    => "The default of our listener."

    /// Whether Meta's certificate as a client can be verified.
    ["2" Documented "2025-12"] CLIENT_CERTIFICATE: bool = false;
    => "We request none: the one it would present carries an internal name."

    /// The protocols to offer by ALPN.
    ["2" Field "2026-05"] ALPN: [&str; 0] = [];
    => "None at all: `sip` was answered with alert 120 and the connection closed."

    /// The least time between OPTIONS of ours.
    ["2" Inferred "2026-11"] OPTIONS_INTERVAL: Duration = Duration::from_secs(60);
    => "Any final response counts as alive."

    /// From and Request-URI carry `+` before the digits.
    ["3.3" Documented "2025-12"] FROM_HAS_PLUS: bool = true;
    => "Without it some got 500; a switch per number exists because samples may be edited."

    /// The digest user name carries `+` before the digits.
    ["3.3" Documented "2025-12"] USERNAME_HAS_PLUS: bool = false;
    => "We send the digits alone and accept both."

    /// The realm of Meta's challenge.
    ["4.1" Documented "2025-12"] REALM: &str = "wa.meta.vc";
    => "Our answer repeats whatever realm the challenge names; this one serves the simulator."

    /// The algorithms Meta challenges with, in the order seen.
    ["4.1" Field "2026-05"] CHALLENGE_ALGORITHMS: [&str; 2] = ["SHA-256", "MD5"];
    => "Both are spoken; of several challenges the first supported one is answered."

    /// How long our own challenge may be answered.
    ["4.2" Inferred "2026-11"] NONCE_LIFETIME: Duration = Duration::from_secs(60);
    => "Bound to the Call-ID, not to the connection: the retry may come over another one."

    /// Internal names of Meta that stand in Record-Route.
    ["5.2" Documented "2025-12"] INTERNAL_DOMAIN: &str = "fbinfra.net";
    => "Never resolved: only the first Route is, and Record-Route returns byte for byte."

    /// How long after our 200 the lack of an ACK proves that our Record-Routes were altered.
    ["5.2" Documented "2025-12"] ACK_GIVEN_UP_AFTER: Duration = Duration::from_secs(32);
    => "Audio flows meanwhile, then the call dies: raised as an alarm of its own."

    /// Meta's Allow.
    ["5.3" Documented "2025-12"] META_ALLOWS: &str = "INVITE, ACK, BYE, CANCEL, NOTIFY, OPTIONS";
    => "No UPDATE, PRACK, INFO, REFER: what would need them is done on the other leg."

    /// Our Allow toward Meta.
    ["5.3" Inferred "2026-11"] WE_ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS";
    => "As in the recommended answer; nothing that invites a change in mid-call."

    /// The answer to any re-INVITE.
    ["5.3" Documented "2025-11"] REINVITE_ANSWER: u16 = 500;
    => "Hold, transfer and session refresh of the PBX are answered here, never passed on."

    /// Whether session timers (RFC 4028) can work.
    ["5.4" Inferred "2026-11"] SESSION_TIMER: bool = false;
    => "A refresh would need re-INVITE or UPDATE: we neither offer nor accept one."

    /// A header on all Meta's messages, which anybody can send.
    ["5.5" Documented "2025-12"] EXTERNAL_DOMAIN_HEADER: &str = "X-FB-External-Domain";
    => "Proves nothing and decides nothing."

    /// How the names of Meta's own headers begin.
    ["5.6" Documented "2025-12"] METADATA_PREFIX: &str = "x-wa-meta-";
    => "Any case, `_` like `-`; unknown ones are kept in the record and passed to the PBX."

    /// The header with the call id.
    ["5.6" Documented "2025-12"] WACID_HEADER: &str = "x-wa-meta-wacid";
    => "In the INVITE of a user's call and in Meta's BYE."

    /// What stands before the call id in the Call-ID of a user's call.
    ["5.6" Documented "2025-12"] CALL_ID_PREFIX: &str = "outgoing:";
    => "The call id where the header is missing."

    /// The header of Meta's BYE with the duration of the call in seconds.
    ["5.6" Documented "2025-12"] DURATION_HEADER: &str = "x-wa-meta-call-duration";
    => "Pulses are counted by it where it is there; our own duration is kept beside it."

    /// The header with the payload of a call button.
    ["5.6" Documented "2025-12"] CTA_PAYLOAD_HEADER: &str = "x-wa-meta-cta-payload";
    => "Up to 512 characters of the business's own making, for its PBX."

    /// The header with the payload of a deep link.
    ["5.6" Documented "2025-12"] DEEPLINK_PAYLOAD_HEADER: &str = "x-wa-meta-deeplink-payload";
    => "As above."

    /// How long the user's app waits for our answer, at the least.
    ["6" Documented "2025-12"] ANSWER_WINDOW: Duration = Duration::from_secs(30);
    => "Then the user sees \"Not answered\"; for us it is a CANCEL."

    /// How long the PBX may ring: shorter than the window.
    ["6" Inferred "2026-11"] NO_ANSWER: Duration = Duration::from_secs(25);
    => "The default of a number's no-answer timer; the call is then refused with 480."

    /// Whether media may be sent to Meta before our 200.
    ["6" Documented "2025-12"] EARLY_MEDIA: bool = false;
    => "The app takes the first packet for the answer: the gate is shut until the 200 has left."

    /// How long the user's phone may ring on a call of the business.
    ["7" Inferred "2026-11"] RING_LIMIT: Duration = Duration::from_secs(60);
    => "Meta's own limit is not documented; we give up with CANCEL."

    /// The least wait before the one further attempt after 503.
    ["8" Documented "2025-12"] RETRY_AFTER_LEAST: Duration = Duration::from_secs(2);
    => "And only one, so that an outage does not ring a user twice."

    /// The longest wait before the one further attempt after 503.
    ["8" Documented "2025-12"] RETRY_AFTER_MOST: Duration = Duration::from_secs(5);
    => "A Retry-After of Meta goes first."

    /// Calls at once per business number, both directions together.
    ["9" Documented "2025-12"] CONCURRENT_CALLS: usize = 1_000;
    => "Above it the caller hears \"cannot be placed\" and nothing reaches us; the default limit."

    /// New calls of the business per number in 24 hours.
    ["9" Documented "2025-12"] NEW_BUSINESS_CALLS_PER_DAY: u32 = 10_000;
    => "Above it Meta refuses."

    /// Connected calls of the business to one user in 24 hours.
    ["9" Documented "2025-12"] CONNECTED_PER_PAIR_PER_DAY: u32 = 100;
    => "Older texts say 5 and 10; Meta's own 403 decides."

    /// Calls at once between one business number and one user.
    ["9" Documented "2025-12"] ACTIVE_PER_PAIR: u32 = 1;
    => "A second one is refused as a duplicate."

    /// Milliseconds of audio per packet.
    ["10.1" Documented "2025-12"] PTIME: u8 = 20;
    => "Mandatory: another value fails the call."

    /// Synchronisation sources per direction for the whole call.
    ["10.1" Documented "2025-12"] SSRC_PER_CALL: u32 = 1;
    => "The app plays one source only; SSRC, sequence and timestamps stay continuous toward Meta."

    /// The payload type of Opus in Meta's offers.
    ["10.2" Documented "2025-12"] OPUS_PAYLOAD_TYPE: u8 = 111;
    => "Used in our offers too; answers follow the offer."

    /// Meta's parameters of Opus.
    ["10.2" Documented "2025-12"] OPUS_PARAMETERS: &str = "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";
    => "Repeated in our offers and answers: 20 kbit/s, wideband at most, with in-band FEC."

    /// The SRTP suite of Meta's `a=crypto`.
    ["10.3" Field "2026-05"] SRTP_SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
    => "One line of it in our offers, tag 1, no lifetime, no MKI."

    /// Who sends the first media packet.
    ["10.3" PublicCopy "2026-06"] WE_SEND_FIRST: bool = true;
    => "Silence leaves right after the 200, in both directions of calling; Meta waits for it."

    /// Whether RTP and RTCP share a port.
    ["10.3" Documented "2025-12"] RTCP_MUX: bool = true;
    => "Offered and answered; where the far side does not repeat it, RTCP goes to port + 1."

    /// The payload type of telephone events, even where none were offered.
    ["10.6" Documented "2025-12"] DTMF_PAYLOAD_TYPE: u8 = 126;
    => "Accepted unasked unless mapped otherwise."

    /// The clock of telephone events in Hz.
    ["10.6" Documented "2025-12"] DTMF_CLOCK: u32 = 8_000;
    => "Durations count in it while timestamps keep the audio's clock; events at 48000 are ignored."

    /// Silence of ours at the start after which the app hangs up.
    ["10.7" Documented "2025-12"] SILENCE_AT_START: Duration = Duration::from_secs(20);
    => "Frames of silence flow from the first moment."

    /// Silence of ours later after which the app hangs up.
    ["10.7" Documented "2025-12"] SILENCE_LATER: Duration = Duration::from_secs(30);
    => "They go on while the PBX is quiet; RTCP counts as well."

    /// The longest pause between our RTCP reports during silence.
    ["10.7" Inferred "2026-11"] RTCP_INTERVAL: Duration = Duration::from_secs(5);
    => "Six chances within the 30 s."

    /// Silence of Meta's side, RTP and RTCP, after which we end the call.
    ["10.7" Inferred "2026-11"] INACTIVITY: Duration = Duration::from_secs(20);
    => "The watchdog of the leg toward Meta."

    /// Ports of Meta's media, subject to change.
    ["10.7" Documented "2025-12"] MEDIA_PORTS: [u16; 5] = [40012, 3478, 3480, 3482, 3484];
    => "For firewalls only; the SDP decides."

    /// Whether a call may run over the public telephone network on any leg.
    ["11" Documented "2026-03"] PSTN_ALLOWED: bool = false;
    => "A trunk marked as such is never bridged to (cause 57)."

    /// The unit calls of the business are charged by.
    ["11" Documented "2026-03"] PULSE: Duration = Duration::from_secs(6);
    => "Fractions are rounded up; calls of users are free."

    /// Countries whose business numbers cannot call users.
    ["11" Documented "2026-03"] NO_BUSINESS_CALLS_FROM: [&str; 5] = ["US", "CA", "EG", "VN", "NG"];
    => "The country of the user does not matter."

    /// How long a temporary permission of a user lasts.
    ["12" Documented "2025-11"] PERMISSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);
    => "No event tells its end; the next call is refused with 403."

    /// Unanswered calls in a row after which a permission is revoked.
    ["12" Documented "2025-11"] UNANSWERED_UNTIL_REVOKED: u32 = 4;
    => "So no automatic redial after 480 or a decline."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_names_its_section_date_and_consequence() {
        let facts = all();
        assert!(facts.len() > 50);
        for fact in &facts {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(fact.section.split('.').all(digits), "{}", fact.name);
            let (year, month) = fact.date.split_once('-').expect("year and month");
            assert!(
                digits(year) && digits(month) && fact.date.len() == 7,
                "{}",
                fact.name
            );
            assert!(
                fact.what.ends_with('.') && fact.consequence.ends_with('.'),
                "{}",
                fact.name
            );
        }
    }

    #[test]
    fn facts_stand_in_the_order_of_the_reference() {
        let places: Vec<Vec<u32>> = all()
            .iter()
            .map(|fact| {
                fact.section
                    .split('.')
                    .map(|part| part.parse().expect("a number"))
                    .collect()
            })
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn our_timers_end_before_those_of_the_far_side() {
        assert!(NO_ANSWER < ANSWER_WINDOW);
        assert!(RTCP_INTERVAL * 4 <= SILENCE_AT_START);
        assert!(SILENCE_AT_START < SILENCE_LATER);
        assert!(RETRY_AFTER_LEAST < RETRY_AFTER_MOST);
    }
}
