//! Locating SIP servers (RFC 3263) without asking anybody: questions out, answers in.
//!
//! ```text
//!   an address ─────────────────────────────────────────────────────────► itself
//!   a name with a port ──────────────────────────────────► A, AAAA ─────► addresses, that port
//!   a name, its transport known ──────► SRV ──┬─ found ──► A, AAAA ─────► addresses, SRV's port
//!                                             └─ none ───► A, AAAA ─────► addresses, default port
//!   a name, several transports ─► NAPTR ─┬─ found ─► SRV of its replacement, as above
//!                                        └─ none ──► SRV of every transport, as above
//! ```
//!
//! [`Lookup`] walks these lines one stage at a time; what it comes to is a [`Located`], whose order
//! is drawn anew for every use (RFC 2782).

mod located;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

pub use located::{Located, Server};

use crate::Transport;

/// How long an answer without a time to live is good: one that came from the address itself, or
/// that there is nothing.
const UNTIMED: Duration = Duration::from_secs(60);

/// A question to the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// NAPTR records of a name (RFC 3403).
    Naptr(String),
    /// SRV records of a name (RFC 2782).
    Srv(String),
    /// A and AAAA records of a name.
    Addresses(String),
}

/// What the DNS said. Nothing at all, or nothing in time, is an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// SRV records.
    Srv(Vec<Srv>),
    /// Addresses, in the order they are to be tried.
    Addresses(Vec<IpAddr>),
}

/// A NAPTR record, as far as SIP looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones first.
    pub order: u16,
    /// Among equals in `order`, lower ones first.
    pub preference: u16,
    /// `s`: the replacement has SRV records.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Among equals in `priority`, how often this one comes first.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` where the service is decidedly not offered.
    pub target: String,
}

/// Finding out where a host is.
#[derive(Clone, Debug)]
pub struct Lookup {
    host: String,
    transports: Vec<Transport>,
    stage: Stage,
    ttl: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Stage {
    Naptr,
    /// Ranks in their order, each with what was found for it.
    Srv(Vec<(Transport, String, Option<Vec<Srv>>)>),
    Addresses(Vec<Vec<Pending>>),
    Done(Vec<Vec<Server>>),
}

/// A server whose addresses are being looked for.
#[derive(Clone, Debug)]
struct Pending {
    transport: Transport,
    weight: u16,
    port: u16,
    name: String,
    addresses: Option<Vec<IpAddr>>,
}

impl Lookup {
    /// Begins. `port` is 0 where none is written; `transports` are those that may be used, the
    /// most wanted first: one where the URI names it, several where the DNS may choose.
    pub fn new(host: &str, port: u16, transports: &[Transport]) -> Lookup {
        let first = transports.first().copied().unwrap_or(Transport::Udp);
        let pending = |port| Pending {
            transport: first,
            weight: 0,
            port,
            name: host.to_owned(),
            addresses: None,
        };
        let stage = match (host.parse::<IpAddr>(), port) {
            (Ok(address), port) => Stage::Done(vec![vec![Server {
                transport: first,
                weight: 0,
                port: or_default(port, first),
                addresses: vec![address],
            }]]),
            (Err(_), 0) if transports.len() > 1 => Stage::Naptr,
            (Err(_), 0) => Stage::Srv(vec![(first, srv_name(first, host), None)]),
            (Err(_), port) => Stage::Addresses(vec![vec![pending(port)]]),
        };
        Lookup {
            host: host.to_owned(),
            transports: match transports {
                [] => vec![first],
                some => some.to_vec(),
            },
            stage,
            ttl: None,
        }
    }

    /// The questions that are open now, which may be asked at once; none when the end is reached.
    pub fn questions(&self) -> Vec<Question> {
        match &self.stage {
            Stage::Naptr => vec![Question::Naptr(self.host.clone())],
            Stage::Srv(names) => names
                .iter()
                .filter(|(_, _, found)| found.is_none())
                .map(|(_, name, _)| Question::Srv(name.clone()))
                .collect(),
            Stage::Addresses(ranks) => {
                let mut open = Vec::new();
                for server in ranks.iter().flatten().filter(|one| one.addresses.is_none()) {
                    let question = Question::Addresses(server.name.clone());
                    if !open.contains(&question) {
                        open.push(question);
                    }
                }
                open
            }
            Stage::Done(_) => Vec::new(),
        }
    }

