//! Who has registered with us: the contacts of each trunk, and the flows they are reached on.
//!
//! ```text
//!             REGISTER, digest right                  expires · Expires: 0 · `*`
//!   (nothing) ───────────────────────► Binding ─────────────────────────────────► (nothing)
//!                                      ▲     │      its connection is gone
//!                                      └─────┘
//!                                      refreshed
//! ```
//!
//! A contact is called on the flow it registered on, whatever its URI says: behind a NAT there is
//! no other way (RFC 5626 §5.3, RFC 5923). Over UDP that is the pair of addresses the REGISTER came with;
//! else the connection itself. When that is gone, a contact over TCP whose URI names the very address it
//! registered from, at another port than the connection's own, is called there: it listens. All others
//! end with their connection.
//!
//! Bindings are kept by the one who proved to be the trunk, so nothing here is a stranger's word.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip::{Flow, FlowId, Request, Target, Text, Transport, Uri};

use super::Registrar;
use super::asked::{self, Asked, Refusal, Wanted, refused};
use crate::dial;
use crate::leg::sip::Way;
use crate::settings::{Settings, Trunk};

/// The contacts of all trunks that register.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    pub(super) by_trunk: BTreeMap<Arc<str>, Vec<Binding>>,
    /// The trunks of which contacts are kept for the next start.
    pub(super) kept: BTreeSet<Arc<str>>,
    /// How many were made or refreshed so far: tells the newer of two.
    pub(super) turn: u64,
}

/// Where a trunk is.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(super) contact: Uri,
    /// The device that registered (RFC 5626 §4.1), if it says so: a new contact of it replaces the old.
    pub(super) instance: Option<String>,
    /// How much it is wanted, in thousandths (RFC 3261 §20.10).
    pub(super) q: u16,
    pub(super) call_id: Text,
    pub(super) cseq: u32,
    pub(super) until: Instant,
    pub(super) turn: u64,
    pub(super) flow: Flow,
    /// Its connection is gone: it is called where its contact says.
    pub(super) adrift: bool,
}

/// A registered contact, as a call reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The Request-URI.
    pub(crate) contact: Uri,
    /// The flow it registered on.
    flow: Flow,
    /// Where it is now that its connection is gone.
    adrift: Option<SocketAddr>,
}

/// A REGISTER that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The contacts that hold now, as values of Contact.
    pub(crate) contacts: Vec<Text>,
    /// Whether the trunk was nowhere before, or is nowhere now.
    pub(crate) turned: Option<Turned>,
}

/// The first contact came, or the last one went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Reachable,
    Unreachable,
}

impl Place {
    /// Where it leads, as destinations are told.
    pub(crate) fn target(&self) -> Target {
        let remote = self.adrift.unwrap_or(self.flow.remote);
        Target {
            transport: self.flow.transport,
            host: remote.ip().to_string(),
            port: remote.port(),
            from: Some(self.flow.local),
            at: Some(remote),
        }
    }

    /// The way of everything said to it: over the connection it registered on, where there is one to
    /// keep to.
    pub(crate) fn way(&self, target: &Target) -> Way {
        match self.flow.transport {
            Transport::Tcp | Transport::Tls if self.adrift.is_none() => Way::Over(self.flow.id),
            _ => Way::to(target.clone()),
        }
    }

    /// Host and port of ours as the contact reaches us.
    pub(crate) fn sent_by(&self, trunk: &Trunk) -> Arc<str> {
        dial::ours(trunk, &self.flow)
    }

    /// Whether this URI means this contact, whatever parameters either has.
    pub(crate) fn is_named_by(&self, uri: &Uri) -> bool {
        let own = &self.contact;
        own.user_base() == uri.user_base()
            && own.port() == uri.port()
            && own.host().eq_ignore_ascii_case(uri.host())
    }
}

impl Bindings {
    /// Forgets the contacts of trunks that no longer register under the same account; those of which
    /// some were kept for the next start are named.
    pub(crate) fn watch(&mut self, before: &Settings, settings: &Settings) -> Vec<Arc<str>> {
        let username = |settings: &Settings, name: &str| {
            let trunk = settings.trunks.iter().find(|trunk| *trunk.name == *name)?;
            registering(trunk).map(str::to_owned)
        };
        let stays = |name: &Arc<str>| {
            let now = username(settings, name);
            now.is_some() && now == username(before, name)
        };
        self.by_trunk.retain(|name, _| stays(name));
        let gone = self.kept.extract_if(.., |name| !stays(name));
        gone.collect()
    }

