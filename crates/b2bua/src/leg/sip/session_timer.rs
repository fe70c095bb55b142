//! Session timers (RFC 4028): who refreshes, when, and what happens when nobody does.
//!
//! ```text
//!             2xx with Session-Expires
//!     Off ─────────────────────────────► Running ──── half the interval, if we refresh ──► refresh
//!      ▲                                    │  ▲                                            │
//!      │ 2xx of ours without it             │  └────────────── 2xx ◄────────────────────────┘
//!      └────────────────────────────────────┤
//!                                           └── interval less min(32 s, a third) ──► expired: BYE
//! ```
//!
//! Here are the figures; `refresh` sends the requests. What is asked for in a trunk's
//! configuration is [`SessionPolicy`]; a peer that asks by itself is given what it asks for.

use std::time::{Duration, Instant};

use sip::{Headers, Name, Refresher, Request, Response, SessionExpires, Text};

use crate::profile::SessionPolicy;

/// How long before the end of the interval the session is ended (RFC 4028 §10).
const EARLY: Duration = Duration::from_secs(32);
/// Nobody asks for a session of more than a day; more would only overflow clocks.
const LONGEST: u32 = 86_400;

/// The session timer of one leg.
#[derive(Debug)]
pub(super) struct SessionTimer {
    policy: Option<SessionPolicy>,
    /// The shortest interval the peer takes, in seconds.
    least: u32,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// In seconds.
    interval: u32,
    refresher: Who,
    /// When it ends unless it is refreshed.
    until: Instant,
    /// When we refresh, if it is upon us.
    refresh_at: Option<Instant>,
}

/// Who refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    We,
    Peer,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A refresh of ours.
    Refresh,
    /// The end: nobody has refreshed.
    Expiry,
}

impl SessionTimer {
    pub(super) fn new(policy: Option<SessionPolicy>) -> Self {
        Self {
            policy,
            least: 0,
            running: None,
        }
    }

    // ---- we asked ----

    /// What a request of ours that makes or refreshes the session says of it.
    pub(super) fn ask(&self, headers: &mut Headers) {
        let Some(policy) = self.policy else { return };
        let wanted = match &self.running {
            Some(running) => Some((running.interval, Some(role(running.refresher, Who::We)))),
            None => policy.ask.map(|seconds| (seconds, None)),
        };
        let Some((seconds, refresher)) = wanted else {
            return;
        };
        let seconds = seconds.max(self.least).max(policy.least);
        let value = SessionExpires { seconds, refresher };
        headers.set(Name::SessionExpires, Text::from(value.to_string()));
        let least = self.least.max(policy.least);
        headers.set(Name::MinSe, Text::from(least.to_string()));
    }

    /// The peer found our interval too small (422). `false`: it names no larger one, so that asking
    /// again would be in vain.
    pub(super) fn refused(&mut self, response: &Response) -> bool {
        let asked = self.least.max(self.policy.map_or(0, |policy| {
            let running = self.running.as_ref().map(|running| running.interval);
            running.or(policy.ask).unwrap_or(0).max(policy.least)
        }));
        let Some(least) = SessionExpires::min_se(&response.headers) else {
            return false;
        };
        let larger = least > asked && least <= LONGEST;
        if larger {
            self.least = least;
            if let Some(running) = &mut self.running {
                running.interval = running.interval.max(least);
            }
        }
        larger
    }

    /// A 2xx to such a request: the session runs as it says; without a Session-Expires it has no end
    /// (RFC 4028 §7.2).
    pub(super) fn granted(&mut self, now: Instant, response: &Response) {
        if self.policy.is_none() {
            return;
        }
        let Some(value) = SessionExpires::of(&response.headers) else {
            self.running = None;
            return;
        };
        let refresher = match value.refresher {
            Some(Refresher::Uas) => Who::Peer,
            Some(Refresher::Uac) | None => Who::We,
        };
        self.start(now, value.seconds, refresher);
    }

    // ---- the peer asked ----