    /// Takes the answer to one of the open questions, and how long it is good.
    pub fn answer(&mut self, question: &Question, answer: Answer, ttl: Option<Duration>) {
        if let Some(ttl) = ttl {
            self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
        }
        match (&mut self.stage, question, answer) {
            (Stage::Naptr, Question::Naptr(_), Answer::Naptr(found)) => self.after_naptr(found),
            (Stage::Srv(names), Question::Srv(asked), Answer::Srv(found)) => {
                for (_, name, place) in names.iter_mut() {
                    if name == asked {
                        *place = Some(found.clone());
                    }
                }
                self.after_srv();
            }
            (Stage::Addresses(ranks), Question::Addresses(asked), Answer::Addresses(found)) => {
                for server in ranks.iter_mut().flatten().filter(|one| one.name == *asked) {
                    server.addresses = Some(found.clone());
                }
                self.after_addresses();
            }
            // An answer to what was not asked says nothing.
            _ => {}
        }
    }

    /// What was found, once no question is open.
    pub fn located(self) -> Option<Located> {
        match self.stage {
            Stage::Done(ranks) => Some(Located {
                ranks,
                ttl: self.ttl.unwrap_or(UNTIMED),
            }),
            _ => None,
        }
    }

    /// RFC 3263 §4.1: the records of our transports, by order and preference.
    fn after_naptr(&mut self, mut found: Vec<Naptr>) {
        found.sort_by_key(|record| (record.order, record.preference));
        let mut names = Vec::new();
        for record in found {
            let transport = transport_of(&record.service);
            if let Some(transport) = transport.filter(|one| self.transports.contains(one))
                && record.flags.eq_ignore_ascii_case("s")
            {
                names.push((transport, without_dot(&record.replacement), None));
            }
        }
        if names.is_empty() {
            let of = |transport: &Transport| (*transport, srv_name(*transport, &self.host), None);
            names = self.transports.iter().map(of).collect();
        }
        self.stage = Stage::Srv(names);
    }

    /// RFC 3263 §4.2: servers by transport, then by priority; the host itself where there are none.
    fn after_srv(&mut self) {
        let Stage::Srv(names) = &self.stage else {
            return;
        };
        if names.iter().any(|(_, _, found)| found.is_none()) {
            return;
        }
        let mut ranks = Vec::new();
        let mut refused = false;
        for (transport, _, found) in names {
            let mut records = found.clone().unwrap_or_default();
            records.sort_by_key(|record| record.priority);
            for same in records.chunk_by(|a, b| a.priority == b.priority) {
                let offered = same.iter().filter(|record| record.target != ".");
                let rank: Vec<Pending> = offered
                    .map(|record| Pending {
                        transport: *transport,
                        weight: record.weight,
                        port: record.port,
                        name: without_dot(&record.target),
                        addresses: None,
                    })
                    .collect();
                refused |= rank.is_empty();
                ranks.extend((!rank.is_empty()).then_some(rank));
            }
        }
        // Records that say "not here" are an answer; no records at all are none.
        if ranks.is_empty() && !refused {
            let transport = self.transports[0];
            ranks.push(vec![Pending {
                transport,
                weight: 0,
                port: transport.default_port(),
                name: self.host.clone(),
                addresses: None,
            }]);
        }
        self.stage = Stage::Addresses(ranks);
        self.after_addresses();
    }

    fn after_addresses(&mut self) {
        let Stage::Addresses(ranks) = &mut self.stage else {
            return;
        };
        if ranks.iter().flatten().any(|one| one.addresses.is_none()) {
            return;
        }
        let server = |pending: Pending| Server {
            transport: pending.transport,
            weight: pending.weight,
            port: pending.port,
            addresses: pending.addresses.unwrap_or_default(),
        };
        let ranks = std::mem::take(ranks)
            .into_iter()
            .map(|rank| rank.into_iter().map(server).collect())
            .collect();
        self.stage = Stage::Done(ranks);
    }
}

/// RFC 3263 §4.1: the services of SIP.
fn transport_of(service: &str) -> Option<Transport> {
    let is = |name: &str| service.eq_ignore_ascii_case(name);
    match () {
        () if is("SIP+D2U") => Some(Transport::Udp),
        () if is("SIP+D2T") => Some(Transport::Tcp),
        () if is("SIPS+D2T") => Some(Transport::Tls),
        () => None,
    }
}

fn srv_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{service}.{}", without_dot(host))
}

fn without_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn or_default(port: u16, transport: Transport) -> u16 {
    match port {
        0 => transport.default_port(),
        port => port,
    }
}
