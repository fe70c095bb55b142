//! Flows we asked for, so that messages to one target share one connection, and what is known of those
//! peers opened.
//!
//! | | |
//! |---|---|
//! | a connection we asked for | serves its target until it is lost |
//! | a pair of UDP addresses | serves its target as long as it is used now and then: nobody ever tells of its end |
//! | a TCP connection of a peer that says `;alias` in its Via (RFC 5923 §5) | serves the address that Via names, if that is where it comes from |
//!
//! A TLS connection of a peer is never used for requests of ours outside its dialogs: we have not
//! verified its far end, and RFC 5923 §9 asks for just that. Over TCP nobody is verified; that the
//! alias names the very address the connection comes from is as much proof as a connection of ours
//! would bring.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::net::{IpAddr, SocketAddr};

use sip::{Flow, FlowId, Request, Target, Transport};

use crate::io::Output;

/// The pool of flows: at most one live flow per target.
/// Pairs of UDP addresses that are remembered at least; twice as many at most. Telephones behind a PBX
/// may have another port with every call.
const PAIRS: usize = 8 * 1024;

#[derive(Debug)]
pub(crate) struct Flows {
    next: u64,
    by_target: HashMap<Target, FlowId>,
    targets: HashMap<FlowId, Target>,
    /// Where a flow of ours leads, once it is open.
    remotes: HashMap<FlowId, SocketAddr>,
    /// Connections peers opened, by the address they serve as well.
    aliases: HashMap<SocketAddr, FlowId>,
    aliased: HashMap<FlowId, SocketAddr>,
    /// The UDP flows used lately, and those before them.
    lately: HashSet<FlowId>,
    before: HashSet<FlowId>,
}

/// A flow to use, and whether it has yet to be opened.
struct Chosen {
    id: FlowId,
    is_new: bool,
}

impl Flows {
    pub(crate) fn new() -> Self {
        Self {
            next: 1,
            by_target: HashMap::new(),
            targets: HashMap::new(),
            remotes: HashMap::new(),
            aliases: HashMap::new(),
            aliased: HashMap::new(),
            lately: HashSet::new(),
            before: HashSet::new(),
        }
    }

    /// Whether there is a flow to `target`.
    pub(crate) fn has(&self, target: &Target) -> bool {
        self.by_target.contains_key(target) || self.alias_of(target).is_some()
    }

    /// The live flow to `target`; one that is not there yet is asked for.
    pub(crate) fn open(&mut self, target: &Target, out: &mut VecDeque<Output>) -> FlowId {
        let chosen = self.to(target);
        if chosen.is_new {
            out.push_back(Output::Connect {
                id: chosen.id,
                target: target.clone(),
            });
        }
        chosen.id
    }

    /// The live flow to `target`, or a new one.
    fn to(&mut self, target: &Target) -> Chosen {
        let live = self.by_target.get(target).copied();
        if let Some(id) = live.or_else(|| self.alias_of(target)) {
            self.used(target.transport, id);
            return Chosen { id, is_new: false };
        }
        // Odd: minted by the core (see `FlowId`).
        let id = FlowId(self.next);
        self.next += 2;
        self.by_target.insert(target.clone(), id);
        self.targets.insert(id, target.clone());
        self.used(target.transport, id);
        Chosen { id, is_new: true }
    }

    /// Forgets the pairs of UDP addresses not used for longest, when there are too many. Whoever still
    /// sends on one may: outside it is known by its id.
    fn used(&mut self, transport: Transport, id: FlowId) {
        if transport != Transport::Udp || !self.lately.insert(id) {
            return;
        }
        self.before.remove(&id);
        if self.lately.len() >= PAIRS {
            let young = mem::take(&mut self.lately);
            for id in mem::replace(&mut self.before, young) {
                self.lost(id);
            }
        }
    }

    /// A flow we asked for is open.
    pub(crate) fn opened(&mut self, flow: &Flow) {
        if self.targets.contains_key(&flow.id) {
            self.remotes.insert(flow.id, flow.remote);
        }
    }

    /// A flow is gone; the next message to its target gets a fresh one.
    pub(crate) fn lost(&mut self, id: FlowId) {
        if let Some(target) = self.targets.remove(&id)
            && self.by_target.get(&target) == Some(&id)
        {
            self.by_target.remove(&target);
        }
        self.remotes.remove(&id);
        self.lately.remove(&id);
        self.before.remove(&id);
        if let Some(address) = self.aliased.remove(&id)
            && self.aliases.get(&address) == Some(&id)
        {
            self.aliases.remove(&address);
        }
    }

    /// Where a flow of ours leads.
    pub(crate) fn target(&self, id: FlowId) -> Option<&Target> {
        self.targets.get(&id)
    }

    /// The far end of an open flow of ours.
    pub(crate) fn remote(&self, id: FlowId) -> Option<SocketAddr> {
        self.remotes.get(&id).copied()
    }

    /// The far end of the open flow that serves `target`.
    pub(crate) fn remote_of(&self, target: &Target) -> Option<SocketAddr> {
        self.remote(*self.by_target.get(target)?)
    }

