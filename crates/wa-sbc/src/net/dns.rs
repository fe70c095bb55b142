//! Asking the DNS what [`sip::resolve`] wants to know.
//!
//! Answers are kept as long as their time to live says; nothing is asked twice at once. Without
//! name servers of its own the machine's are asked, `/etc/hosts` counts, and what the DNS does not
//! know the system itself may.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sip::resolve::{Answer, Located, Lookup, Naptr, Question, Srv};
use sip::{Target, Transport};
use tokio::net::lookup_host;

/// One question to one name server; there are two attempts.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the DNS.
#[derive(Clone)]
pub struct Dns {
    resolver: Option<TokioResolver>,
    /// The machine's own ways count too.
    of_machine: bool,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns")
            .field("of_machine", &self.of_machine)
            .finish_non_exhaustive()
    }
}

impl Dns {
    /// Asks these servers; those of this machine when there are none.
    pub fn new(servers: &[SocketAddr]) -> Dns {
        let provider = TokioRuntimeProvider::default();
        let builder = if servers.is_empty() {
            TokioResolver::builder(provider)
        } else {
            let servers = servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Ok(TokioResolver::builder_with_config(config, provider))
        };
        let built = builder.and_then(|mut builder| {
            let options: &mut ResolverOpts = builder.options_mut();
            options.timeout = PATIENCE;
            options.attempts = 2;
            builder.build()
        });
        if let Err(error) = &built {
            tracing::warn!(%error, "no DNS resolver of our own; the system's is asked");
        }
        Dns {
            resolver: built.ok(),
            of_machine: servers.is_empty(),
        }
    }

    /// Where a target is. With several transports the DNS may choose among them.
    pub async fn locate(&self, target: &Target, transports: &[Transport]) -> Located {
        let mut lookup = Lookup::new(&target.host, target.port, transports);
        loop {
            let questions = lookup.questions();
            if questions.is_empty() {
                return lookup.located().unwrap_or_default();
            }
            let mut asking = Vec::new();
            for question in questions {
                let dns = self.clone();
                asking.push(tokio::spawn(async move {
                    let (answer, ttl) = dns.ask(&question).await;
                    (question, answer, ttl)
                }));
            }
            for answered in asking {
                match answered.await {
                    Ok((question, answer, ttl)) => lookup.answer(&question, answer, ttl),
                    Err(_) => return Located::default(),
                }
            }
        }
    }

    async fn ask(&self, question: &Question) -> (Answer, Option<Duration>) {
        match question {
            Question::Naptr(name) => {
                let (records, ttl) = self.records(name, RecordType::NAPTR).await;
                let found = records.into_iter().filter_map(|record| match record {
                    RData::NAPTR(record) => Some(Naptr {
                        order: record.order,
                        preference: record.preference,
                        flags: String::from_utf8_lossy(&record.flags).into_owned(),
                        service: String::from_utf8_lossy(&record.services).into_owned(),
                        replacement: record.replacement.to_ascii(),
                    }),
                    _ => None,
                });
                (Answer::Naptr(found.collect()), ttl)
            }
            Question::Srv(name) => {
                let (records, ttl) = self.records(name, RecordType::SRV).await;
                let found = records.into_iter().filter_map(|record| match record {
                    RData::SRV(record) => Some(Srv {
                        priority: record.priority,
                        weight: record.weight,
                        port: record.port,
                        target: record.target.to_ascii(),
                    }),
                    _ => None,
                });
                (Answer::Srv(found.collect()), ttl)
            }
            Question::Addresses(name) => self.addresses(name).await,
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> (Vec<RData>, Option<Duration>) {
        let (Some(resolver), Ok(mut name)) = (&self.resolver, Name::from_ascii(name)) else {
            return (Vec::new(), None);
        };
        name.set_fqdn(true);
        match resolver.lookup(name, kind).await {
            Ok(found) => {
                let records = found.answers().iter().map(|record| record.data.clone());
                (records.collect(), Some(left(found.valid_until())))
            }
            Err(error) => {
                tracing::debug!(%kind, %error, "the DNS has none");
                (Vec::new(), None)
            }
        }
    }

    async fn addresses(&self, name: &str) -> (Answer, Option<Duration>) {
        let mut found = Vec::new();
        let mut ttl = None;
        if let Some(resolver) = &self.resolver
            && let Ok(looked_up) = resolver.lookup_ip(name).await
        {
            found.extend(looked_up.iter());
            ttl = Some(left(looked_up.valid_until()));
        }
        if found.is_empty() && self.of_machine {
            let looked_up = lookup_host((name, 0)).await.into_iter().flatten();
            found.extend(looked_up.map(|address| address.ip()));
        }
        // The newer family first, where this machine has a way there (RFC 6724, rules 1 and 6).
        found.sort_by_key(|address| (!has_route(*address), address.is_ipv4()));
        found.dedup();
        (Answer::Addresses(found), ttl)
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(crate::clock::now())
}

/// Whether the system knows a way: connecting a datagram socket asks it and sends nothing.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
}
