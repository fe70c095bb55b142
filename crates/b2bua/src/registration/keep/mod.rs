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

mod answer;
mod ours;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{ClientKey, Flow, FlowId, Ident, Request, Response, Target};

use self::ours::{Doing, Held, Ours, same};
use super::Upstream;
use crate::operator::Registration;
use crate::settings::{Settings, Trunk};

/// Our registrations, by a number of ours for each.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    ours: BTreeMap<u64, Ours>,
    last: u64,
    draining: bool,
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
            let ours = Ours::new(trunk, upstream, doing, ident);
            self.ours.insert(self.last, ours);
        }
    }

    /// Forgets those that left for good.
    fn bury(&mut self) {
        self.ours
            .retain(|_, ours| !(ours.forsaken && matches!(ours.doing, Doing::Left)));
    }

    /// When [`Registrations::due`] has something.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.ours.values().filter_map(Ours::next_timeout).min()
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
        let leaving = self.draining;
        if let Some(ours) = self.ours.get_mut(&id) {
            ours.begin(now, places, leaving);
        }
    }

    /// The next REGISTER of a round: where to, our Via's host and port, and the request.
    pub(crate) fn request(
        &mut self,
        id: u64,
        product: &str,
    ) -> Option<(Target, Arc<str>, Request)> {
        self.ours.get_mut(&id)?.request(product)
    }

    /// The REGISTER left in this transaction.
    pub(crate) fn asked(&mut self, id: u64, key: ClientKey) {
        if let Some(Doing::Asking(asking)) = self.ours.get_mut(&id).map(|ours| &mut ours.doing) {
            asking.key = Some(key);
        }
    }

    /// Whether the transaction is a REGISTER of ours.
    pub(crate) fn is_asked(&self, key: ClientKey) -> bool {
        self.ours.values().any(|ours| ours.is_asking(key))
    }

    /// The registration whose REGISTER is in this transaction, and its number.
    fn of(&mut self, key: ClientKey) -> Option<(u64, &mut Ours)> {
        let mut all = self.ours.iter_mut();
        let (id, ours) = all.find(|(_, ours)| ours.is_asking(key))?;
        Some((*id, ours))
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
        let Some((id, ours)) = self.of(key) else {
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
        let Some((id, ours)) = self.of(key) else {
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
        Some(ours.state(now))
    }
}
