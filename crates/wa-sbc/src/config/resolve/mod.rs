//! From the file as written to the settings as meant.
//!
//! | part | where |
//! |---|---|
//! | `[sip] [media] [meta] [headers] [records] [log]` | here |
//! | `[[number]]` | `resolve/number.rs` |
//! | `[[listener]]` | `resolve/listener.rs` |
//! | `[[trunk]]` | `resolve/trunk.rs`, its words and numbers in `resolve/policy.rs`, its sounds in `resolve/comfort.rs`, its manners in `resolve/manners.rs`, its accounts in `resolve/access.rs` |
//! | `[[group]] [alias]`, routes of numbers, hours of trunks | `resolve/routing.rs` |

mod access;
mod comfort;
mod listener;
mod manners;
mod number;
mod policy;
mod routing;
mod session;
mod sound;
mod trunk;

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use b2bua::settings;
use b2bua::settings::{AdmissionPolicy, Carrier, MetadataPass};
use ipnet::IpNet;
use sdp::Codec;
use sip::{Target, TimerSettings, Transport};
use toml::Spanned;

use super::admission;
use super::capture::CaptureSettings;
use super::file::File;
use super::listener::CertificateFiles;
use super::lists::NumberList;
use super::meta_port::MetaPort;
use super::objection::Critic;
use super::settings::{LogFormat, LogSettings, MediaSettings, Port, Settings, TlsPort};
use super::sources::Sources;
use super::trace::TraceSettings;
use crate::media::PortRange;
use crate::net::Limits;