    /// The answer to a request of the peer that makes or refreshes the session was sent with what
    /// this puts into it (RFC 4028 §9, table 2).
    pub(super) fn grant(&mut self, now: Instant, request: &Request, response: &mut Response) {
        let Some(policy) = self.policy else { return };
        let supports = request.headers.lists(&Name::Supported, "timer")
            || request.headers.lists(&Name::Require, "timer");
        let least = SessionExpires::min_se(&request.headers)
            .unwrap_or(0)
            .max(policy.least);
        self.least = self
            .least
            .max(SessionExpires::min_se(&request.headers).unwrap_or(0));
        let asked = SessionExpires::of(&request.headers);
        let interval = match (&asked, &self.running, policy.ask) {
            (Some(asked), ..) => asked.seconds,
            (None, Some(running), _) => running.interval,
            (None, None, Some(seconds)) if supports => seconds,
            _ => return,
        };
        let interval = interval.max(least).min(LONGEST);
        let before = self.running.as_ref().map(|running| running.refresher);
        let refresher = match asked.and_then(|asked| asked.refresher) {
            // Only who knows the extension can refresh.
            _ if !supports => Who::We,
            Some(Refresher::Uac) => Who::Peer,
            Some(Refresher::Uas) => Who::We,
            None => before.unwrap_or(Who::Peer),
        };
        let value = SessionExpires {
            seconds: interval,
            refresher: Some(role(refresher, Who::Peer)),
        };
        let headers = &mut response.headers;
        headers.push(Name::SessionExpires, Text::from(value.to_string()));
        if refresher == Who::Peer {
            headers.push(Name::Require, Text::fixed("timer"));
        }
        self.start(now, interval, refresher);
    }

    // ---- time ----

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        Some(
            running
                .refresh_at
                .map_or(running.until, |at| at.min(running.until)),
        )
    }

    /// What is due. A refresh is due once: [`SessionTimer::again_at`] makes it due again.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let running = self.running.as_mut()?;
        if now >= running.until {
            return Some(Due::Expiry);
        }
        running.refresh_at.take_if(|at| now >= *at)?;
        Some(Due::Refresh)
    }

    /// A refresh of ours failed for the moment and is due again.
    pub(super) fn again_at(&mut self, at: Instant) {
        if let Some(running) = &mut self.running {
            running.refresh_at = Some(at);
        }
    }

    fn start(&mut self, now: Instant, seconds: u32, refresher: Who) {
        let seconds = seconds.clamp(1, LONGEST);
        let whole = Duration::from_secs(u64::from(seconds));
        self.running = Some(Running {
            interval: seconds,
            refresher,
            until: now + whole - EARLY.min(whole / 3),
            refresh_at: (refresher == Who::We).then(|| now + whole / 2),
        });
    }
}

/// The 422 a request with too small an interval gets: its Min-SE. A peer that does not know the
/// extension could make nothing of it; its interval is raised instead (RFC 4028 §9).
pub(crate) fn too_small(policy: Option<SessionPolicy>, request: &Request) -> Option<Text> {
    let policy = policy?;
    let asked = SessionExpires::of(&request.headers)?;
    let supports = request.headers.lists(&Name::Supported, "timer");
    (supports && asked.seconds < policy.least).then(|| Text::from(policy.least.to_string()))
}

