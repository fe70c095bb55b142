//! The settings as meant: resolved, typed, secrets fetched.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use b2bua::settings::{Carrier, MetadataPass, NumberLimits};
use b2bua::{E164, settings};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sdp::{Codec, Suite};
use sip::{Scheme, Secret, Target, TimerSettings, Transport, Uri};
use toml::Spanned;

use super::file::{self, File, Listen};
use super::objection::{ConfigError, Critic};
use crate::media::PortRange;
use crate::net::{Bound, Limits};

/// Meta's users see "not answered" after 30 s at the earliest (Meta reference 6).
const ANSWER_WINDOW: u64 = 30;

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
    /// What connections may take of us.
    pub limits: Limits,
    /// Fixed addresses of hosts, instead of resolving them.
    pub fixed: HashMap<String, SocketAddr>,
    /// Hosts verified against an authority of their own as well: host to PEM file.
    pub authorities: HashMap<String, PathBuf>,
    /// Media.
    pub media: MediaSettings,
    /// Records of calls.
    pub records: RecordSettings,
    /// The log.
    pub log: LogSettings,
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
    /// Threads, at least one.
    pub threads: usize,
    /// DSCP of media packets.
    pub dscp: u8,
    /// Effort of the Opus encoder, 0 to 10.
    pub opus_complexity: u8,
    /// Bit/s of Opus towards Meta.
    pub opus_bitrate: u32,
}

/// Where records of calls go.
#[derive(Clone, Debug, Default)]
pub struct RecordSettings {
    /// Appended to this file.
    pub file: Option<PathBuf>,
    /// Written to standard output.
    pub stdout: bool,
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
        let mut critic = Critic::new(text);
        let settings = Resolver {
            file: &file,
            critic: &mut critic,
            environment: &environment,
        }
        .settings();
        critic.verdict(path)?;
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
        for number in core.numbers.iter_mut().filter(|number| number.port == 0) {
            Arc::make_mut(number).port = port(Transport::Tls);
        }
        for trunk in &mut core.trunks {
            if let Some(host) = trunk.sent_by.strip_suffix(":0") {
                let sent_by = format!("{host}:{}", port(trunk.target.transport));
                Arc::make_mut(trunk).sent_by = sent_by;
            }
        }
        core
    }
}

struct Resolver<'a, 't> {
    file: &'a File,
    critic: &'a mut Critic<'t>,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Values the file got wrong are objected to and replaced, so that one pass finds everything; the
/// objections keep such settings from ever being used.
impl Resolver<'_, '_> {
    fn settings(&mut self) -> Settings {
        let file = self.file;
        self.host();
        let trunks = self.trunks();
        let numbers = self.numbers();
        let mut authorities = HashMap::new();
        let mut fixed = HashMap::new();
        let host = file.meta.host.to_ascii_lowercase();
        if let Some(path) = &file.meta.extra_ca {
            authorities.insert(host.clone(), path.get_ref().clone());
        }
        if let Some(address) = file.meta.connect {
            fixed.insert(host, address);
        }
        for (trunk, written) in trunks.iter().zip(&file.trunk) {
            if let Some(path) = &written.get_ref().extra_ca {
                for target in trunk.destinations() {
                    authorities.insert(target.host.to_ascii_lowercase(), path.get_ref().clone());
                }
            }
        }
        Settings {
            tls: file.sip.tls.as_ref().map(|tls| TlsPort {
                listen: tls.get_ref().listen,
                host: file.sip.host.get_ref().clone(),
                certificate: tls.get_ref().certificate.clone(),
                key: tls.get_ref().key.clone(),
            }),
            udp: file.sip.udp.as_ref().map(|udp| Port {
                listen: udp.get_ref().listen,
            }),
            tcp: file.sip.tcp.as_ref().map(|tcp| Port {
                listen: tcp.get_ref().listen,
            }),
            limits: Limits {
                connections: file.sip.connections,
                per_source: file.sip.connections_per_source,
                ..Limits::default()
            },
            fixed,
            authorities,
            media: self.media(),
            records: RecordSettings {
                file: file
                    .records
                    .file
                    .as_ref()
                    .map(|path| path.get_ref().clone()),
                stdout: file.records.stdout,
            },
            log: LogSettings {
                filter: file.log.filter.clone(),
                format: self.log_format(),
            },
            drain: Duration::from_secs(file.sip.drain),
            core: settings::Settings {
                node: file.sip.node,
                carrier: self.carrier(),
                numbers: numbers.into_iter().map(Arc::new).collect(),
                trunks: trunks.into_iter().map(Arc::new).collect(),
                timers: TimerSettings::default(),
                nonce_ttl: Duration::from_secs(file.sip.nonce_ttl),
                max_calls: file.sip.max_calls,
                metadata: self.metadata(),
                product: file.sip.product.clone(),
            },
        }
    }

