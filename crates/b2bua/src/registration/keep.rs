//! Where we are registered ourselves: as an extension of a PBX, which then sends its calls here.
//!
//! ```text
//!              due              2xx                       refresh is due · its connection is gone
//!   Waiting ─────────► Asking ───────► Waiting, held ─────────────────────────────────► Asking …
//!      ▲                │   ▲
//!      │ nobody took it │   │ 401, 407: with an answer · 423: for longer
//!      └────────────────┤   │ 408, 5xx, no answer: the next server
//!        after a pause  └───┘
//!                                      drain: Expires: 0 ─► Left
//! ```
//!
//! A refresh that fails leaves what is held alone until it ends: the PBX knows us until then. Pauses
//! grow from 30 s to ten minutes, each cut by chance to between half and all of it, so that a PBX that
//! comes back is not met by everybody at once (RFC 5626 §4.5).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{
    Answerer, ClientKey, Flow, FlowId, Ident, Method, Name, NameAddr, Request, Response, Target,
    Text, Unanswerable, Uri,
};

use super::Upstream;
use crate::leg::sip::words;
use crate::operator::Registration;
use crate::settings::{Settings, Trunk};

/// The first pause after a round in which no server took us.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest one; also that after a refusal no time heals, as of a password.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A server may ask for a longer pause, but not for a day.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// The longest registration a 423 may make us ask for.
const LONGEST: Duration = Duration::from_secs(86_400);
/// However short a registration is, it is not refreshed faster.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);

/// Our registrations, by a number of ours for each.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    ours: BTreeMap<u64, Ours>,
    last: u64,
    draining: bool,
}

#[derive(Debug)]
struct Ours {
    trunk: Arc<Trunk>,
    upstream: Upstream,
    /// One for all our REGISTERs (RFC 3261 §10.2.4).
    call_id: Text,
    tag: String,
    cseq: u32,
    /// As we ask for it: a 423 makes it longer.
    expires: Duration,
    answerer: Answerer,
    held: Option<Held>,
    doing: Doing,
    /// Rounds in a row in which no server took us.
    failures: u32,
    trouble: Option<Trouble>,
    /// Its trunk is gone from the settings, or has another account now.
    forsaken: bool,
}

/// What the PBX knows of us.
#[derive(Debug)]
struct Held {
    until: Instant,
    target: Target,
    flow: FlowId,
    /// Where its answer came from, and its calls will.
    address: IpAddr,
}

#[derive(Debug)]
enum Doing {
    Waiting {
        at: Instant,
    },
    Asking(Box<Asking>),
    /// We left, and do not come back by ourselves.
    Left,
}

#[derive(Debug)]
struct Asking {
    key: Option<ClientKey>,
    target: Target,
    /// The servers to be tried after it.
    others: VecDeque<Target>,
    /// We want to be forgotten, and whether the last request said so.
    leaving: bool,
    said_so: bool,
    lengthened: bool,
    /// The longest pause a server asked for.
    pause: Duration,
    credentials: Option<(Name, Text)>,
}

/// Why we are not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    refused: bool,
    why: String,
}

/// What is to be done after an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// The request of this registration is to be sent, as [`Registrations::request`] gives it.
    Send(u64),
    Nothing,
}

/// Something worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Registered(String),
    Lost(String),
}

impl Registrations {
    /// Keeps those of these settings; what holds of those that stay is kept.
    pub(crate) fn watch(&mut self, now: Instant, settings: &Settings, ident: &mut Ident) {
        for ours in self.ours.values_mut() {
            let stays = settings.trunks.iter().find(|trunk| {
                let upstream = trunk.access.upstream.as_ref();
                trunk.name == ours.trunk.name && upstream.is_some_and(|u| same(u, &ours.upstream))
            });
            match stays {
                Some(trunk) if !ours.forsaken => ours.trunk = trunk.clone(),
                _ => {
                    ours.forsaken = true;
                    ours.leave(now);
                }
            }
        }
        self.bury();
        for trunk in &settings.trunks {
            let Some(upstream) = &trunk.access.upstream else {
                continue;
            };
            let mut living = self.ours.values().filter(|ours| !ours.forsaken);
            if living.any(|ours| ours.trunk.name == trunk.name) {
                continue;
            }
            let doing = match self.draining {
                true => Doing::Left,
                false => Doing::Waiting { at: now },
            };
            self.last += 1;
            self.ours.insert(
                self.last,
                Ours {
                    trunk: trunk.clone(),
                    upstream: upstream.clone(),
                    call_id: Text::from(ident.call_id(&upstream.domain)),
                    tag: ident.tag(),
                    cseq: 0,
                    expires: upstream.expires,
                    answerer: upstream.answerer(),
                    held: None,
                    doing,
                    failures: 0,
                    trouble: None,
                    forsaken: false,
                },
            );
        }
    }

    /// Forgets those that left for good.
    fn bury(&mut self) {
        self.ours
            .retain(|_, ours| !(ours.forsaken && matches!(ours.doing, Doing::Left)));
    }

