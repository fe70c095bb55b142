//! What outlives a restart of ours: contacts that are reached without the connection they registered on.
//!
//! ```text
//!  REGISTER ──► Binding ──► Output::Whereabouts ──► (kept outside) ──► Input::Whereabouts ──► Binding
//! ```
//!
//! A PBX that registered for an hour does not know that we began anew, and would be nowhere for that
//! hour. Who is behind a NAT over TCP or TLS is lost all the same: nobody can open that connection but it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sip::{Flow, FlowId, Text, Transport, Uri};

use super::serve::{Binding, Bindings, registering};
use crate::context::Clock;
use crate::settings::{Settings, Trunk};

/// Where a trunk is, for the next start. Replaces what was told of the trunk before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The trunk's name.
    pub trunk: Arc<str>,
    /// The user name it registered under: under another one nothing of this holds.
    pub username: String,
    /// Its contacts; empty: there is nothing to keep.
    pub contacts: Vec<KeptContact>,
}

/// A registered contact, for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptContact {
    /// Its URI.
    pub uri: String,
    /// The device that registered (RFC 5626 §4.1).
    pub instance: Option<String>,
    /// How much it is wanted, in thousandths (RFC 3261 §20.10).
    pub q: u16,
    /// Call-ID of the REGISTER.
    pub call_id: String,
    /// Sequence number of the REGISTER.
    pub cseq: u32,
    /// When it ends.
    pub until: SystemTime,
    /// Over UDP or TCP.
    pub transport: Transport,
    /// Our address the REGISTER came to.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
}

impl Whereabouts {
    /// Nothing is to be kept of a trunk any more.
    pub(crate) fn none(trunk: Arc<str>) -> Whereabouts {
        Whereabouts {
            trunk,
            username: String::new(),
            contacts: Vec::new(),
        }
    }
}

impl Bindings {
    /// What is to be kept of a trunk from now on; `None` where there is nothing and never was.
    pub(crate) fn whereabouts(
        &mut self,
        now: Instant,
        clock: Clock,
        trunk: &Trunk,
    ) -> Option<Whereabouts> {
        let bindings = self.by_trunk.get(&trunk.name).into_iter().flatten();
        let contacts: Vec<KeptContact> = bindings
            .filter(|binding| binding.until > now)
            .filter_map(|binding| kept(binding, clock))
            .collect();
        let told = match contacts.is_empty() {
            true => self.kept.remove(&trunk.name),
            false => {
                self.kept.insert(trunk.name.clone());
                true
            }
        };
        told.then(|| Whereabouts {
            trunk: trunk.name.clone(),
            username: registering(trunk).unwrap_or_default().to_owned(),
            contacts,
        })
    }

    /// Takes back what was kept before the start. First the trunks that can be called because of it,
    /// then those of which nothing is to be kept any more.
    pub(crate) fn take_back(
        &mut self,
        now: Instant,
        clock: Clock,
        settings: &Settings,
        kept: Vec<Whereabouts>,
    ) -> [Vec<Arc<str>>; 2] {
        let (mut back, mut gone) = (Vec::new(), Vec::new());
        for Whereabouts {
            trunk,
            username,
            contacts,
        } in kept
        {
            let known = settings.trunks.iter().find(|known| known.name == trunk);
            let Some(known) = known.filter(|known| registering(known) == Some(&username)) else {
                gone.push(trunk);
                continue;
            };
            self.kept.insert(trunk.clone());
            let longest = clock.wall(now) + settings.registrar.max_expires;
            let from_there = |contact: &KeptContact| {
                let source = contact.remote.ip();
                let mut networks = known.networks.iter();
                known.networks.is_empty() || networks.any(|net| net.contains(&source))
            };
            let mut bindings = Vec::new();
            for contact in contacts.into_iter().filter(from_there) {
                // The clock may have been set meanwhile.
                let until = contact.until.min(longest);
                let left = until.duration_since(clock.wall(now));
                let left = left.ok().filter(|left| !left.is_zero());
                let uri = Uri::parse(contact.uri.as_str()).ok();
                let (Some(left), Some(uri)) = (left, uri) else {
                    continue;
                };
                bindings.push(Binding {
                    contact: uri,
                    instance: contact.instance,
                    q: contact.q,
                    call_id: Text::from(contact.call_id),
                    cseq: contact.cseq,
                    until: now + left,
                    turn: 0,
                    flow: Flow {
                        // No flow has this name: over UDP none is asked for, over TCP it is gone.
                        id: FlowId(0),
                        transport: contact.transport,
                        local: contact.local,
                        remote: contact.remote,
                    },
                    adrift: contact.transport.is_reliable(),
                });
            }
            // The newest came first.
            for binding in bindings.iter_mut().rev() {
                self.turn += 1;
                binding.turn = self.turn;
            }
            if !bindings.is_empty() {
                back.push(trunk.clone());
                self.by_trunk.insert(trunk, bindings);
            }
        }
        [back, gone]
    }
}

/// A contact as it is kept; `None` if its connection is the only way to it.
fn kept(binding: &Binding, clock: Clock) -> Option<KeptContact> {
    let Flow {
        transport,
        local,
        remote,
        ..
    } = binding.flow;
    let stays = transport == Transport::Udp || binding.own_address().is_some();
    stays.then(|| KeptContact {
        uri: binding.contact.to_string(),
        instance: binding.instance.clone(),
        q: binding.q,
        call_id: binding.call_id.to_string(),
        cseq: binding.cseq,
        until: clock.wall(binding.until),
        transport,
        local,
        remote,
    })
}
