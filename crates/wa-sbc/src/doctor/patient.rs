//! What the doctor examines: the settings, and the circumstances of the examination.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use b2bua::settings::{Number, Trunk};
use sip::Target;
use sip::resolve::Located;

use crate::acme::due_of;
use crate::config::Settings;
use crate::net::dns::Dns;

/// The settings under examination.
#[derive(Clone, Debug)]
pub struct Patient {
    /// The settings.
    pub settings: Settings,
    /// Only this number, what it needs and nothing else.
    pub number: Option<String>,
    /// An authority trusted beside the public ones (labs), PEM.
    pub authority: Option<PathBuf>,
    /// A STUN server that may be asked how our media ports look from outside, `host` or `host:port`.
    pub stun: Option<String>,
    /// The time, as this machine has it.
    pub now: SystemTime,
    /// How long anything may take to answer.
    pub patience: Duration,
}

impl Patient {
    /// The numbers under examination.
    pub fn numbers(&self) -> impl Iterator<Item = &Arc<Number>> {
        let wanted = self.number.as_deref().map(|n| n.trim_start_matches('+'));
        let is = move |number: &Number| {
            wanted.is_none_or(|wanted| number.e164.plus().trim_start_matches('+') == wanted)
        };
        self.settings
            .core
            .numbers
            .iter()
            .filter(move |number| is(number))
    }

    /// The trunks those numbers use.
    pub fn trunks(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        let used: BTreeSet<_> = self.numbers().map(|number| number.trunk.clone()).collect();
        let all = self.number.is_none();
        let trunks = self.settings.core.trunks.iter();
        trunks.filter(move |trunk| all || used.contains(&trunk.name))
    }

    /// The names Meta reaches us by, and the port behind each.
    pub fn hosts(&self) -> BTreeSet<(String, u16)> {
        let Some(port) = &self.settings.tls else {
            return BTreeSet::new();
        };
        let of_numbers = self.numbers().map(|number| match number.port {
            0 => (number.host.clone(), port.listen.port()),
            other => (number.host.clone(), other),
        });
        of_numbers.collect()
    }

    /// Whether the certificate is one we order ourselves, and not there yet.
    pub(super) fn lacks_ordered(&self) -> bool {
        let acme = self.settings.acme.as_ref();
        acme.is_some_and(|acme| due_of(acme).is_none())
    }

    /// Whether the certificate is one we order ourselves, and its renewal not due yet.
    pub(super) fn renews_in_time(&self) -> bool {
        let due = self.settings.acme.as_ref().and_then(due_of);
        due.is_some_and(|due| self.now < due)
    }

    /// The addresses of a host, by configuration or by the system's resolver.
    pub fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        use std::net::ToSocketAddrs;
        if let Some(fixed) = self.settings.fixed.get(&host.to_ascii_lowercase()) {
            return Ok(vec![*fixed]);
        }
        match (host, port).to_socket_addrs() {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Where a target is, in the order calls would try: by its SRV records where it has no port.
    pub fn servers(&self, target: &Target) -> Result<Vec<SocketAddr>, String> {
        let is_name = target.host.parse::<std::net::IpAddr>().is_err();
        let is_fixed = self
            .settings
            .fixed
            .contains_key(&target.host.to_ascii_lowercase());
        if target.port == 0 && is_name && !is_fixed {
            let found: Vec<SocketAddr> = self
                .located(target)
                .ranks
                .iter()
                .flatten()
                .flat_map(|server| {
                    server
                        .addresses
                        .iter()
                        .map(|ip| SocketAddr::new(*ip, server.port))
                })
                .collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.resolve(&target.host, port_of(target))
    }

    /// What the DNS says within our patience.
    fn located(&self, target: &Target) -> Located {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let dns = Dns::new(&self.settings.name_servers);
                let transports = [target.transport];
                let asked = dns.locate(target, &transports);
                tokio::time::timeout(self.patience, asked).await.ok()
            })
        };
        // On a thread of its own: whoever asks may be in a runtime already.
        let answer = std::thread::scope(|scope| scope.spawn(ask).join());
        answer.ok().flatten().unwrap_or_default()
    }
}

/// The port, or what its transport has where none is named.
pub(super) fn port_of(target: &Target) -> u16 {
    match target.port {
        0 => target.transport.default_port(),
        port => port,
    }
}