    /// When [`Registrations::due`] has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let due = |ours: &Ours| {
            let at = match &ours.doing {
                Doing::Waiting { at } => Some(*at),
                _ => None,
            };
            let ends = ours.held.as_ref().map(|held| held.until);
            at.into_iter().chain(ends).min()
        };
        self.ours.values().filter_map(due).min()
    }

    /// What ended now without anybody's word: the trunks it was about.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut ended = Vec::new();
        for ours in self.ours.values_mut() {
            if ours.held.take_if(|held| held.until <= now).is_some() {
                ended.push(ours.trunk.name.clone());
            }
        }
        ended
    }

    /// The next registration whose time has come, and where its servers are.
    pub(crate) fn due(&self, now: Instant) -> Option<(u64, Vec<Target>)> {
        self.ours.iter().find_map(|(id, ours)| match &ours.doing {
            Doing::Waiting { at } if *at <= now => Some((*id, ours.upstream.servers.clone())),
            _ => None,
        })
    }

    /// Begins a round: these places are asked one after the other, that which knows us first.
    pub(crate) fn begin(&mut self, now: Instant, id: u64, places: Vec<Target>) {
        let Some(ours) = self.ours.get_mut(&id) else {
            return;
        };
        let mut others = VecDeque::from(places);
        if let Some(held) = &ours.held
            && let Some(at) = others.iter().position(|target| *target == held.target)
            && let Some(first) = others.remove(at)
        {
            others.push_front(first);
        }
        ours.doing = match others.pop_front() {
            Some(target) => Doing::Asking(Box::new(Asking {
                key: None,
                target,
                others,
                leaving: ours.forsaken || self.draining,
                said_so: false,
                lengthened: false,
                pause: Duration::ZERO,
                credentials: None,
            })),
            None => Doing::Waiting { at: now + PAUSE },
        };
    }

    /// The next REGISTER of a round: where to, our Via's host and port, and the request.
    pub(crate) fn request(
        &mut self,
        id: u64,
        product: &str,
    ) -> Option<(Target, Arc<str>, Request)> {
        let ours = self.ours.get_mut(&id)?;
        let Doing::Asking(asking) = &mut ours.doing else {
            return None;
        };
        asking.said_so = asking.leaving;
        let Upstream {
            domain, extension, ..
        } = &ours.upstream;
        let sent_by: Arc<str> = ours.trunk.sent_by.as_str().into();
        let of_record = Uri::sip(extension, domain);
        let mut request = Request::new(Method::Register, Uri::parse(format!("sip:{domain}")).ok()?);
        let contact = Uri::sip(extension, &sent_by);
        let transport = asking.target.transport.param();
        let seconds = match asking.leaving {
            true => 0,
            false => ours.expires.as_secs(),
        };
        ours.cseq += 1;
        let headers = &mut request.headers;
        headers.push(Name::From, format!("<{of_record}>;tag={}", ours.tag));
        headers.push(Name::To, format!("<{of_record}>"));
        headers.push(Name::CallId, &ours.call_id);
        headers.push(Name::CSeq, format!("{} REGISTER", ours.cseq));
        headers.push(
            Name::Contact,
            format!("<{contact};transport={transport}>;expires={seconds}"),
        );
        headers.push(Name::Expires, seconds.to_string());
        if !product.is_empty() {
            headers.push(Name::UserAgent, product);
        }
        if let Some((name, value)) = &asking.credentials {
            headers.push(name.clone(), value.clone());
        }
        Some((asking.target.clone(), sent_by, request))
    }

    /// The REGISTER left in this transaction.
    pub(crate) fn asked(&mut self, id: u64, key: ClientKey) {
        if let Some(Doing::Asking(asking)) = self.ours.get_mut(&id).map(|ours| &mut ours.doing) {
            asking.key = Some(key);
        }
    }

    /// Whether the transaction is a REGISTER of ours.
    pub(crate) fn is_asked(&self, key: ClientKey) -> bool {
        self.of(key).is_some()
    }

    fn of(&self, key: ClientKey) -> Option<u64> {
        let asks = |ours: &Ours| matches!(&ours.doing, Doing::Asking(a) if a.key == Some(key));
        let found = self.ours.iter().find(|(_, ours)| asks(ours));
        found.map(|(id, _)| *id)
    }

    /// A final answer to a REGISTER of ours.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        key: ClientKey,
        flow: &Flow,
        response: &Response,
        ident: &mut Ident,
    ) -> (Next, Option<News>) {
        let Some(id) = self.of(key) else {
            return (Next::Nothing, None);
        };
        let Some(ours) = self.ours.get_mut(&id) else {
            return (Next::Nothing, None);
        };
        let (again, news) = ours.answered(now, flow, response, ident);
        self.bury();
        (if again { Next::Send(id) } else { Next::Nothing }, news)
    }

    /// A REGISTER of ours got no answer.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        key: ClientKey,
        ident: &mut Ident,
    ) -> (Next, Option<News>) {
        let Some(id) = self.of(key) else {
            return (Next::Nothing, None);
        };
        let Some(ours) = self.ours.get_mut(&id) else {
            return (Next::Nothing, None);
        };
        let (again, news) = ours.next_server(now, "it does not answer".into(), ident);
        self.bury();
        (if again { Next::Send(id) } else { Next::Nothing }, news)
    }

    /// A connection is gone: a PBX that knew us by it has to be told anew.
    pub(crate) fn flow_lost(&mut self, now: Instant, flow: FlowId, ident: &mut Ident) {
        for ours in self.ours.values_mut() {
            let is_way = |held: &Held| held.flow == flow && held.target.transport.is_reliable();
            if let (Some(held), Doing::Waiting { at }) = (&ours.held, &mut ours.doing)
                && is_way(held)
            {
                // Not all at once when the PBX restarts.
                let pause = Duration::from_millis(500 + u64::from(ident.u32() % 2_000));
                *at = (*at).min(now + pause);
            }
        }
    }

    /// Takes leave of every PBX, or comes back.
    pub(crate) fn drain(&mut self, now: Instant, draining: bool) {
        self.draining = draining;
        for ours in self.ours.values_mut() {
            match draining {
                true => ours.leave(now),
                false if matches!(ours.doing, Doing::Left) => {
                    ours.doing = Doing::Waiting { at: now };
                }
                false => {}
            }
        }
    }

    /// Whether some PBX has not yet heard that we leave.
    pub(crate) fn is_leaving(&self) -> bool {
        let mut all = self.ours.values();
        self.draining && all.any(|ours| !matches!(ours.doing, Doing::Left))
    }

    /// The server that knows us as an extension of this trunk.
    pub(crate) fn server(&self, trunk: &str) -> Option<&Target> {
        let mut held = self.ours.values().filter(|ours| *ours.trunk.name == *trunk);
        held.find_map(|ours| Some(&ours.held.as_ref()?.target))
    }

    /// The trunk whose registrar calls from `source`: of several the one whose extension is called.
    pub(crate) fn trunk_at(&self, source: IpAddr, called: &str) -> Option<&Arc<Trunk>> {
        let knows_us = |ours: &&Ours| {
            let held = ours
                .held
                .as_ref()
                .is_some_and(|held| held.address == source);
            let mut networks = ours.trunk.networks.iter();
            !ours.forsaken && (held || networks.any(|net| net.contains(&source)))
        };
        let mut all = self.ours.values().filter(knows_us);
        let mut exact = all.clone().filter(|ours| ours.upstream.extension == called);
        exact
            .next()
            .or_else(|| all.find(|ours| ours.held.as_ref().is_some_and(|h| h.address == source)))
            .map(|ours| &ours.trunk)
    }

    /// How the registration of a trunk is doing, if it has one.
    pub(crate) fn state(&self, now: Instant, trunk: &str) -> Option<Registration> {
        let mut all = self.ours.values().filter(|ours| !ours.forsaken);
        let ours = all.find(|ours| *ours.trunk.name == *trunk)?;
        let held = ours.held.as_ref();
        let state = match (held, &ours.doing, &ours.trouble) {
            (_, Doing::Left, _) => "left",
            (Some(_), ..) => "registered",
            (None, _, Some(trouble)) if trouble.refused => "refused",
            (None, _, Some(_)) => "unreachable",
            (None, _, None) => "trying",
        };
        Some(Registration {
            state,
            server: held.map(|held| format!("{}:{}", held.target.host, held.target.port)),
            left: held.map(|held| held.until.saturating_duration_since(now)),
            trouble: ours.trouble.as_ref().map(|trouble| trouble.why.clone()),
        })
    }
}

impl Ours {
    fn leave(&mut self, now: Instant) {
        match &mut self.doing {
            Doing::Asking(asking) => asking.leaving = true,
            Doing::Waiting { at } if self.held.is_some() => *at = now,
            doing => *doing = Doing::Left,
        }
    }

    /// Whether another REGISTER is to be sent at once.
    fn answered(
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
                self.next_server(now, format!("it answers {status} {text}"), ident)
            }
            status => {
                let text = words::refusal_text(response);
                self.refused(now, format!("it answers {status} {text}"), ident)
            }
        }
    }

    /// Another server may take us; if there is none, the round is over.
    fn next_server(
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

impl Upstream {
    /// What answers the challenges of this PBX.
    pub(crate) fn answerer(&self) -> Answerer {
        let account = &self.account;
        Answerer::new(account.username.clone(), account.password.clone())
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

/// Whether two are one registration.
fn same(a: &Upstream, b: &Upstream) -> bool {
    a.servers == b.servers
        && a.domain == b.domain
        && a.extension == b.extension
        && a.expires == b.expires
        && a.account.username == b.account.username
        && a.account.password.expose() == b.account.password.expose()
}
