//! Everything about the simulated Meta that can be turned: numbers, moods, scripts.
//!
//! The defaults are as strict as Meta is documented to be.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::digest::Hash;

/// Milliseconds.
const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The simulated Meta.
#[derive(Clone, Debug)]
pub struct MetaSettings {
    /// Its SIP domain: realm, host of users, name of its certificate.
    pub domain: String,
    /// Record-Route values Meta adds, in the order of a user-initiated INVITE (Meta reference 5.2).
    pub routes: [String; 2],
    /// Sent-by of the top Via of its requests.
    pub edge: String,
    /// The business numbers it knows.
    pub numbers: Vec<BusinessNumber>,
    /// How it challenges business-initiated calls.
    pub challenge: ChallengeStyle,
    /// Which digest user names pass for `From` user `+1…` (Meta reference 3.3).
    pub username: PlusRule,
    /// Whether From and Request-URI must carry `+` (else 500).
    pub plus: bool,
    /// The digest `uri` must equal the Request-URI byte for byte, not only in user and host.
    pub strict_uri: bool,
    /// A nonce is known only on the connection it was given on.
    pub nonce_per_connection: bool,
    /// Where media lives.
    pub media: MediaPlace,
    /// A user-initiated call is cancelled when unanswered for so long (Meta reference 6).
    pub answer_window: Duration,
    /// The call ends when no media came for so long after the answer (Meta reference 10.7).
    pub first_media: Duration,
    /// The call ends when no media came for so long later on.
    pub later_media: Duration,
    /// All user-initiated INVITEs over one connection instead of one each. A BYE always opens its own.
    pub shared_connection: bool,
    /// T1 of RFC 3261.
    pub t1: Duration,
    /// What happens to business-initiated calls, unless [`super::MetaPeer::script`] said otherwise.
    pub script: BusinessScript,
    /// Seed of all tags, branches and keys.
    pub seed: u64,
}

/// A business number as Meta has it configured.
#[derive(Clone, Debug)]
pub struct BusinessNumber {
    /// Digits without `+`.
    pub digits: String,
    /// The configured SIP server.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// The password Meta generated.
    pub password: String,
    /// Phone number id.
    pub id: String,
    /// App id.
    pub app: String,
    /// `request_uri_user_params`, in order.
    pub user_params: Vec<(String, String)>,
    /// Whether PCMA and PCMU are enabled.
    pub g711: bool,
}

/// How Meta challenges.
#[derive(Clone, Debug)]
pub struct ChallengeStyle {
    /// 407 or 401.
    pub status: u16,
    /// One challenge for each, in this order.
    pub hashes: Vec<Hash>,
    /// All in one header, joined by a comma.
    pub joined: bool,
    /// Print algorithm names in quotes.
    pub quoted_algorithm: bool,
    /// Leave `algorithm` out of MD5 challenges.
    pub bare_md5: bool,
    /// Answer the first right answer with a new nonce and `stale=true`.
    pub stale_once: bool,
    /// Challenge again without `stale`, for ever.
    pub insatiable: bool,
    /// Answer without Content-Length, as one documented sample does.
    pub no_content_length: bool,
}

/// Which spelling of a number passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlusRule {
    /// Both.
    Either,
    /// Only with `+`.
    With,
    /// Only without.
    Without,
}

/// Where a peer's media lives.
#[derive(Clone, Debug)]
pub struct MediaPlace {
    /// Its address.
    pub address: IpAddr,
    /// First port of the range; even.
    pub first_port: u16,
    /// Number of ports in the range.
    pub ports: u16,
    /// Signalling only: SDP is exchanged, no packet is sent, no timer runs.
    pub silent: bool,
}

/// What is said and done while a call is up. Times count from the answer.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// We send this tone, Hz; silence without.
    pub tone: Option<f64>,
    /// We listen for this tone, Hz.
    pub expect: Option<f64>,
    /// Digits we press.
    pub digits: String,
    /// When the first digit is pressed.
    pub digits_after: Option<Duration>,
    /// When we hang up; never without.
    pub hang_up_after: Option<Duration>,
    /// From when on we send nothing at all.
    pub mute_after: Option<Duration>,
    /// How much is in the packets we send, one after the other and from the beginning again: 10, 20, 40 or 60 ms; 20 without.
    pub packets: Vec<Duration>,
    /// We stall now and then.
    pub stalls: Option<Stalls>,
}

/// A throttled thread, a telephone on Wi-Fi: from time to time nothing leaves, and then all at once that was due meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// From the beginning of one to that of the next. The first comes so long after the answer.
    pub every: Duration,
    /// How long one lasts; no more than half a second.
    pub last: Duration,
}

impl Stalls {
    /// When the stall at this moment is over, both counted from the answer. `None`: there is none.
    pub(crate) fn over(&self, at: Duration) -> Option<Duration> {
        let into = Duration::from_nanos((at.as_nanos() % self.every.as_nanos().max(1)) as u64);
        (at >= self.every && into < self.last).then(|| at - into + self.last)
    }
}

