//! Sockets for SIP on loopback: TLS both ways, limits, slow readers, garbage. This file is the laboratory the others use.

mod datagrams;
mod dialling;
mod places;
mod secured;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::ClientConfig;
use sip::{Flow, FlowId, Target, Transport};
use support::{Authority, Scratch};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use wa_sbc::net::connection::Writer;
use wa_sbc::net::dial::Dialer;
use wa_sbc::net::dns::Dns;
use wa_sbc::net::flows::FlowIds;
use wa_sbc::net::listen::Listener;
use wa_sbc::net::{Door, Event, Limits, tls};

const HOST: &str = "sip.example.com";

const OPTIONS: &str = "OPTIONS sip:sip.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK1\r\n\
    From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1@example.com\r\nCSeq: 1 OPTIONS\r\n\
    Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

/// Files and configurations of one test.
struct Lab {
    scratch: Scratch,
}

impl Lab {
    fn new() -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new();
        authority.write(&scratch.path("ca.pem"));
        authority.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
        Self { scratch }
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        tls::server(
            &self.scratch.path("cert.pem"),
            &self.scratch.path("key.pem"),
        )
        .expect("a server")
    }

    fn client(&self) -> Arc<ClientConfig> {
        tls::client(Some(&self.scratch.path("ca.pem"))).expect("a client")
    }

    fn dialer(&self, remote: SocketAddr) -> Dialer {
        Dialer {
            limits: limits(),
            fixed: HashMap::from([(HOST.to_owned(), remote)]),
            authorities: HashMap::from([(HOST.to_owned(), self.client())]),
            keep_alives: HashMap::new(),
            tls: tls::client(None).expect("a client"),
            dns: Dns::new(&[]),
            sockets: Vec::new(),
        }
    }
}

fn limits() -> Limits {
    Limits {
        handshake: Duration::from_millis(500),
        first_message: Duration::from_millis(500),
        write: Duration::from_millis(500),
        queue: 8,
        per_source: 4,
        ..Limits::default()
    }
}

fn target(transport: Transport) -> Target {
    Target {
        transport,
        host: HOST.into(),
        port: 5061,
        from: None,
        at: None,
    }
}

async fn listen(
    config: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
) -> (SocketAddr, mpsc::Receiver<Event>) {
    listen_to(Vec::new(), config, limits).await
}

async fn listen_to(
    known: Vec<IpNet>,
    config: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
) -> (SocketAddr, mpsc::Receiver<Event>) {
    let config = config.map(|config| watch::channel(config).1);
    let listener = Listener::bind(
        "127.0.0.1:0".parse().expect("an address"),
        config,
        limits,
        Door::new(known),
        FlowIds::default(),
    )
    .await
    .expect("a port");
    let address = listener.local_addr().expect("bound");
    let (sender, events) = mpsc::channel(64);
    tokio::spawn(listener.run(sender));
    (address, events)
}

/// The next event that is not about something that is no SIP.
async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    loop {
        let event = timeout(Duration::from_secs(5), events.recv())
            .await
            .expect("an event in time")
            .expect("an event");
        if !matches!(event, Event::Malformed(_)) {
            return event;
        }
    }
}

/// An accepted connection. Dropping the writer closes it.
async fn accepted(events: &mut mpsc::Receiver<Event>) -> (Flow, Writer) {
    match next(events).await {
        Event::Accepted { flow, writer } => (flow, writer),
        other => panic!("expected a connection, got {other:?}"),
    }
}

/// Dials and gives the first event.
async fn dial(dialer: Dialer, target: Target) -> Event {
    let (sender, mut events) = mpsc::channel(64);
    tokio::spawn(Arc::new(dialer).dial(FlowId(1), target, sender));
    next(&mut events).await
}

fn failure(event: Event) -> String {
    match event {
        Event::Failed { id: FlowId(1), why } => why,
        other => panic!("expected a failure, got {other:?}"),
    }
}