/// Resolves one file.
pub(super) struct Resolver<'a, 't> {
    pub(super) file: &'a File,
    pub(super) lists: &'t [NumberList],
    pub(super) critic: &'a mut Critic<'t>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Values the file got wrong are objected to and replaced, so that one pass finds everything; the
/// objections keep such settings from ever being used.
impl Resolver<'_, '_> {
    pub(super) fn settings(&mut self) -> Settings {
        let file = self.file;
        self.host();
        let trunks = self.trunks();
        let groups = self.groups(&trunks);
        let numbers = self.numbers();
        let listeners = self.listeners();
        let networks = self.meta_networks();
        let mut authorities = HashMap::new();
        let mut identities = HashMap::new();
        let mut listener_of = HashMap::new();
        let mut fixed = HashMap::new();
        let host = file.meta.host.to_ascii_lowercase();
        if let Some(path) = &file.meta.extra_ca {
            authorities.insert(host.clone(), path.get_ref().clone());
        }
        if let Some(address) = file.meta.connect {
            fixed.insert(host, address);
        }
        for (trunk, written) in trunks.iter().zip(&file.trunk) {
            let written = written.get_ref();
            let upstream = trunk.access.upstream.as_ref();
            let servers = upstream.map_or(&[][..], |upstream| &upstream.servers);
            let hosts: Vec<String> = trunk
                .destinations()
                .chain(servers)
                .map(|target| target.host.to_ascii_lowercase())
                .collect();
            if let (Some(certificate), Some(key)) = (&written.certificate, &written.key) {
                let files = CertificateFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                };
                let all = hosts.iter().map(|host| (host.clone(), files.clone()));
                identities.extend(all);
            }
            if let Some(name) = &written.listener {
                listener_of.insert(trunk.name.clone(), name.get_ref().clone());
            }
            if let Some(path) = &written.extra_ca {
                let all = hosts
                    .iter()
                    .map(|host| (host.clone(), path.get_ref().clone()));
                authorities.extend(all);
            }
        }
        let usual = Limits::default();
        // A telephone may say nothing on its connection until it registers again.
        let registered = u64::from(*file.registrar.max_expires.get_ref()) + 60;
        let tls = file.sip.tls.as_ref().map(|tls| TlsPort {
            listen: tls.get_ref().listen,
            host: file.sip.host.get_ref().clone(),
            certificate: tls.get_ref().certificate.clone(),
            key: tls.get_ref().key.clone(),
            certificates: tls.get_ref().certificates.clone(),
        });
        let acme = file.acme.as_ref();
        let acme = acme.and_then(|acme| acme.resolve(self.critic, tls.as_ref()));
        Settings {
            tls,
            acme,
            udp: file.sip.udp.as_ref().map(|udp| Port {
                listen: udp.get_ref().listen,
            }),
            tcp: file.sip.tcp.as_ref().map(|tcp| Port {
                listen: tcp.get_ref().listen,
            }),
            listeners,
            listener_of,
            limits: Limits {
                connections: file.sip.connections,
                per_source: file.sip.connections_per_source,
                idle: usual.idle.max(Duration::from_secs(registered)),
                ..usual
            },
            alias_store: file.alias.store.clone(),
            registration_store: file.registrar.store.clone(),
            fixed,
            authorities,
            identities,
            keep_alives: manners::keep_alives(&trunks, &file.trunk),
            name_servers: file.dns.servers.clone(),
            sources: Sources::default(),
            watch: file
                .reload
                .watch
                .then(|| Duration::from_secs(file.reload.every.max(1))),
            media: self.media(),
            records: file.records.resolve(self.critic, self.environment),
            http: file.http.resolve(self.critic, self.environment),
            log: LogSettings {
                filter: file.log.filter.clone(),
                format: self.log_format(),
            },
            trace: TraceSettings::of(&file.trace, &file.control),
            otlp: file
                .otlp
                .as_ref()
                .map(|otlp| otlp.resolve(self.critic, self.environment)),
            hep: file
                .hep
                .as_ref()
                .map(|hep| hep.resolve(self.critic, self.environment)),
            capture: CaptureSettings::of(&file.capture),
            drain: Duration::from_secs(file.sip.drain),
            core: settings::Settings {
                node: file.sip.node,
                admission: self.admission(&networks),
                registrar: self.registrar(),
                carrier: self.carrier(networks),
                numbers: numbers.into_iter().map(Arc::new).collect(),
                trunks: trunks.into_iter().map(Arc::new).collect(),
                groups,
                aliases: self.alias_range(),
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

    /// Where Meta calls from: by the file of networks where there is one.
    fn meta_networks(&mut self) -> Vec<IpNet> {
        let meta = &self.file.meta;
        match &meta.networks_file {
            Some(path) => admission::networks_of(self.critic, path.get_ref(), path.span()),
            None => meta.networks.clone(),
        }
    }

    fn admission(&mut self, networks: &[IpNet]) -> AdmissionPolicy {
        let spared = match networks {
            // Meta may call from anywhere, and still must not be banned.
            [] => whatsapp::networks::NETWORKS.to_vec(),
            _ => Vec::new(),
        };
        self.file.admission.policy(self.critic, spared)
    }

    fn registrar(&mut self) -> settings::Registrar {
        let sip = &self.file.sip;
        let realm = sip.realm.as_ref().unwrap_or(sip.host.get_ref());
        settings::Registrar {
            carrier_door: sip.tls.as_ref().map(|tls| tls.get_ref().listen),
            ..self.file.registrar.policy(self.critic, realm)
        }
    }

    fn carrier(&self, networks: Vec<IpNet>) -> Carrier {
        let meta = &self.file.meta;
        Carrier {
            profile: Arc::new(manners::meta_profile(meta)),
            domain: meta.host.clone(),
            target: Target {
                transport: Transport::Tls,
                host: meta.host.clone(),
                port: meta.port.unwrap_or(0),
                from: None,
                at: None,
            },
            networks,
            ptime: 20,
            rtcp_mux: meta.rtcp_mux,
        }
    }

    fn metadata(&self) -> MetadataPass {
        let headers = &self.file.headers;
        let names = whatsapp::profile::META.metadata;
        let or = |written: &str, default: fn(&b2bua::profile::MetadataNames) -> &'static str| {
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
        if *media.preroll_ms.get_ref() > 2_000 {
            self.object(
                media.preroll_ms.span(),
                "media.preroll_ms",
                "it goes from 0 to 2000",
                "write 600 unless you measured, 0 to hold nothing",
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
        let meta_port = MetaPort::read(media.meta_port.get_ref()).unwrap_or_else(|| {
            self.object(
                media.meta_port.span(),
                "media.meta_port",
                format!("`{}` is neither way", media.meta_port.get_ref()),
                "write \"per-call\" or \"single\"",
            );
            MetaPort::PerCall
        });
        if meta_port == MetaPort::Single && ports.pairs().nth(2 * threads - 1).is_none() {
            self.object(
                media.ports.span(),
                "media.ports",
                format!(
                    "{threads} media threads share a pair each towards Meta and need one for a PBX"
                ),
                "widen it: a pair for each thread, and one for each call",
            );
        }
        MediaSettings {
            public: media.public,
            public_bind: media.public_bind.unwrap_or(media.public),
            private: media.private,
            private_bind: media.private_bind.unwrap_or(media.private),
            ports,
            meta_port,
            threads,
            dscp: *media.dscp.get_ref(),
            opus_complexity: *media.opus_complexity.get_ref(),
            opus_bitrate: *media.opus_bitrate.get_ref(),
            preroll: Duration::from_millis(*media.preroll_ms.get_ref()),
            tell_reports: self.file.hep.as_ref().is_some_and(|hep| hep.rtcp),
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
