//! `[[listener]]`: ports beyond the three of `[sip]`.

use std::collections::HashSet;
use std::net::SocketAddr;

use sip::Transport;
use toml::Spanned;

use super::Resolver;
use crate::config::listener::MoreListen;
use crate::config::settings::Listener;

impl Resolver<'_, '_> {
    pub(super) fn listeners(&mut self) -> Vec<Listener> {
        let mut names = HashSet::new();
        let mut ports = self.ports_of_sip();
        let mut listeners = Vec::new();
        for written in &self.file.listener {
            let written = written.get_ref();
            if !names.insert(written.name.get_ref().clone()) {
                self.object(
                    written.name.span(),
                    "listener.name",
                    "this name is used twice",
                    "give each listener a name of its own",
                );
            }
            let Some(transport) = written.transport() else {
                self.object(
                    written.transport.span(),
                    "listener.transport",
                    format!("`{}` is no transport of ours", written.transport.get_ref()),
                    "write \"udp\", \"tcp\" or \"tls\"",
                );
                continue;
            };
            let listen = *written.listen.get_ref();
            if listen.port() != 0 && !ports.insert((transport == Transport::Udp, listen)) {
                self.object(
                    written.listen.span(),
                    "listener.listen",
                    format!("{listen} is bound by another listener already"),
                    "write another address or another port",
                );
            }
            self.certificate(written, transport);
            listeners.push(Listener {
                name: written.name.get_ref().clone(),
                transport,
                listen,
                certificates: written
                    .pair()
                    .into_iter()
                    .chain(written.certificates.iter().cloned())
                    .collect(),
                client_ca: written.client_ca.clone(),
            });
        }
        listeners
    }

    /// The ports of `[sip]` that are taken: whether over UDP, and where.
    fn ports_of_sip(&self) -> HashSet<(bool, SocketAddr)> {
        let sip = &self.file.sip;
        let tls = sip.tls.as_ref().map(|tls| (false, tls.get_ref().listen));
        let tcp = sip.tcp.as_ref().map(|tcp| (false, tcp.get_ref().listen));
        let udp = sip.udp.as_ref().map(|udp| (true, udp.get_ref().listen));
        [tls, tcp, udp].into_iter().flatten().collect()
    }

    fn certificate(&mut self, written: &MoreListen, transport: Transport) {
        let place = Spanned::span(&written.transport);
        let is_tls = transport == Transport::Tls;
        if is_tls && written.pair().is_none() {
            self.object(
                place,
                "listener.certificate",
                "a TLS listener needs a certificate and its key",
                "add certificate = \"…\" and key = \"…\", PEM files",
            );
        } else if !is_tls && (written.certificate.is_some() || written.client_ca.is_some()) {
            self.object(
                place,
                "listener.certificate",
                format!("over {} nobody sees a certificate", transport.param()),
                "write transport = \"tls\", or remove the keys about certificates",
            );
        }
    }
}
