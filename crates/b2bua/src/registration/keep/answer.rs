//! What becomes of a registration of ours by the answer to its REGISTER, or by none.

use std::time::{Duration, Instant};

use sip::{Flow, Ident, Method, Name, NameAddr, Response, Unanswerable};

use super::News;
use super::ours::{Doing, Held, Ours, PAUSE, Trouble};
use crate::leg::sip::words;
use crate::number::Said;

/// The longest one; also that after a refusal no time heals, as of a password.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A server may ask for a longer pause, but not for a day.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// The longest registration a 423 may make us ask for.
const LONGEST: Duration = Duration::from_secs(86_400);
/// However short a registration is, it is not refreshed faster.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);

impl Ours {
    /// Whether another REGISTER is to be sent at once.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        flow: &Flow,
        response: &Response,
        ident: &mut Ident,
    ) -> (bool, Option<News>) {
        let asked = self.expires;
        let name = self.trunk.name.clone();
        let Doing::Asking(asking) = &mut self.doing else {
            return (false, None);
        };
        asking.key = None;
        match response.status {
            200..=299 if asking.said_so => {
                self.answerer.accepted();
                self.held = None;
                self.doing = Doing::Left;
                (
                    false,
                    Some(News::Lost(format!("trunk {name}: unregistered"))),
                )
            }
            200..=299 => {
                let granted = granted(response, &self.upstream.extension)
                    .unwrap_or(asked)
                    .min(LONGEST);
                let target = asking.target.clone();
                let where_ = format!("{}:{}", target.host, target.port);
                let is_new = self.held.as_ref().is_none_or(|held| held.target != target);
                self.answerer.accepted();
                self.held = Some(Held {
                    until: now + granted,
                    target,
                    flow: flow.id,
                    address: flow.remote.ip(),
                });
                if asking.leaving {
                    // We want to leave since it was asked.
                    asking.credentials = None;
                    return (true, None);
                }
                (self.failures, self.trouble) = (0, None);
                self.doing = Doing::Waiting {
                    at: now + refresh(granted, ident),
                };
                let seconds = granted.as_secs();
                let news = is_new.then(|| {
                    News::Registered(format!(
                        "trunk {name}: registered with {where_} for {seconds} s"
                    ))
                });
                (false, news)
            }
            401 | 407 => {
                let uri = format!("sip:{}", self.upstream.domain);
                let cnonce = ident.tag();
                let answer = self
                    .answerer
                    .answer(response, &Method::Register, &uri, &[], cnonce);
                match answer {
                    Ok(credentials) => {
                        asking.credentials = Some(credentials);
                        (true, None)
                    }
                    Err(Unanswerable::Refused) => {
                        self.refused(now, "it refuses the password".into(), ident)
                    }
                    Err(why) => self.refused(now, why.to_string(), ident),
                }
            }
            423 if !asking.lengthened => {
                asking.lengthened = true;
                let least = response.headers.first(&Name::MinExpires);
                let least = least.and_then(|text| text.as_str().trim().parse().ok());
                match least.map(Duration::from_secs) {
                    Some(least) if least > asked && least <= LONGEST => {
                        self.expires = least;
                        // The answer to a challenge is good once.
                        self.answerer.accepted();
                        asking.credentials = None;
                        (true, None)
                    }
                    _ => self.next_server(now, "its 423 names no time to ask for".into(), ident),
                }
            }
            status @ (408 | 430 | 300..=399 | 500..=599) => {
                let wish = words::retry_after(&response.headers).unwrap_or_default();
                asking.pause = asking.pause.max(wish.min(LONGEST_WISH));
                let text = words::refusal_text(response);
                self.next_server(now, format!("it answers {status} {}", Said(&text)), ident)
            }
            status => {
                let text = words::refusal_text(response);
                self.refused(now, format!("it answers {status} {}", Said(&text)), ident)
            }
        }
    }

    /// Another server may take us; if there is none, the round is over.
    pub(super) fn next_server(
        &mut self,
        now: Instant,
        why: String,
        ident: &mut Ident,
    ) -> (bool, Option<News>) {
        let Doing::Asking(asking) = &mut self.doing else {
            return (false, None);
        };
        asking.key = None;
        asking.credentials = None;
        self.answerer = self.upstream.answerer();
        if let Some(next) = asking.others.pop_front() {
            asking.target = next;
            return (true, None);
        }
        let pause = PAUSE * 2_u32.saturating_pow(self.failures.min(8));
        self.round_lost(now, pause.min(LONGEST_PAUSE), false, why, ident)
    }

    /// No server would take us as we are.
    fn refused(&mut self, now: Instant, why: String, ident: &mut Ident) -> (bool, Option<News>) {
        self.held = None;
        self.answerer = self.upstream.answerer();
        self.round_lost(now, LONGEST_PAUSE, true, why, ident)
    }

    fn round_lost(
        &mut self,
        now: Instant,
        pause: Duration,
        refused: bool,
        why: String,
        ident: &mut Ident,
    ) -> (bool, Option<News>) {
        let Doing::Asking(asking) = &self.doing else {
            return (false, None);
        };
        let host = &asking.target.host;
        let news = format!(
            "trunk {}: not registered with {host}: {why}",
            self.trunk.name
        );
        if asking.leaving {
            self.held = None;
            self.doing = Doing::Left;
            return (false, None);
        }
        let cut = pause / 2 + (pause / 2).mul_f64(f64::from(ident.u32() % 1_000) / 1_000.0);
        self.doing = Doing::Waiting {
            at: now + cut.max(asking.pause),
        };
        self.failures = self.failures.saturating_add(1);
        let trouble = Trouble { refused, why };
        let is_new = self.trouble.as_ref() != Some(&trouble);
        self.trouble = Some(trouble);
        (false, is_new.then_some(News::Lost(news)))
    }
}

/// When a registration of this length is refreshed: after two thirds to five sixths of it.
fn refresh(granted: Duration, ident: &mut Ident) -> Duration {
    let share = 2.0 / 3.0 + f64::from(ident.u32() % 1_000) / 6_000.0;
    granted.mul_f64(share).max(SHORTEST_REFRESH)
}

/// For how long the registrar knows us: our contact says it, or the answer as a whole.
fn granted(response: &Response, extension: &str) -> Option<Duration> {
    let contacts = response.headers.list(&Name::Contact);
    let ours = contacts
        .filter_map(|value| NameAddr::read(&value))
        .filter(|contact| contact.uri.user_base() == Some(extension));
    let of_contact = ours
        .filter_map(|contact| contact.param("expires")?.trim().parse().ok())
        .max();
    let general = || {
        let value = response.headers.first(&Name::Expires)?;
        value.as_str().trim().parse().ok()
    };
    of_contact
        .or_else(general)
        .map(|seconds: u32| Duration::from_secs(seconds.into()))
}
