//! `[[trunk]]`: the PBXs.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use b2bua::settings;
use ipnet::IpNet;
use sdp::Codec;
use sip::{Scheme, Target, Transport, Uri};
use toml::Spanned;

use super::Resolver;
use super::access::{REGISTERED, registers};
use crate::config::file;
use crate::config::listener::{Door, door_for};

impl Resolver<'_, '_> {
    pub(super) fn trunks(&mut self) -> Vec<settings::Trunk> {
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
        let mut peer = match registers(written) {
            true => self.anywhere(written),
            false => self.peer("trunk.peer", &written.peer),
        };
        let mut backups = self.backups(written, &peer);
        let door = self.door(written, &peer);
        for target in std::iter::once(&mut peer).chain(&mut backups) {
            // A connection takes a port of its own, and any address; a datagram is known by its socket.
            let by_socket = target.transport == Transport::Udp;
            target.from = door
                .as_ref()
                .map(|door| door.listen)
                .filter(|listen| by_socket || !listen.ip().is_unspecified());
        }
        if written.certificate.is_some() != written.key.is_some() {
            self.object(
                written.name.span(),
                "trunk.certificate",
                "a certificate is shown with its key, and one of the two is missing",
                "write both certificate = \"…\" and key = \"…\", or neither",
            );
        }
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
        let domain = written
            .domain
            .clone()
            .unwrap_or_else(|| match registers(written) {
                true => self.file.sip.host.get_ref().clone(),
                false => bracketed(&peer.host),
            });
        let mut destinations = vec![peer.clone()];
        destinations.extend(backups.iter().cloned());
        settings::Trunk {
            access: self.access(written, &destinations, &domain),
            name: written.name.get_ref().as_str().into(),
            profile: Arc::new(self.trunk_profile(written)),
            domain,
            sent_by: self.sent_by(written, peer.transport, door),
            networks: self.networks(written, &peer, &backups),
            codecs: self.trunk_codecs(written),
            ptime: *written.ptime.get_ref(),
            media: self.trunk_media(written),
            max_calls: written.max_calls,
            pstn: written.pstn,
            comfort: self.comfort(written),
            transports: transports(written),
            policy: self.policy(written),
            target: peer,
            backups,
            ping: (ping > 0).then(|| Duration::from_secs(ping)),
        }
    }

    /// The place of a trunk that is called wherever it has registered: only its transport counts, that
    /// of the listener it names, else of the first there is.
    fn anywhere(&mut self, written: &file::Trunk) -> Target {
        let named = written.listener.as_ref().map(Spanned::get_ref);
        let mut more = self.file.listener.iter().map(Spanned::get_ref);
        let named = named
            .and_then(|name| more.find(|listen| listen.name.get_ref() == name))
            .and_then(|listen| listen.transport());
        let first = match self.file.sip.udp.is_some() || self.file.sip.tcp.is_none() {
            true => Transport::Udp,
            false => Transport::Tcp,
        };
        if !written.backups.is_empty() {
            self.object(
                written.peer.span(),
                "trunk.backups",
                "a trunk that registers is called where it has registered, nowhere else",
                "make the other place a trunk of its own, and both a [[group]]",
            );
        }
        let transport = named.unwrap_or(first);
        Target {
            transport,
            host: REGISTERED.into(),
            port: transport.default_port(),
            from: None,
            at: None,
        }
    }

    /// Its codecs; who is told digits in INFO or by tones is offered no telephone events besides, or it
    /// would hear each key twice.
    fn trunk_codecs(&mut self, written: &file::Trunk) -> Vec<Codec> {
        let mut codecs = self.codecs("trunk.codecs", &written.codecs);
        if matches!(written.dtmf.get_ref().as_str(), "info" | "inband") {
            codecs.retain(|codec| codec.is_audio());
        }
        codecs
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

    pub(super) fn peer(&mut self, key: &str, written: &Spanned<String>) -> Target {
        let text = written.get_ref();
        let remedy = "write \"sip:10.0.0.20:5060;transport=udp\", with udp, tcp or tls";
        let mut object = |problem: String| self.critic.object(written.span(), key, problem, remedy);
        let nowhere = Target {
            transport: Transport::Udp,
            host: "192.0.2.1".into(),
            port: 0,
            from: None,
            at: None,
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
        let is_name = host.parse::<IpAddr>().is_err();
        Target {
            transport,
            host,
            port: uri.port().unwrap_or(match is_name {
                true => 0,
                false => transport.default_port(),
            }),
            from: None,
            at: None,
        }
    }

    /// The listener a trunk's requests leave from.
    fn door(&mut self, written: &file::Trunk, peer: &Target) -> Option<Door> {
        let named = written.listener.as_ref();
        let is_ipv4 = peer.host.parse::<IpAddr>().ok().map(|ip| ip.is_ipv4());
        let door = door_for(
            &self.file.sip,
            &self.file.listener,
            named.map(|name| name.get_ref().as_str()),
            peer.transport,
            is_ipv4,
        );
        if let (None, Some(name)) = (&door, named) {
            self.object(
                name.span(),
                "trunk.listener",
                format!(
                    "there is no {} listener \"{}\"",
                    peer.transport.param(),
                    name.get_ref()
                ),
                "add a [[listener]] table of that name and transport, or leave the key out",
            );
        }
        door
    }

    fn sent_by(
        &mut self,
        written: &file::Trunk,
        transport: Transport,
        door: Option<Door>,
    ) -> String {
        let Some(Door { listen, advertise }) = door else {
            if transport == Transport::Tls {
                let sip = &self.file.sip;
                return format!("{}:{}", sip.host.get_ref(), self.tls_port());
            }
            if written.listener.is_some() {
                return String::new();
            }
            let name = transport.param();
            self.object(
                written.peer.span(),
                "trunk.peer",
                format!("the trunk uses {name}, but [sip] has no {name} port"),
                format!("add {name} = {{ listen = \"10.0.0.5:5060\" }} to [sip], or change transport= of the peer"),
            );
            return String::new();
        };
        let address = if listen.ip().is_unspecified() {
            self.file.media.private
        } else {
            listen.ip()
        };
        match advertise {
            None => SocketAddr::new(address, listen.port()).to_string(),
            Some(named) if has_port(&named) => named,
            Some(named) => format!("{}:{}", bracketed(&named), listen.port()),
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
            // Its account tells who it is.
            None if written.username.is_some() || registers(written) => Vec::new(),
            None => match peer.host.parse::<IpAddr>() {
                Ok(address) => {
                    let others = backups.iter().filter_map(|target| target.host.parse().ok());
                    std::iter::once(address)
                        .chain(others)
                        .map(IpNet::from)
                        .collect()
                }
                // It is known by where our registration was answered.
                Err(_) if written.register.username.is_some() => Vec::new(),
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

/// The transports the DNS may choose from: both plain ones where the peer names neither a transport
/// nor a port (RFC 3263 §4.1).
fn transports(written: &file::Trunk) -> Vec<Transport> {
    let free = Uri::parse(written.peer.get_ref().as_str())
        .is_ok_and(|uri| uri.param("transport").is_none() && uri.port().is_none());
    match free {
        true => vec![Transport::Udp, Transport::Tcp],
        false => Vec::new(),
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