    fn object(
        &mut self,
        span: Range<usize>,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.critic.object(span, key, problem, remedy);
    }

    fn host(&mut self) {
        let host = &self.file.sip.host;
        if host.get_ref().parse::<IpAddr>().is_ok() || !is_host(host.get_ref()) {
            self.object(
                host.span(),
                "sip.host",
                format!("`{}` is no DNS name", host.get_ref()),
                "write the public name that Meta's settings of the number and the certificate have",
            );
        }
        if self.file.sip.tls.is_none() {
            self.object(
                host.span(),
                "sip.tls",
                "there is no TLS port, so Meta cannot call",
                "add tls = { listen = \"0.0.0.0:5061\", certificate = \"…\", key = \"…\" } to [sip]",
            );
        }
    }

    fn carrier(&self) -> Carrier {
        let meta = &self.file.meta;
        Carrier {
            profile: Arc::new(whatsapp::profile::META),
            domain: meta.host.clone(),
            target: Target {
                transport: Transport::Tls,
                host: meta.host.clone(),
                port: meta.port,
                from: None,
            },
            networks: meta.networks.clone(),
            ptime: 20,
            rtcp_mux: meta.rtcp_mux,
        }
    }

    fn metadata(&self) -> MetadataPass {
        let headers = &self.file.headers;
        let names = whatsapp::profile::META.metadata;
        let or = |written: &str, default: fn(b2bua::profile::MetadataNames) -> &'static str| {
            if written.is_empty() {
                names.map(default).unwrap_or_default().to_owned()
            } else {
                written.to_owned()
            }
        };
        MetadataPass {
            enabled: headers.metadata,
            prefix: or(&headers.prefix, |names| names.prefix),
            reference: or(&headers.reference, |names| names.reference),
        }
    }

    fn media(&mut self) -> MediaSettings {
        let media = &self.file.media;
        let ports = media.ports.get_ref().parse().unwrap_or_else(|why| {
            self.object(
                media.ports.span(),
                "media.ports",
                format!("`{}` is no range of ports: {why}", media.ports.get_ref()),
                "write the first and the last port, as in \"20000-29999\"",
            );
            PortRange::new(20_000, 29_999).expect("the default range has pairs")
        });
        for (key, address) in [
            ("media.public", media.public),
            ("media.private", media.private),
        ] {
            if address.is_unspecified() {
                self.object(
                    media.ports.span(),
                    key,
                    format!("{address} is an address to bind, not one to tell a peer"),
                    format!(
                        "write the address peers send to; to bind {address}, add {}_bind",
                        &key[6..]
                    ),
                );
            }
        }
        if *media.opus_complexity.get_ref() > 10 {
            let span = media.opus_complexity.span();
            self.object(
                span,
                "media.opus_complexity",
                "it goes from 0 to 10",
                "write 5 unless you measured",
            );
        }
        if !(6_000..=128_000).contains(media.opus_bitrate.get_ref()) {
            let span = media.opus_bitrate.span();
            self.object(
                span,
                "media.opus_bitrate",
                "it goes from 6000 to 128000",
                "write 20000, what Meta asks for",
            );
        }
        if *media.dscp.get_ref() > 63 {
            self.object(
                media.dscp.span(),
                "media.dscp",
                "it goes from 0 to 63",
                "write 46 (EF) or 0 for none",
            );
        }
        let threads = match media.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        MediaSettings {
            public: media.public,
            public_bind: media.public_bind.unwrap_or(media.public),
            private: media.private,
            private_bind: media.private_bind.unwrap_or(media.private),
            ports,
            threads,
            dscp: *media.dscp.get_ref(),
            opus_complexity: *media.opus_complexity.get_ref(),
            opus_bitrate: *media.opus_bitrate.get_ref(),
        }
    }