/// A call a WhatsApp user places.
#[derive(Clone, Debug)]
pub struct UserCall {
    /// The business number called, digits.
    pub number: String,
    /// User part of From and Contact: `+` and digits, or a BSUID.
    pub caller: String,
    /// Display name; the caller's digits by default.
    pub display: Option<String>,
    /// The user gives up when unanswered for so long.
    pub cancel_after: Option<Duration>,
    /// The user gives up when it has rung for so long, however long it took to ring.
    pub cancel_ringing_after: Option<Duration>,
    /// Payload of the call button.
    pub cta_payload: Option<String>,
    /// Further header lines, complete.
    pub headers: Vec<String>,
    /// Answer the challenge over another connection.
    pub retry_elsewhere: bool,
    /// Password used instead of the right one.
    pub wrong_password: Option<String>,
    /// Leave telephone-event out of the offer; events are sent with payload type 126 all the same.
    pub no_dtmf_offer: bool,
    /// SRTP suite offered.
    pub suite: String,
    /// What is said.
    pub talk: Talk,
}

/// What happens to a business-initiated call that passed all checks.
#[derive(Clone, Debug)]
pub struct BusinessScript {
    /// 403 and its kin instead of 100.
    pub refuse: Option<(u16, String)>,
    /// Send 100 Trying.
    pub trying: bool,
    /// Provisional response and its delay.
    pub ring: Option<(Duration, u16)>,
    /// A second provisional response with another To tag right after the first (forking inside Meta).
    pub second_tag: bool,
    /// It is the second of them that picks up.
    pub second_answers: bool,
    /// What follows, counted from the INVITE.
    pub then: Then,
    /// On CANCEL, answer the INVITE with 200 all the same: the user picked up in the same moment.
    pub answer_despite_cancel: bool,
    /// What is said.
    pub talk: Talk,
}

/// The end of ringing.
#[derive(Clone, Debug)]
pub enum Then {
    /// The user picks up.
    Answer(Duration),
    /// A final status and its reason.
    Refuse(Duration, u16, String),
    /// Nothing.
    Never,
}

impl Default for MetaSettings {
    fn default() -> Self {
        Self {
            domain: "wa.meta.vc".into(),
            routes: [
                "<sip:wa.meta.vc;transport=tls;lr>".into(),
                "<sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>".into(),
            ],
            edge: "31.13.66.215:5061".into(),
            numbers: Vec::new(),
            challenge: ChallengeStyle::default(),
            username: PlusRule::Either,
            plus: true,
            strict_uri: true,
            nonce_per_connection: true,
            media: MediaPlace::default(),
            answer_window: ms(45_000),
            first_media: ms(20_000),
            later_media: ms(30_000),
            shared_connection: false,
            t1: ms(500),
            script: BusinessScript::default(),
            seed: 1,
        }
    }
}

impl Default for ChallengeStyle {
    fn default() -> Self {
        Self {
            status: 407,
            hashes: vec![Hash::Sha256, Hash::Md5],
            joined: false,
            quoted_algorithm: false,
            bare_md5: false,
            stale_once: false,
            insatiable: false,
            no_content_length: false,
        }
    }
}

impl Default for MediaPlace {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            first_port: 30_000,
            ports: 10_000,
            silent: false,
        }
    }
}

impl Default for BusinessScript {
    fn default() -> Self {
        Self {
            refuse: None,
            trying: true,
            ring: Some((ms(300), 180)),
            second_tag: false,
            second_answers: false,
            then: Then::Answer(ms(1_000)),
            answer_despite_cancel: false,
            talk: Talk::default(),
        }
    }
}

impl BusinessNumber {
    /// A number served by `hostname`, with the ids of the fixtures.
    pub fn new(digits: &str, hostname: &str, port: u16, password: &str) -> Self {
        Self {
            digits: digits.trim_start_matches('+').into(),
            hostname: hostname.into(),
            port,
            password: password.into(),
            id: "106540352242922".into(),
            app: "634974688087057".into(),
            user_params: Vec::new(),
            g711: false,
        }
    }

    /// Whether Meta takes a From domain for this number: the configured hostname or a parent of it.
    pub fn accepts_domain(&self, domain: &str) -> bool {
        let (host, domain) = (
            self.hostname.to_ascii_lowercase(),
            domain.to_ascii_lowercase(),
        );
        host == domain
            || (domain.contains('.')
                && domain.parse::<IpAddr>().is_err()
                && host
                    .strip_suffix(&domain)
                    .is_some_and(|rest| rest.ends_with('.')))
    }
}

impl UserCall {
    /// A plain call.
    pub fn new(caller: &str, number: &str) -> Self {
        Self {
            number: number.trim_start_matches('+').into(),
            caller: caller.into(),
            display: None,
            cancel_after: None,
            cancel_ringing_after: None,
            cta_payload: None,
            headers: Vec::new(),
            retry_elsewhere: false,
            wrong_password: None,
            no_dtmf_offer: false,
            suite: "AES_CM_128_HMAC_SHA1_80".into(),
            talk: Talk::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Meta reference 3.1.
    #[test]
    fn from_domains_match_as_documented() {
        for (hostname, domain, ok) in [
            ("sip.example.com", "sip.example.com", true),
            ("bar.foo.com", "foo.com", true),
            ("foo.com", "bar.foo.com", false),
            ("foo.com", "wa.meta.vc", false),
            ("sip.example.com", "203.0.113.20", false),
            ("xfoo.com", "foo.com", false),
            ("foo.com", "com", false),
        ] {
            assert_eq!(
                BusinessNumber::new("1", hostname, 5061, "").accepts_domain(domain),
                ok,
                "{hostname} {domain}"
            );
        }
    }
}
