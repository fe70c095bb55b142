//! The settings as meant: resolved, typed, secrets fetched.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use b2bua::settings;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sip::Transport;

use super::acme::AcmeSettings;
use super::capture::CaptureSettings;
use super::file::File;
use super::hep::HepSettings;
use super::http::HttpSettings;
use super::listener::CertificateFiles;
use super::lists;
use super::meta_port::MetaPort;
use super::objection::{ConfigError, Critic};
use super::otlp::OtlpSettings;
use super::records::RecordSettings;
use super::resolve::Resolver;
use super::sources::Sources;
use super::trace::TraceSettings;
use crate::media::PortRange;
use crate::net::{Bound, Limits};

/// Everything the program has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What calls have to know. Ports that are 0 here are filled in once they are bound.
    pub core: settings::Settings,
    /// The TLS port, where there is one.
    pub tls: Option<TlsPort>,
    /// The UDP port, where there is one.
    pub udp: Option<Port>,
    /// The TCP port, where there is one.
    pub tcp: Option<StreamPort>,
    /// Ports beyond these three.
    pub listeners: Vec<Listener>,
    /// Trunks that name one of those, by the trunk's name.
    pub listener_of: HashMap<Arc<str>, String>,
    /// What connections may take of us.
    pub limits: Limits,
    /// Where the numbers of users who have none are kept.
    pub alias_store: PathBuf,
    /// Where it is kept where trunks have registered; empty: nowhere.
    pub registration_store: PathBuf,
    /// Fixed addresses of hosts, instead of resolving them.
    pub fixed: HashMap<String, SocketAddr>,
    /// Hosts verified against an authority of their own as well: host to PEM file.
    pub authorities: HashMap<String, PathBuf>,
    /// Hosts we show a certificate when we connect (TLS).
    pub identities: HashMap<String, CertificateFiles>,
    /// Hosts of trunks whose silent connections are pinged: how long silence may last.
    pub keep_alives: HashMap<String, Duration>,
    /// Name servers; empty: those of this machine.
    pub name_servers: Vec<SocketAddr>,
    /// The files all this was read from.
    pub sources: Sources,
    /// How often those are looked at, to read everything again when one changed; `None`: never.
    pub watch: Option<Duration>,
    /// Media.
    pub media: MediaSettings,
    /// Records of calls.
    pub records: RecordSettings,
    /// Metrics, health and the operator's interface.
    pub http: HttpSettings,
    /// The log.
    pub log: LogSettings,
    /// Traces, and the socket they are asked for at.
    pub trace: TraceSettings,
    /// An authority that gives us our certificate.
    pub acme: Option<AcmeSettings>,
    /// Where a Homer hears of calls.
    pub hep: Option<HepSettings>,
    /// Where traces of calls go.
    pub otlp: Option<OtlpSettings>,
    /// Captures.
    pub capture: CaptureSettings,
    /// How long running calls may go on after SIGTERM.
    pub drain: Duration,
}

/// The TLS port.
#[derive(Clone, Debug)]
pub struct TlsPort {
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// The host the certificate has to be made for.
    pub host: String,
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Further certificates, for those who ask for other names (SNI).
    pub certificates: Vec<CertificateFiles>,
}

/// A port beyond the three of `[sip]`.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What trunks call it by.
    pub name: String,
    /// Its transport.
    pub transport: Transport,
    /// Address and port to bind.
    pub listen: SocketAddr,
    /// Its certificates over TLS: the default one first.
    pub certificates: Vec<CertificateFiles>,
    /// Whoever connects has to show a certificate of this authority, PEM.
    pub client_ca: Option<PathBuf>,
}

/// A UDP port.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Address and port to bind.
    pub listen: SocketAddr,
}

/// A TCP port.
pub type StreamPort = Port;

/// Media: addresses, ports, engine.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// The address Meta is told.
    pub public: IpAddr,
    /// The address bound for it.
    pub public_bind: IpAddr,
    /// The address PBXs are told.
    pub private: IpAddr,
    /// The address bound for it.
    pub private_bind: IpAddr,
    /// The ports, on both addresses.
    pub ports: PortRange,
    /// Which of them Meta sends to.
    pub meta_port: MetaPort,
    /// Threads, at least one.
    pub threads: usize,
    /// DSCP of media packets.
    pub dscp: u8,
    /// Effort of the Opus encoder, 0 to 10.
    pub opus_complexity: u8,
    /// Bit/s of Opus towards Meta.
    pub opus_bitrate: u32,
    /// The most PBX audio that is held until Meta's path is proven; zero: none.
    pub preroll: Duration,
    /// Every RTCP report that leaves is told, for whoever listens.
    pub tell_reports: bool,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What is logged.
    pub filter: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reads, resolves and judges a configuration file, with secrets from this process's
    /// environment.
    pub fn load(path: &Path) -> Result<Settings, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Settings::read(path, &text, |name| std::env::var(name).ok())
    }

    /// The same for a text at hand; `path` is named in objections.
    pub fn read(
        path: &Path,
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let file = File::parse(path, text)?;
        let lists = lists::load(path, &file.number_files)?;
        let mut critic = Critic::new(text);
        let mut settings = Resolver {
            file: &file,
            lists: &lists,
            critic: &mut critic,
            environment: &environment,
        }
        .settings();
        critic.verdict(path)?;
        settings.sources = Sources::of(path, &file, &lists);
        Ok(settings)
    }

    /// The networks of configured peers: all of them where Meta may call from anywhere.
    pub fn known_networks(&self) -> Vec<IpNet> {
        let carrier = &self.core.carrier.networks;
        if carrier.is_empty() {
            return vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        }
        let trunks = self.core.trunks.iter().flat_map(|trunk| &trunk.networks);
        carrier.iter().chain(trunks).copied().collect()
    }

    /// What calls have to know, with the ports the system chose where 0 was asked for.
    pub fn core_bound_to(&self, bound: &Bound) -> settings::Settings {
        let mut core = self.core.clone();
        let port = |transport| {
            let bound = match transport {
                Transport::Udp => bound.udp,
                Transport::Tcp => bound.tcp,
                Transport::Tls => bound.tls,
            };
            bound.map_or(0, |address| address.port())
        };
        core.registrar.carrier_door = bound.tls;
        for number in core.numbers.iter_mut().filter(|number| number.port == 0) {
            Arc::make_mut(number).port = port(Transport::Tls);
        }
        for trunk in &mut core.trunks {
            if let Some(host) = trunk.sent_by.strip_suffix(":0") {
                let named = self.listener_of.get(&trunk.name);
                let port = match named.and_then(|name| bound.named.get(name)) {
                    Some(address) => address.port(),
                    None => port(trunk.target.transport),
                };
                let sent_by = format!("{host}:{port}");
                Arc::make_mut(trunk).sent_by = sent_by;
            }
        }
        core
    }
}