    /// A REGISTER of a trunk that proved who it is (RFC 3261 §10.3, steps 6 to 8). All of it is taken
    /// or nothing.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        registrar: &Registrar,
        trunk: &Arc<str>,
        flow: &Flow,
        request: &Request,
    ) -> Result<Taken, Refusal> {
        let (Some(call_id), Some(cseq)) = (request.call_id(), request.cseq()) else {
            return Err(refused(400));
        };
        let mut bindings = self.by_trunk.get(trunk).cloned().unwrap_or_default();
        bindings.retain(|binding| binding.until > now);
        let was_reachable = !bindings.is_empty();
        let out_of_order =
            |binding: &Binding| binding.call_id == *call_id && cseq.number <= binding.cseq;
        match asked::read(&request.headers, registrar)? {
            Asked::Nothing => {}
            Asked::RemoveAll => {
                if bindings.iter().any(out_of_order) {
                    return Err(refused(500));
                }
                bindings.clear();
            }
            Asked::Contacts(wanted) => {
                for Wanted {
                    contact,
                    instance,
                    q,
                    expires,
                } in wanted
                {
                    let same = |binding: &Binding| {
                        binding.contact.equivalent(&contact)
                            || instance.is_some() && binding.instance == instance
                    };
                    if bindings.iter().any(|b| same(b) && out_of_order(b)) {
                        return Err(refused(500));
                    }
                    bindings.retain(|binding| !same(binding));
                    if expires.is_zero() {
                        continue;
                    }
                    self.turn += 1;
                    bindings.push(Binding {
                        contact: contact.detached(),
                        instance,
                        q,
                        call_id: call_id.detached(),
                        cseq: cseq.number,
                        until: now + expires,
                        turn: self.turn,
                        flow: *flow,
                        adrift: false,
                    });
                }
            }
        }
        while bindings.len() > registrar.contacts.max(1) {
            let first = (0..bindings.len()).min_by_key(|at| bindings[*at].until);
            bindings.remove(first.unwrap_or(0));
        }
        bindings.sort_by_key(|binding| (u16::MAX - binding.q, u64::MAX - binding.turn));
        let turned = match (was_reachable, bindings.is_empty()) {
            (false, false) => Some(Turned::Reachable),
            (true, true) => Some(Turned::Unreachable),
            _ => None,
        };
        let contacts = bindings.iter().map(|binding| binding.value(now)).collect();
        match bindings.is_empty() {
            true => drop(self.by_trunk.remove(trunk)),
            false => drop(self.by_trunk.insert(trunk.clone(), bindings)),
        }
        Ok(Taken { contacts, turned })
    }

    /// Where a trunk is to be called, most wanted first.
    pub(crate) fn places(&self, now: Instant, trunk: &str) -> Vec<Place> {
        let bindings = self.by_trunk.get(trunk).into_iter().flatten();
        let living = bindings.filter(|binding| binding.until > now);
        let place = |binding: &Binding| Place {
            contact: binding.contact.clone(),
            flow: binding.flow,
            adrift: binding.own_address().filter(|_| binding.adrift),
        };
        living.map(place).collect()
    }

    /// Whether a trunk can be called as far as registrations go.
    pub(crate) fn reach(&self, now: Instant, trunk: &Trunk) -> bool {
        let mut bindings = self.by_trunk.get(&trunk.name).into_iter().flatten();
        !trunk.access.registers || bindings.any(|binding| binding.until > now)
    }

    /// A connection is gone, and whom nothing else leads to with it: the trunks that are nowhere now.
    pub(crate) fn flow_lost(&mut self, flow: FlowId) -> Vec<Arc<str>> {
        let is_its = |binding: &Binding| {
            binding.flow.id == flow && binding.flow.transport.is_reliable() && !binding.adrift
        };
        for binding in self.by_trunk.values_mut().flatten() {
            if is_its(binding) {
                binding.adrift = binding.own_address().is_some();
            }
        }
        self.drop_where(is_its)
    }

    /// When the next binding ends.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.by_trunk
            .values()
            .flatten()
            .map(|binding| binding.until)
            .min()
    }

    /// Forgets what has ended: the trunks that are nowhere now.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Arc<str>> {
        self.drop_where(|binding| binding.until <= now)
    }

    fn drop_where(&mut self, ends: impl Fn(&Binding) -> bool) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        self.by_trunk.retain(|trunk, bindings| {
            bindings.retain(|binding| !ends(binding));
            if bindings.is_empty() {
                gone.push(trunk.clone());
            }
            !bindings.is_empty()
        });
        gone
    }
}

impl Binding {
    /// Where it listens, should that be sure without its connection.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        let (transport, remote) = (self.flow.transport, self.flow.remote);
        if transport != Transport::Tcp {
            return None;
        }
        let named = self.contact.param("transport")?;
        let host: std::net::IpAddr = self.contact.host().parse().ok()?;
        let port = self.contact.port().unwrap_or(transport.default_port());
        let is_own = named.eq_ignore_ascii_case(transport.param())
            && host.to_canonical() == remote.ip().to_canonical()
            && port != remote.port();
        is_own.then(|| SocketAddr::new(remote.ip(), port))
    }

    /// As a Contact of the response: with what is left of its time.
    fn value(&self, now: Instant) -> Text {
        let left = self.until.saturating_duration_since(now);
        // Rounded up: a client that refreshes a second late has lost nothing by it.
        let seconds = left.as_millis().div_ceil(1_000);
        let q = match self.q {
            1_000 => String::new(),
            q => format!(";q=0.{q:03}"),
        };
        Text::from(format!("<{}>{q};expires={seconds}", self.contact))
    }
}

/// The user name a trunk registers under, if it does.
pub(super) fn registering(trunk: &Trunk) -> Option<&str> {
    let account = trunk.access.account.as_ref();
    account
        .filter(|_| trunk.access.registers)
        .map(|account| account.username.as_str())
}
