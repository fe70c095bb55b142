//! One registration of ours: what it holds, what it is doing, and the REGISTER that says so.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Answerer, ClientKey, FlowId, Ident, Method, Name, Request, Target, Text, Uri};

use super::Upstream;
use crate::operator::Registration;
use crate::settings::Trunk;

/// The first pause after a round in which no server took us.
pub(super) const PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Ours {
    pub(super) trunk: Arc<Trunk>,
    pub(super) upstream: Upstream,
    /// One for all our REGISTERs (RFC 3261 §10.2.4).
    pub(super) call_id: Text,
    pub(super) tag: String,
    pub(super) cseq: u32,
    /// As we ask for it: a 423 makes it longer.
    pub(super) expires: Duration,
    pub(super) answerer: Answerer,
    pub(super) held: Option<Held>,
    pub(super) doing: Doing,
    /// Rounds in a row in which no server took us.
    pub(super) failures: u32,
    pub(super) trouble: Option<Trouble>,
    /// Its trunk is gone from the settings, or has another account now.
    pub(super) forsaken: bool,
}

/// What the PBX knows of us.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Instant,
    pub(super) target: Target,
    pub(super) flow: FlowId,
    /// Where its answer came from, and its calls will.
    pub(super) address: IpAddr,
}

#[derive(Debug)]
pub(super) enum Doing {
    Waiting {
        at: Instant,
    },
    Asking(Box<Asking>),
    /// We left, and do not come back by ourselves.
    Left,
}

#[derive(Debug)]
pub(super) struct Asking {
    pub(super) key: Option<ClientKey>,
    pub(super) target: Target,
    /// The servers to be tried after it.
    pub(super) others: VecDeque<Target>,
    /// We want to be forgotten, and whether the last request said so.
    pub(super) leaving: bool,
    pub(super) said_so: bool,
    pub(super) lengthened: bool,
    /// The longest pause a server asked for.
    pub(super) pause: Duration,
    pub(super) credentials: Option<(Name, Text)>,
}

/// Why we are not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) refused: bool,
    pub(super) why: String,
}

impl Ours {
    /// Whether the REGISTER that is on its way is in this transaction.
    pub(super) fn is_asking(&self, key: ClientKey) -> bool {
        matches!(&self.doing, Doing::Asking(asking) if asking.key == Some(key))
    }

    /// The registration of a trunk.
    pub(super) fn new(
        trunk: &Arc<Trunk>,
        upstream: &Upstream,
        doing: Doing,
        ident: &mut Ident,
    ) -> Ours {
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
        }
    }

    /// When it is to be looked at.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let at = match &self.doing {
            Doing::Waiting { at } => Some(*at),
            _ => None,
        };
        let ends = self.held.as_ref().map(|held| held.until);
        at.into_iter().chain(ends).min()
    }

    /// Begins a round: these places are asked one after the other, that which knows us first.
    pub(super) fn begin(&mut self, now: Instant, places: Vec<Target>, leaving: bool) {
        let mut others = VecDeque::from(places);
        if let Some(held) = &self.held
            && let Some(at) = others.iter().position(|target| *target == held.target)
            && let Some(first) = others.remove(at)
        {
            others.push_front(first);
        }
        self.doing = match others.pop_front() {
            Some(target) => Doing::Asking(Box::new(Asking {
                key: None,
                target,
                others,
                leaving: leaving || self.forsaken,
                said_so: false,
                lengthened: false,
                pause: Duration::ZERO,
                credentials: None,
            })),
            None => Doing::Waiting { at: now + PAUSE },
        };
    }

    /// The next REGISTER of a round: where to, our Via's host and port, and the request.
    pub(super) fn request(&mut self, product: &str) -> Option<(Target, Arc<str>, Request)> {
        let Doing::Asking(asking) = &mut self.doing else {
            return None;
        };
        asking.said_so = asking.leaving;
        let Upstream {
            domain, extension, ..
        } = &self.upstream;
        let sent_by: Arc<str> = self.trunk.sent_by.as_str().into();
        let of_record = Uri::sip(extension, domain);
        let mut request = Request::new(Method::Register, Uri::parse(format!("sip:{domain}")).ok()?);
        let contact = Uri::sip(extension, &sent_by);
        let transport = asking.target.transport.param();
        let seconds = match asking.leaving {
            true => 0,
            false => self.expires.as_secs(),
        };
        self.cseq += 1;
        let headers = &mut request.headers;
        headers.push(Name::From, format!("<{of_record}>;tag={}", self.tag));
        headers.push(Name::To, format!("<{of_record}>"));
        headers.push(Name::CallId, &self.call_id);
        headers.push(Name::CSeq, format!("{} REGISTER", self.cseq));
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

    /// How it is doing.
    pub(super) fn state(&self, now: Instant) -> Registration {
        let held = self.held.as_ref();
        let state = match (held, &self.doing, &self.trouble) {
            (_, Doing::Left, _) => "left",
            (Some(_), ..) => "registered",
            (None, _, Some(trouble)) if trouble.refused => "refused",
            (None, _, Some(_)) => "unreachable",
            (None, _, None) => "trying",
        };
        Registration {
            state,
            server: held.map(|held| format!("{}:{}", held.target.host, held.target.port)),
            left: held.map(|held| held.until.saturating_duration_since(now)),
            trouble: self.trouble.as_ref().map(|trouble| trouble.why.clone()),
        }
    }

    /// Wants to be forgotten by the PBX.
    pub(super) fn leave(&mut self, now: Instant) {
        match &mut self.doing {
            Doing::Asking(asking) => asking.leaving = true,
            Doing::Waiting { at } if self.held.is_some() => *at = now,
            doing => *doing = Doing::Left,
        }
    }
}

impl Upstream {
    /// What answers the challenges of this PBX.
    pub(crate) fn answerer(&self) -> Answerer {
        let account = &self.account;
        Answerer::new(account.username.clone(), account.password.clone())
    }
}

/// Whether two are one registration.
pub(super) fn same(a: &Upstream, b: &Upstream) -> bool {
    a.servers == b.servers
        && a.domain == b.domain
        && a.extension == b.extension
        && a.expires == b.expires
        && a.account.username == b.account.username
        && a.account.password.expose() == b.account.password.expose()
}