    /// A request of a trunk came: should its connection serve the other direction too, it does from
    /// now on. A connection serves one address at most.
    pub(crate) fn offers_alias(&mut self, flow: &Flow, request: &Request) {
        if flow.transport != Transport::Tcp || self.aliased.contains_key(&flow.id) {
            return;
        }
        let Some(via) = request.top_via().filter(|via| via.param("alias").is_some()) else {
            return;
        };
        let host = via.host.utf8().and_then(|host| host.parse::<IpAddr>().ok());
        let source = flow.remote.ip().to_canonical();
        if host.map(|host| host.to_canonical()) != Some(source) {
            return;
        }
        let port = via.port.unwrap_or(flow.transport.default_port());
        let address = SocketAddr::new(source, port);
        // The newest one: an older connection may be a corpse.
        self.aliases.insert(address, flow.id);
        self.aliased.insert(flow.id, address);
    }

    fn alias_of(&self, target: &Target) -> Option<FlowId> {
        if target.transport != Transport::Tcp || self.aliases.is_empty() {
            return None;
        }
        let literal = || Some(SocketAddr::new(target.host.parse().ok()?, target.port));
        let address = target.at.or_else(literal)?;
        self.aliases.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use sip::{Method, Name, Uri};

    use super::*;

    fn target(host: &str) -> Target {
        Target {
            transport: Transport::Tls,
            host: host.into(),
            port: 5061,
            from: None,
            at: None,
        }
    }

    #[test]
    fn one_target_has_one_flow_until_it_is_lost() {
        let mut flows = Flows::new();
        let first = flows.to(&target("a"));
        assert!(first.is_new && first.id.0 % 2 == 1);
        assert!(!flows.to(&target("a")).is_new);
        assert_ne!(flows.to(&target("b")).id, first.id);
        flows.lost(first.id);
        let second = flows.to(&target("a"));
        assert!(second.is_new && second.id != first.id);
    }

    #[test]
    fn telephones_with_a_port_for_every_call_do_not_fill_the_memory() {
        let telephone = |port| Target {
            transport: Transport::Udp,
            port,
            ..target("10.0.0.20")
        };
        let mut flows = Flows::new();
        let pbx = flows.to(&telephone(5060)).id;
        for call in 0..100_000_u32 {
            let host = format!("10.0.1.{}", call / 50_000);
            let port = 10_000 + (call % 50_000) as u16;
            flows.to(&Target {
                host,
                ..telephone(port)
            });
            if call % 1_000 == 0 {
                let again = flows.to(&telephone(5060));
                assert!(again.id == pbx && !again.is_new, "who is called stays");
            }
        }
        let known = [
            flows.targets.len(),
            flows.by_target.len(),
            flows.lately.len() + flows.before.len(),
        ];
        assert!(known.iter().all(|known| *known <= 2 * PAIRS), "{known:?}");
    }

    fn connection(id: u64, transport: Transport) -> Flow {
        Flow {
            id: FlowId(id),
            transport,
            local: "10.0.0.5:5060".parse().unwrap(),
            remote: "10.0.0.20:40123".parse().unwrap(),
        }
    }

    fn saying(via: &str) -> Request {
        let mut request = Request::new(Method::Options, Uri::sip("a", "b"));
        request.headers.push(Name::Via, via.to_owned());
        request
    }

    #[test]
    fn a_connection_serves_the_address_its_via_names_until_it_is_lost() {
        let pbx = Target {
            transport: Transport::Tcp,
            port: 5060,
            ..target("10.0.0.20")
        };
        let mut flows = Flows::new();
        let alias = "SIP/2.0/TCP 10.0.0.20:5060;branch=z9hG4bK1;alias";
        flows.offers_alias(&connection(2, Transport::Tcp), &saying(alias));
        assert!(flows.has(&pbx));
        assert_eq!(flows.to(&pbx).id, FlowId(2));
        flows.offers_alias(&connection(4, Transport::Tcp), &saying(alias));
        assert_eq!(flows.to(&pbx).id, FlowId(4), "the newest");
        flows.lost(FlowId(2));
        assert_eq!(flows.to(&pbx).id, FlowId(4));
        flows.lost(FlowId(4));
        assert!(!flows.has(&pbx) && flows.to(&pbx).is_new);
    }

    #[test]
    fn nobody_takes_an_address_that_is_not_its_own_and_tls_takes_none() {
        let mut flows = Flows::new();
        for (via, transport) in [
            (
                "SIP/2.0/TCP 10.0.0.99:5060;branch=z9hG4bK1;alias",
                Transport::Tcp,
            ),
            (
                "SIP/2.0/TCP pbx.example.com;branch=z9hG4bK1;alias",
                Transport::Tcp,
            ),
            ("SIP/2.0/TCP 10.0.0.20:5060;branch=z9hG4bK1", Transport::Tcp),
            (
                "SIP/2.0/TLS 10.0.0.20:5061;branch=z9hG4bK1;alias",
                Transport::Tls,
            ),
            (
                "SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bK1;alias",
                Transport::Udp,
            ),
        ] {
            flows.offers_alias(&connection(2, transport), &saying(via));
            assert!(flows.aliases.is_empty(), "{via}");
        }
    }
}