    fn log_format(&mut self) -> LogFormat {
        let format = &self.file.log.format;
        match format.get_ref().as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                let problem = format!("`{other}` is no form of a log");
                self.object(
                    format.span(),
                    "log.format",
                    problem,
                    "write \"text\" or \"json\"",
                );
                LogFormat::Text
            }
        }
    }

    fn numbers(&mut self) -> Vec<settings::Number> {
        let mut seen = HashSet::new();
        let mut numbers = Vec::new();
        for written in &self.file.number {
            let number = self.number(written.get_ref());
            if !seen.insert(number.e164.clone()) {
                let span = written.get_ref().e164.span();
                self.object(
                    span,
                    "number.e164",
                    "this number is written twice",
                    "remove one of the two tables",
                );
            }
            numbers.push(number);
        }
        if numbers.is_empty() {
            self.object(
                0..0,
                "number",
                "there is no business number",
                "add a [[number]] table with e164, password and trunk",
            );
        }
        numbers
    }

    fn number(&mut self, written: &file::Number) -> settings::Number {
        let sip = &self.file.sip;
        let text = written.e164.get_ref();
        let e164 = E164::parse(text)
            .filter(|_| text.starts_with('+'))
            .unwrap_or_else(|| {
                self.object(
                    written.e164.span(),
                    "number.e164",
                    format!("`{text}` is no number in E.164 form"),
                    "write + and the digits with the country code, as in \"+17125550259\"",
                );
                E164::parse("+00000").expect("five digits are a number")
            });
        let host = written
            .host
            .clone()
            .unwrap_or_else(|| sip.host.get_ref().clone());
        let domain = written
            .domain
            .as_ref()
            .map_or_else(|| host.clone(), |domain| domain.get_ref().clone());
        if let Some(place) = &written.domain
            && !is_parent_or_same(&domain, &host)
        {
            self.object(
                place.span(),
                "number.domain",
                format!("{domain} is neither {host} nor a parent domain of it: Meta answers 403 to such a From"),
                format!("write {host} or a parent domain of it, or set `host` to the name Meta has for the number"),
            );
        }
        if !self
            .file
            .trunk
            .iter()
            .any(|trunk| trunk.get_ref().name.get_ref() == written.trunk.get_ref())
        {
            let problem = format!("there is no trunk \"{}\"", written.trunk.get_ref());
            let names: Vec<_> = self
                .file
                .trunk
                .iter()
                .map(|trunk| trunk.get_ref().name.get_ref().as_str())
                .collect();
            let remedy = match names.as_slice() {
                [] => "add a [[trunk]] table of that name".to_owned(),
                names => format!(
                    "add a [[trunk]] table of that name, or use one of: {}",
                    names.join(", ")
                ),
            };
            self.object(written.trunk.span(), "number.trunk", problem, remedy);
        }
        if *written.no_answer.get_ref() >= ANSWER_WINDOW {
            self.object(
                written.no_answer.span(),
                "number.no_answer",
                format!("after {ANSWER_WINDOW} s Meta may already have given up on the caller"),
                "write 25 or less, and let the PBX answer with an announcement before",
            );
        }
        settings::Number {
            password: self.password(written),
            username: written
                .username
                .clone()
                .unwrap_or_else(|| e164.digits().to_owned()),
            e164,
            domain,
            realm: written
                .realm
                .clone()
                .or_else(|| sip.realm.clone())
                .unwrap_or_else(|| host.clone()),
            host,
            port: sip.tls.as_ref().map_or(0, |tls| {
                let tls = tls.get_ref();
                tls.public_port.unwrap_or(tls.listen.port())
            }),
            challenge: written.challenge,
            plus: written.plus,
            trunk: written.trunk.get_ref().as_str().into(),
            codecs: self.codecs("number.codecs", &written.codecs),
            suites: self.suites(&written.suites),
            no_answer: Duration::from_secs(*written.no_answer.get_ref()),
            ring_limit: Duration::from_secs(written.ring_limit),
            limits: NumberLimits {
                calls: written.max_calls,
                calls_per_user: written.calls_per_user,
                initiated_per_day: written.initiated_per_day,
                connected_per_user_and_day: written.connected_per_user_and_day,
            },
        }
    }

    fn password(&mut self, written: &file::Number) -> Option<Secret<String>> {
        let remedy = "write password = { env = \"NAME\" } or { file = \"/run/secrets/name\" }; \
                      Meta shows it with GET …/settings?include_sip_credentials=true";
        let Some(source) = &written.password else {
            self.object(
                written.e164.span(),
                "number.password",
                "there is no password, so Meta refuses our calls and we cannot verify Meta's",
                remedy,
            );
            return None;
        };
        match source.get_ref().fetch(self.environment) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                self.object(
                    source.span(),
                    "number.password",
                    problem,
                    "set it to the SIP password Meta made for the number",
                );
                None
            }
        }
    }

    fn codecs(&mut self, key: &str, written: &Spanned<Vec<String>>) -> Vec<Codec> {
        const ALL: [Codec; 4] = [Codec::Opus, Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent];
        let mut codecs = Vec::new();
        for name in written.get_ref() {
            match ALL
                .iter()
                .find(|codec| codec.name().eq_ignore_ascii_case(name))
            {
                Some(codec) if !codecs.contains(codec) => codecs.push(*codec),
                Some(_) => {}
                None => {
                    let problem = format!("`{name}` is no codec of ours");
                    self.object(
                        written.span(),
                        key,
                        problem,
                        "use opus, PCMA, PCMU and telephone-event",
                    );
                }
            }
        }
        if !codecs.iter().any(|codec| codec.is_audio()) {
            self.object(
                written.span(),
                key,
                "there is no audio codec",
                "add opus, PCMA or PCMU",
            );
        }
        codecs
    }

    fn suites(&mut self, written: &Spanned<Vec<String>>) -> Vec<Suite> {
        let mut suites = Vec::new();
        for name in written.get_ref() {
            match name.as_str() {
                "AES_CM_128_HMAC_SHA1_80" => suites.push(Suite::AesCm128HmacSha1_80),
                "AES_CM_128_HMAC_SHA1_32" => suites.push(Suite::AesCm128HmacSha1_32),
                other => {
                    let problem = format!("`{other}` is no SRTP suite of ours");
                    let remedy = "use AES_CM_128_HMAC_SHA1_80 or AES_CM_128_HMAC_SHA1_32";
                    self.object(written.span(), "number.suites", problem, remedy);
                }
            }
        }
        if written.get_ref().is_empty() {
            self.object(
                written.span(),
                "number.suites",
                "there is no suite",
                "leave the key out for the default",
            );
        }
        suites
    }

    fn trunks(&mut self) -> Vec<settings::Trunk> {
        let mut seen = HashSet::new();
        let mut trunks = Vec::new();
        for written in &self.file.trunk {
            let written = written.get_ref();
            if !seen.insert(written.name.get_ref().clone()) {
                let span = written.name.span();
                self.object(
                    span,
                    "trunk.name",
                    "this name is used twice",
                    "give each trunk a name of its own",
                );
            }
            trunks.push(self.trunk(written));
        }
        trunks
    }

    fn trunk(&mut self, written: &file::Trunk) -> settings::Trunk {
        let peer = self.peer("trunk.peer", &written.peer);
        let backups = self.backups(written, &peer);
        let ping = written
            .ping
            .unwrap_or(if backups.is_empty() { 0 } else { 30 });
        if !matches!(written.ptime.get_ref(), 10 | 20 | 30 | 40 | 60) {
            let span = written.ptime.span();
            self.object(
                span,
                "trunk.ptime",
                "it is 10, 20, 30, 40 or 60",
                "write 20 unless the PBX needs another",
            );
        }
        settings::Trunk {
            name: written.name.get_ref().as_str().into(),
            profile: Arc::new(b2bua::profile::PBX),
            domain: written
                .domain
                .clone()
                .unwrap_or_else(|| bracketed(&peer.host)),
            sent_by: self.sent_by(written, peer.transport),
            networks: self.networks(written, &peer, &backups),
            codecs: self.codecs("trunk.codecs", &written.codecs),
            ptime: *written.ptime.get_ref(),
            max_calls: written.max_calls,
            pstn: written.pstn,
            target: peer,
            backups,
            ping: (ping > 0).then(|| Duration::from_secs(ping)),
        }
    }

    /// Further destinations: of the same transport, because the trunk knows us by one address.
    fn backups(&mut self, written: &file::Trunk, peer: &Target) -> Vec<Target> {
        let mut backups = Vec::new();
        for backup in &written.backups {
            let target = self.peer("trunk.backups", backup);
            if target.transport != peer.transport {
                self.object(
                    backup.span(),
                    "trunk.backups",
                    "its transport is not that of the trunk's peer",
                    "write the same transport= as in peer, or make it a trunk of its own",
                );
            }
            backups.push(target);
        }
        backups
    }

    fn peer(&mut self, key: &str, written: &Spanned<String>) -> Target {
        let text = written.get_ref();
        let remedy = "write \"sip:10.0.0.20:5060;transport=udp\", with udp, tcp or tls";
        let mut object = |problem: String| self.critic.object(written.span(), key, problem, remedy);
        let nowhere = Target {
            transport: Transport::Udp,
            host: "192.0.2.1".into(),
            port: 0,
            from: None,
        };
        let Some(uri) = Uri::parse(text.as_str())
            .ok()
            .filter(|uri| uri.scheme() == Scheme::Sip)
        else {
            object(format!("`{text}` is no sip: URI"));
            return nowhere;
        };
        let host = uri.host().to_string();
        if host.is_empty() || uri.user().is_some() {
            object(format!("`{text}` has to name a host and nobody on it"));
            return nowhere;
        }
        let transport = match uri
            .param("transport")
            .map(|name| name.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some("tls") => Transport::Tls,
            Some(other) => {
                object(format!("`{other}` is no transport of ours"));
                return nowhere;
            }
        };
        Target {
            transport,
            host,
            port: uri.port().unwrap_or(transport.default_port()),
            from: self.leaves_from(transport),
        }
    }

    /// The address a trunk's requests leave from: that of our listener of the same transport.
    fn leaves_from(&self, transport: Transport) -> Option<IpAddr> {
        let sip = &self.file.sip;
        let listen = match transport {
            Transport::Udp => sip.udp.as_ref().map(|udp| udp.get_ref().listen),
            Transport::Tcp => sip.tcp.as_ref().map(|tcp| tcp.get_ref().listen),
            Transport::Tls => None,
        };
        listen
            .map(|listen| listen.ip())
            .filter(|address| !address.is_unspecified())
    }

    fn sent_by(&mut self, written: &file::Trunk, transport: Transport) -> String {
        let sip = &self.file.sip;
        let listener = match transport {
            Transport::Tls => return format!("{}:{}", sip.host.get_ref(), self.tls_port()),
            Transport::Udp => &sip.udp,
            Transport::Tcp => &sip.tcp,
        };
        let Some(listener) = listener else {
            let name = transport.param();
            self.object(
                written.peer.span(),
                "trunk.peer",
                format!("the trunk uses {name}, but [sip] has no {name} port"),
                format!("add {name} = {{ listen = \"10.0.0.5:5060\" }} to [sip], or change transport= of the peer"),
            );
            return String::new();
        };
        let Listen { listen, advertise } = listener.get_ref();
        let address = if listen.ip().is_unspecified() {
            self.file.media.private
        } else {
            listen.ip()
        };
        match advertise {
            None => SocketAddr::new(address, listen.port()).to_string(),
            Some(named) if has_port(named) => named.clone(),
            Some(named) => format!("{}:{}", bracketed(named), listen.port()),
        }
    }

    fn tls_port(&self) -> u16 {
        self.file.sip.tls.as_ref().map_or(0, |tls| {
            let tls = tls.get_ref();
            tls.public_port.unwrap_or(tls.listen.port())
        })
    }

    fn networks(&mut self, written: &file::Trunk, peer: &Target, backups: &[Target]) -> Vec<IpNet> {
        let networks = match &written.networks {
            Some(networks) => networks.clone(),
            None => match peer.host.parse::<IpAddr>() {
                Ok(address) => {
                    let others = backups.iter().filter_map(|target| target.host.parse().ok());
                    std::iter::once(address)
                        .chain(others)
                        .map(IpNet::from)
                        .collect()
                }
                Err(_) => {
                    self.object(
                        written.peer.span(),
                        "trunk.networks",
                        format!("{} is a name, so it does not say where the trunk's calls come from", peer.host),
                        "add networks = [\"10.0.0.0/24\"] with the addresses of the PBX, or [] if it never calls",
                    );
                    Vec::new()
                }
            },
        };
        if networks.iter().any(|network| network.prefix_len() == 0) {
            self.object(
                written.name.span(),
                "trunk.networks",
                "anybody on the internet could place calls in the name of the business",
                "name the addresses of the PBX",
            );
        }
        networks
    }
}

/// A host as it stands in a URI: IPv6 in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn has_port(host: &str) -> bool {
    let behind_brackets = host.rsplit(']').next().unwrap_or(host);
    behind_brackets.contains(':') && (host.starts_with('[') || host.matches(':').count() == 1)
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').all(label)
}

/// Whether `domain` is `host` or one of its parent domains (Meta reference 3.1).
fn is_parent_or_same(domain: &str, host: &str) -> bool {
    let (domain, host) = (domain.to_ascii_lowercase(), host.to_ascii_lowercase());
    host == domain
        || host
            .strip_suffix(&domain)
            .is_some_and(|front| front.ends_with('.'))
}
