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
//! no other way (RFC 5626 §5.3, RFC 5923). Over a connection that is the connection itself, and the
//! binding ends with it; over UDP the pair of addresses the REGISTER came with.
//!
//! Bindings are kept by the one who proved to be the trunk, so nothing here is a stranger's word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Flow, FlowId, Headers, Name, NameAddr, Request, Scheme, Target, Text, Transport, Uri};

use super::Registrar;
use crate::dial;
use crate::leg::sip::Way;
use crate::settings::{Settings, Trunk};

/// The contacts of all trunks that register.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    by_trunk: BTreeMap<Arc<str>, Vec<Binding>>,
    /// How many were made or refreshed so far: tells the newer of two.
    turn: u64,
}

/// Where a trunk is.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    contact: Uri,
    /// The device that registered (RFC 5626 §4.1), if it says so: a new contact of it replaces the old.
    instance: Option<String>,
    /// How much it is wanted, in thousandths (RFC 3261 §20.10).
    q: u16,
    call_id: Text,
    cseq: u32,
    until: Instant,
    turn: u64,
    flow: Flow,
}

/// A registered contact, as a call reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The Request-URI.
    pub(crate) contact: Uri,
    /// The flow it registered on.
    flow: Flow,
}

/// A REGISTER that is not taken: a status, and the header that says more.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) header: Option<(Name, Text)>,
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

/// What a REGISTER wants with one contact.
struct Wanted {
    contact: Uri,
    instance: Option<String>,
    q: u16,
    expires: Duration,
}

impl Place {
    /// Where it leads, as destinations are told.
    pub(crate) fn target(&self) -> Target {
        Target {
            transport: self.flow.transport,
            host: self.flow.remote.ip().to_string(),
            port: self.flow.remote.port(),
            from: Some(self.flow.local),
            at: Some(self.flow.remote),
        }
    }

    /// The way of everything said to it: over the connection it registered on; over UDP there is
    /// none to keep to.
    pub(crate) fn way(&self, target: &Target) -> Way {
        match self.flow.transport {
            Transport::Udp => Way::To(target.clone()),
            Transport::Tcp | Transport::Tls => Way::Over(self.flow.id),
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
    /// Forgets the contacts of trunks that no longer register under the same account.
    pub(crate) fn watch(&mut self, before: &Settings, settings: &Settings) {
        let username = |settings: &Settings, name: &str| {
            let trunk = settings.trunks.iter().find(|trunk| *trunk.name == *name)?;
            let account = trunk.access.account.as_ref();
            account
                .filter(|_| trunk.access.registers)
                .map(|account| account.username.clone())
        };
        self.by_trunk.retain(|name, _| {
            let now = username(settings, name);
            now.is_some() && now == username(before, name)
        });
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
        match read(&request.headers, registrar)? {
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
        };
        living.map(place).collect()
    }

    /// Whether a trunk can be called as far as registrations go.
    pub(crate) fn reach(&self, now: Instant, trunk: &Trunk) -> bool {
        let mut bindings = self.by_trunk.get(&trunk.name).into_iter().flatten();
        !trunk.access.registers || bindings.any(|binding| binding.until > now)
    }

    /// A connection is gone, and whom it led to with it: the trunks that are nowhere now.
    pub(crate) fn flow_lost(&mut self, flow: FlowId) -> Vec<Arc<str>> {
        self.drop_where(|binding| {
            binding.flow.id == flow && binding.flow.transport != Transport::Udp
        })
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

/// What a REGISTER asks for.
enum Asked {
    /// No Contact: which there are.
    Nothing,
    /// `Contact: *`.
    RemoveAll,
    Contacts(Vec<Wanted>),
}

fn read(headers: &Headers, registrar: &Registrar) -> Result<Asked, Refusal> {
    let values: Vec<Text> = headers.list(&Name::Contact).collect();
    let general = headers
        .first(&Name::Expires)
        .and_then(|value| seconds(&value.as_str()));
    if values.iter().any(|value| value.as_str().trim() == "*") {
        // RFC 3261 §10.2.2: alone, and only to remove.
        let lawful = values.len() == 1 && general == Some(0);
        return if lawful {
            Ok(Asked::RemoveAll)
        } else {
            Err(refused(400))
        };
    }
    if values.is_empty() {
        return Ok(Asked::Nothing);
    }
    let mut wanted = Vec::new();
    for value in &values {
        let contact = NameAddr::read(value).ok_or(refused(400))?;
        if contact.uri.scheme() != Scheme::Sip || contact.uri.host().is_empty() {
            return Err(refused(400));
        }
        let asked = contact.param("expires").and_then(seconds).or(general);
        let expires = match asked.map(Duration::from_secs) {
            None => registrar.max_expires,
            Some(none) if none.is_zero() => none,
            Some(short) if short < registrar.min_expires => {
                let least = registrar.min_expires.as_secs().to_string();
                return Err(Refusal {
                    status: 423,
                    header: Some((Name::MinExpires, Text::from(least))),
                });
            }
            Some(long) => long.min(registrar.max_expires),
        };
        wanted.push(Wanted {
            instance: contact.param("+sip.instance").map(str::to_owned),
            q: contact.param("q").map_or(1_000, thousandths),
            contact: contact.uri,
            expires,
        });
    }
    Ok(Asked::Contacts(wanted))
}

/// RFC 3261 §20.19: what is no number of seconds means nothing was said.
fn seconds(text: &str) -> Option<u64> {
    text.trim().parse::<u32>().ok().map(u64::from)
}

/// `0.7` is 700; what cannot be read is as good as any.
fn thousandths(q: &str) -> u16 {
    let value = q.trim().parse::<f64>().unwrap_or(1.0);
    (value.clamp(0.0, 1.0) * 1_000.0).round() as u16
}

fn refused(status: u16) -> Refusal {
    Refusal {
        status,
        header: None,
    }
}