/// `who` as the role in a transaction that `asking` began.
fn role(who: Who, asking: Who) -> Refresher {
    match who == asking {
        true => Refresher::Uac,
        false => Refresher::Uas,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use sip::{Method, Uri};

    use super::*;

    const POLICY: SessionPolicy = SessionPolicy {
        ask: Some(1_800),
        least: 90,
    };

    fn asked(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Method::Update, Uri::sip("a", "b"));
        for (name, value) in headers {
            request.headers.push(*name, *value);
        }
        request
    }

    /// What a request with these headers is answered, and when what is due.
    fn granted(
        policy: SessionPolicy,
        headers: &[(&str, &str)],
    ) -> (Headers, Option<u64>, Option<Due>) {
        let (mut timer, now) = (SessionTimer::new(Some(policy)), Instant::now());
        let request = asked(headers);
        let mut response = Response::to(&request, 200, "");
        let bare = response.headers.len();
        timer.grant(now, &request, &mut response);
        let mut only = Headers::new();
        for (name, value) in response.headers.iter().skip(bare) {
            only.push(name.clone(), value.clone());
        }
        let at = timer.next_timeout();
        let due = at.and_then(|at| timer.due(at));
        (only, at.map(|at| (at - now).as_secs()), due)
    }

    fn value(headers: &Headers, name: Name) -> String {
        headers
            .first(&name)
            .map_or_else(String::new, Text::to_string)
    }

    #[test]
    fn a_peer_that_refreshes_is_held_to_it() {
        let asking = [
            ("Supported", "timer"),
            ("Session-Expires", "90;refresher=uac"),
        ];
        let (headers, after, due) = granted(POLICY, &asking);
        assert_eq!(value(&headers, Name::SessionExpires), "90;refresher=uac");
        assert_eq!(value(&headers, Name::Require), "timer");
        // 90 s less a third, which is shorter than 32 s.
        assert_eq!((after, due), (Some(60), Some(Due::Expiry)));
    }

    #[test]
    fn who_is_asked_to_refresh_does_so_at_half_time() {
        let asking = [("Supported", "100rel, timer"), ("x", "600;refresher=uas")];
        let (headers, after, due) = granted(POLICY, &asking);
        assert_eq!(value(&headers, Name::SessionExpires), "600;refresher=uas");
        assert_eq!(value(&headers, Name::Require), "");
        assert_eq!((after, due), (Some(300), Some(Due::Refresh)));
    }

    #[test]
    fn a_peer_that_does_not_know_timers_is_refreshed_by_us() {
        // A proxy on the way put the header in.
        let (headers, after, due) = granted(POLICY, &[("Session-Expires", "60")]);
        assert_eq!(value(&headers, Name::SessionExpires), "90;refresher=uas");
        assert_eq!((after, due), (Some(45), Some(Due::Refresh)));
    }

    #[test]
    fn where_nobody_asks_nothing_runs_unless_the_trunk_wants_it() {
        assert_eq!(granted(POLICY, &[]).1, None);
        let quiet = SessionPolicy {
            ask: None,
            ..POLICY
        };
        assert_eq!(granted(quiet, &[("Supported", "timer")]).1, None);
        let (headers, ..) = granted(POLICY, &[("Supported", "timer"), ("Min-SE", "3600")]);
        assert_eq!(value(&headers, Name::SessionExpires), "3600;refresher=uac");
    }

    #[test]
    fn an_interval_below_the_least_is_refused_with_the_least() {
        let small = asked(&[("Supported", "timer"), ("Session-Expires", "89")]);
        assert_eq!(too_small(Some(POLICY), &small), Some(Text::from("90")));
        let ignorant = asked(&[("Session-Expires", "89")]);
        assert_eq!(too_small(Some(POLICY), &ignorant), None);
        assert_eq!(too_small(None, &small), None);
    }

    #[test]
    fn a_422_raises_what_we_ask_for_and_only_if_it_names_more() {
        let mut timer = SessionTimer::new(Some(POLICY));
        let mut response = Response::to(&asked(&[]), 422, "");
        assert!(!timer.refused(&response));
        response.headers.push("Min-SE", "3600");
        assert!(timer.refused(&response));
        assert!(!timer.refused(&response), "the same again helps nobody");
        let mut headers = Headers::new();
        timer.ask(&mut headers);
        assert_eq!(value(&headers, Name::SessionExpires), "3600");
        assert_eq!(value(&headers, Name::MinSe), "3600");
    }

    #[test]
    fn the_answer_to_our_request_says_who_refreshes() {
        let now = Instant::now();
        for (header, after, due) in [
            ("1800;refresher=uac", 900, Due::Refresh),
            ("1800", 900, Due::Refresh),
            ("1800;refresher=uas", 1_768, Due::Expiry),
        ] {
            let mut timer = SessionTimer::new(Some(POLICY));
            let mut response = Response::to(&asked(&[]), 200, "");
            response.headers.push("Session-Expires", header);
            timer.granted(now, &response);
            let at = timer.next_timeout().unwrap();
            assert_eq!((at - now).as_secs(), after, "{header}");
            assert_eq!(timer.due(at), Some(due), "{header}");
        }
    }
}
