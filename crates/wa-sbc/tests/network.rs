//! Sockets for SIP on loopback: TLS both ways, limits, slow readers, garbage.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use b2bua::Source;
use bytes::Bytes;
use ipnet::IpNet;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use sip::{Flow, FlowId, Message, Target, Transport};
use support::{Authority, Scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use wa_sbc::net::connection::Writer;
use wa_sbc::net::dial::Dialer;
use wa_sbc::net::dns::Dns;
use wa_sbc::net::flows::{FlowIds, Sent};
use wa_sbc::net::listen::Listener;
use wa_sbc::net::{Door, Event, Flows, Limits, tls, udp};

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

#[tokio::test]
async fn towards_meta_the_name_is_sent_and_no_alpn() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    let server = lab.server();
    let seen = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let start = LazyConfigAcceptor::new(Default::default(), stream)
            .await
            .expect("a hello");
        let hello = start.client_hello();
        let seen = (
            hello.server_name().map(str::to_owned),
            hello.alpn().map(Iterator::count),
        );
        start.into_stream(server).await.expect("a handshake");
        seen
    });
    let event = dial(dialer, target(Transport::Tls)).await;
    assert!(
        matches!(event, Event::Opened { flow, .. } if flow.transport == Transport::Tls),
        "{event:?}"
    );
    assert_eq!(seen.await.expect("no panic"), (Some(HOST.to_owned()), None));
}

#[tokio::test]
async fn a_peer_whose_certificate_has_another_name_is_refused() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    let other = "other.example.com";
    dialer.fixed.insert(other.into(), address);
    dialer.authorities.insert(other.into(), lab.client());
    let why = failure(
        dial(
            dialer,
            Target {
                host: other.into(),
                ..target(Transport::Tls)
            },
        )
        .await,
    );
    assert!(
        why.contains("TLS handshake") && why.contains("does not verify for the name we called"),
        "{why}"
    );
}

#[tokio::test]
async fn a_peer_whose_authority_is_not_trusted_is_refused() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    dialer.authorities.clear();
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
}

#[tokio::test]
async fn an_authority_of_one_host_is_no_authority_for_another() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut dialer = lab.dialer(address);
    let config = dialer.authorities.remove(HOST).expect("set by the lab");
    dialer.authorities.insert("pbx.example.com".into(), config);
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
}

/// Notices whether a server asks for a client certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_client_is_asked_for_no_certificate_and_its_alpn_is_ignored() {
    let lab = Lab::new();
    let (address, mut events) = listen(Some(lab.server()), limits()).await;
    let asked = Arc::new(Asked::default());
    let mut config = (*lab.client()).clone();
    config.alpn_protocols = vec![b"sip".to_vec()];
    config.client_auth_cert_resolver = asked.clone();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from(HOST).expect("a name");
        let mut stream = TlsConnector::from(Arc::new(config.clone()))
            .connect(name, stream)
            .await
            .expect(HOST);
        assert_eq!(stream.get_ref().1.alpn_protocol(), None, "{version:?}");
        stream.write_all(OPTIONS.as_bytes()).await.expect("written");
        let (_flow, _writer) = accepted(&mut events).await;
        assert!(matches!(
            next(&mut events).await,
            Event::Message {
                message: Message::Request(_),
                ..
            }
        ));
        assert!(!asked.0.load(Ordering::Relaxed));
        drop(stream);
        assert!(matches!(next(&mut events).await, Event::Closed(_)));
    }
}

#[tokio::test]
async fn openssl_verifies_our_name_and_chain_and_negotiates_no_alpn() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let run = tokio::process::Command::new("openssl")
        .args([
            "s_client",
            "-alpn",
            "sip",
            "-servername",
            HOST,
            "-verify_hostname",
            HOST,
            "-verify_return_error",
        ])
        .arg("-CAfile")
        .arg(lab.scratch.path("ca.pem"))
        .args(["-connect", &address.to_string()])
        .stdin(Stdio::null())
        .output();
    let Ok(output) = timeout(Duration::from_secs(10), run)
        .await
        .expect("openssl ends")
    else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "Verify return code: 0 (ok)",
        "No client certificate CA names sent",
        "No ALPN negotiated",
    ] {
        assert!(
            text.contains(expected),
            "no `{expected}` in\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let lab = Lab::new();
    let (address, _events) = listen(Some(lab.server()), limits()).await;
    let mut silent = TcpStream::connect(address).await.expect("a connection");
    let read = timeout(Duration::from_secs(3), silent.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(why.contains("no TLS handshake within 0.5 s"), "{why}");
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_named_as_such() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dialer = lab.dialer(listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream
            .write_all(b"SIP/2.0 400 Bad Request\r\n\r\n")
            .await
            .expect("written");
        let _ = stream.read(&mut [0; 1024]).await;
    });
    let why = failure(dial(dialer, target(Transport::Tls)).await);
    assert!(
        why.contains("the peer does not speak TLS on this port"),
        "{why}"
    );
}

#[test]
fn alert_120_tells_the_operator_about_alpn() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    let hint = tls::hint(&std::io::Error::other(alert)).expect("a hint");
    assert!(
        hint.contains("alert 120") && hint.contains("ALPN"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_name_with_several_addresses_is_tried_on_each_of_them() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let lab = Lab::new();
    let mut dialer = lab.dialer(listener.local_addr().expect("bound"));
    dialer.fixed.clear();
    // Resolves to ::1 as well on most machines, where nobody listens.
    let target = Target {
        transport: Transport::Tcp,
        host: "localhost".into(),
        port,
        from: None,
        at: None,
    };
    let event = dial(dialer.clone(), target.clone()).await;
    assert!(
        matches!(event, Event::Opened { flow, .. } if flow.remote.port() == port),
        "{event:?}"
    );
    drop(listener);
    let why = failure(dial(dialer, target).await);
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn a_connection_that_nobody_answers_is_given_up() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    // Nobody accepts: once the backlog is full, a SYN is dropped as by a firewall.
    let listener = socket.listen(1).expect("it can listen");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.expect("a connection"));
        assert!(waiting.len() < 100, "the backlog has an end");
    }
    let mut dialer = Lab::new().dialer(address);
    dialer.limits.connect = Duration::from_millis(300);
    for transport in [Transport::Tcp, Transport::Tls] {
        let began = Instant::now();
        let why = failure(dial(dialer.clone(), target(transport)).await);
        assert!(why.contains("no connection within 0.3 s"), "{why}");
        assert!(began.elapsed() >= Duration::from_millis(300));
    }
}

#[tokio::test]
async fn a_connection_leaves_from_the_trunks_interface() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let from = "127.0.0.77".parse().expect("an address");
    let target = Target {
        transport: Transport::Tcp,
        host: "127.0.0.1".into(),
        port: address.port(),
        from: Some(SocketAddr::new(from, 0)),
        at: None,
    };
    let event = dial(Lab::new().dialer(address), target).await;
    assert!(
        matches!(event, Event::Opened { flow, .. } if flow.local.ip() == from),
        "{event:?}"
    );
    let (_, remote) = listener.accept().await.expect("a connection");
    assert_eq!(remote.ip(), from);
}

#[tokio::test]
async fn a_ping_is_answered_and_messages_are_framed_however_the_bytes_arrive() {
    let (address, mut events) = listen(None, limits()).await;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let bytes = format!("\r\n\r\n{OPTIONS}{OPTIONS}").into_bytes();
    for piece in bytes.chunks(37) {
        stream.write_all(piece).await.expect("written");
        tokio::task::yield_now().await;
    }
    let (_flow, _writer) = accepted(&mut events).await;
    for _ in 0..2 {
        let event = next(&mut events).await;
        let Event::Message {
            message: Message::Request(request),
            ..
        } = event
        else {
            panic!("{event:?}")
        };
        assert_eq!(request.uri.host(), "sip.example.com");
    }
    let mut pong = [0; 2];
    timeout(Duration::from_secs(2), stream.read_exact(&mut pong))
        .await
        .expect("in time")
        .expect("a pong");
    assert_eq!(&pong, b"\r\n");
}

/// A peer that is dialled and kept in touch with every 50 ms, and what it reads.
async fn touched() -> (TcpStream, mpsc::Receiver<Event>, Writer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let remote = listener.local_addr().expect("an address");
    let mut dialer = Lab::new().dialer(remote);
    dialer.limits.pong = Duration::from_millis(1_500);
    let every = Duration::from_millis(50);
    dialer.keep_alives = HashMap::from([(HOST.to_owned(), every)]);
    let (sender, mut events) = mpsc::channel(8);
    tokio::spawn(Arc::new(dialer).dial(FlowId(1), target(Transport::Tcp), sender));
    let (stream, _) = listener.accept().await.expect("a connection");
    let Event::Opened { writer, .. } = next(&mut events).await else {
        panic!("not opened");
    };
    (stream, events, writer)
}

async fn ping(stream: &mut TcpStream) {
    let mut bytes = [0; 4];
    let read = timeout(Duration::from_secs(5), stream.read_exact(&mut bytes));
    read.await.expect("a ping").expect("still open");
    assert_eq!(&bytes, b"\r\n\r\n");
}

#[tokio::test]
async fn a_trunk_that_answers_pings_and_then_does_not_is_dead() {
    let (mut stream, mut events, _writer) = touched().await;
    for _ in 0..3 {
        ping(&mut stream).await;
        stream.write_all(b"\r\n").await.expect("written");
    }
    ping(&mut stream).await;
    let silent_since = Instant::now();
    assert!(matches!(next(&mut events).await, Event::Closed(FlowId(1))));
    assert!(silent_since.elapsed() >= Duration::from_millis(1_400));
}

#[tokio::test]
async fn a_trunk_that_knows_nothing_of_pings_keeps_its_connection() {
    let (mut stream, mut events, writer) = touched().await;
    let patience = Duration::from_millis(2_500);
    let pinged = async {
        loop {
            ping(&mut stream).await;
        }
    };
    assert!(timeout(patience, pinged).await.is_err());
    assert!(events.try_recv().is_err(), "nothing happened to it");
    drop(writer);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_never_delays_the_sender_or_others() {
    let limits = Limits {
        first_message: Duration::from_secs(30),
        ..limits()
    };
    let (address, mut events) = listen(None, limits).await;
    let slow = TcpStream::connect(address).await.expect("a connection");
    let (slow_flow, writer) = accepted(&mut events).await;
    let mut other = TcpStream::connect(address).await.expect("a connection");
    let (other_flow, other_writer) = accepted(&mut events).await;
    let mut flows = Flows::new(Vec::new(), FlowIds::default()).expect("no sockets");
    flows.open(slow_flow, writer);
    flows.open(other_flow, other_writer);

    let message = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut worst = Duration::ZERO;
    let mut lost = false;
    for _ in 0..10_000 {
        let start = Instant::now();
        let sent = flows.send(slow_flow.id, message.clone());
        worst = worst.max(start.elapsed());
        if sent == Sent::FlowLost {
            lost = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(lost, "the slow reader was never given up");
    assert!(worst < Duration::from_millis(50), "a send took {worst:?}");
    assert_eq!(
        flows.send(other_flow.id, Bytes::from_static(b"hello")),
        Sent::Yes
    );
    let mut hello = [0; 5];
    timeout(Duration::from_secs(2), other.read_exact(&mut hello))
        .await
        .expect("in time")
        .expect("hello");
    let event = next(&mut events).await;
    assert!(
        matches!(event, Event::Closed(id) if id == slow_flow.id),
        "{event:?}"
    );
    drop(slow);
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_closed() {
    let (address, mut events) = listen(None, limits()).await;
    let mut silent = TcpStream::connect(address).await.expect("a connection");
    let (_flow, _writer) = accepted(&mut events).await;
    assert!(matches!(next(&mut events).await, Event::Closed(_)));
    assert_eq!(silent.read(&mut [0; 16]).await.expect("a clean end"), 0);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let limits = Limits {
        first_message: Duration::from_secs(30),
        ..limits()
    };
    let (address, mut events) = listen(None, limits).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(address).await.expect("a connection");
        open.push((stream, accepted(&mut events).await));
    }
    let mut fifth = TcpStream::connect(address)
        .await
        .expect("accepted by the system");
    let read = timeout(Duration::from_secs(2), fifth.read(&mut [0; 1]))
        .await
        .expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    // A place that becomes free can be taken again.
    drop(open.pop());
    assert!(matches!(next(&mut events).await, Event::Closed(_)));
    let _sixth = TcpStream::connect(address).await.expect("a connection");
    accepted(&mut events).await;
}

#[tokio::test]
async fn strangers_leave_half_of_the_places_to_those_we_know() {
    let limits = Limits {
        first_message: Duration::from_secs(30),
        connections: 6,
        ..limits()
    };
    let known = "127.0.0.7/32".parse().expect("a network");
    let (address, mut events) = listen_to(vec![known], None, limits).await;
    let connect = |from: &str| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(format!("{from}:0").parse().expect("an address"))
            .expect("bound");
        socket.connect(address)
    };
    let mut open = Vec::new();
    for from in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        open.push((
            connect(from).await.expect("a connection"),
            accepted(&mut events).await,
        ));
    }
    let mut stranger = connect("127.0.0.4").await.expect("accepted by the system");
    let read = timeout(Duration::from_secs(2), stranger.read(&mut [0; 1]))
        .await
        .expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    for _ in 0..3 {
        open.push((
            connect("127.0.0.7").await.expect("a connection"),
            accepted(&mut events).await,
        ));
    }
}

#[tokio::test]
async fn a_stream_of_garbage_is_closed_and_nothing_of_it_reaches_the_core() {
    let (address, mut events) = listen(None, limits()).await;
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200),
        vec![0xff; 1 << 20],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20_000),
        vec![b'A'; 1 << 20],
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let _ = stream.write_all(&garbage).await;
        let (_flow, _writer) = accepted(&mut events).await;
        let event = next(&mut events).await;
        assert!(matches!(event, Event::Closed(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_answered_before_the_connection_is_closed() {
    let (address, mut events) = listen(None, limits()).await;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let huge = OPTIONS.replace("Content-Length: 0", "Content-Length: 100000000");
    stream.write_all(huge.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(3), stream.read_to_end(&mut answer))
        .await
        .expect("closed in time");
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("SIP/2.0 513") || answer.starts_with("SIP/2.0 413"),
        "{answer}"
    );
    let (_flow, _writer) = accepted(&mut events).await;
    assert!(matches!(next(&mut events).await, Event::Closed(_)));
}

#[tokio::test]
async fn what_is_sent_before_a_connection_is_open_goes_out_when_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut flows = Flows::new(Vec::new(), FlowIds::default()).expect("no sockets");
    flows.opening(FlowId(1), Transport::Tcp);
    assert_eq!(
        flows.send(FlowId(1), Bytes::from_static(b"first")),
        Sent::Yes
    );
    let target = Target {
        transport: Transport::Tcp,
        host: "127.0.0.1".into(),
        port: address.port(),
        from: None,
        at: None,
    };
    let event = dial(Lab::new().dialer(address), target).await;
    let Event::Opened { flow, writer } = event else {
        panic!("{event:?}")
    };
    assert_eq!(flows.open(flow, writer), Sent::Yes);
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut first = [0; 5];
    timeout(Duration::from_secs(2), stream.read_exact(&mut first))
        .await
        .expect("in time")
        .expect("bytes");
    assert_eq!(&first, b"first");
    // Letting go closes the connection.
    assert_eq!(flows.let_go(), 1);
    assert_eq!(stream.read(&mut [0; 1]).await.expect("a clean end"), 0);
    assert_eq!(
        flows.send(FlowId(1), Bytes::from_static(b"late")),
        Sent::FlowLost
    );
}

#[tokio::test]
async fn datagrams_of_one_pair_of_addresses_have_one_flow_and_answers_go_back_on_it() {
    let socket = udp::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("bound");
    let (sender, mut events) = mpsc::channel(64);
    tokio::spawn(udp::receive(
        socket.clone(),
        0,
        sender,
        Arc::default(),
        Door::default(),
    ));
    let mut flows = Flows::new(vec![socket], FlowIds::default()).expect("a socket");
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let remote = peer.local_addr().expect("bound");
    let mut ids = Vec::new();
    for _ in 0..2 {
        peer.send_to(OPTIONS.as_bytes(), address)
            .await
            .expect("sent");
        let event = next(&mut events).await;
        let Event::Datagram { socket, remote, .. } = event else {
            panic!("{event:?}")
        };
        ids.push(flows.of_datagram(socket, remote).id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0].0 % 2, 0);
    assert_eq!(flows.send(ids[0], Bytes::from_static(b"answer")), Sent::Yes);
    let mut buffer = [0; 2048];
    let (length, from) = timeout(Duration::from_secs(2), peer.recv_from(&mut buffer))
        .await
        .expect("in time")
        .expect("ok");
    assert_eq!((&buffer[..length], from), (&b"answer"[..], address));
    // A flow the core asked for gives its name to what comes back on the pair.
    assert_eq!(flows.resolved(FlowId(7), 0, remote).id, FlowId(7));
    assert_eq!(flows.of_datagram(0, remote).id, FlowId(7));
}

#[tokio::test]
async fn a_udp_port_of_both_families_knows_ipv4_peers_by_their_own_addresses() {
    let socket = udp::bind("[::]:0".parse().expect("an address")).expect("a port of both families");
    let port = socket.local_addr().expect("bound").port();
    let (sender, mut events) = mpsc::channel(8);
    let receiving = udp::receive(socket.clone(), 0, sender, Arc::default(), Door::default());
    tokio::spawn(receiving);
    let mut flows = Flows::new(vec![socket.clone()], FlowIds::default()).expect("flows");
    for own in ["127.0.0.1:0", "[::1]:0"] {
        let peer = tokio::net::UdpSocket::bind(own).await.expect("a port");
        let from = peer.local_addr().expect("bound");
        let to = SocketAddr::new(from.ip(), port);
        peer.send_to(OPTIONS.as_bytes(), to).await.expect("sent");
        let Event::Datagram { remote, .. } = next(&mut events).await else {
            panic!("no datagram");
        };
        assert_eq!(remote, from);
        let flow = flows.of_datagram(0, remote);
        assert_eq!(flow.remote, from);
        assert_eq!(
            flows.send(flow.id, Bytes::from_static(b"answer")),
            Sent::Yes
        );
        let mut buffer = [0; 64];
        let received = timeout(Duration::from_secs(5), peer.recv_from(&mut buffer));
        let (length, source) = received.await.expect("in time").expect("an answer");
        assert_eq!((&buffer[..length], source), (&b"answer"[..], to));
    }
    // A call to an IPv4 trunk leaves from there too, if there is no other port.
    let mut dialer = Lab::new().dialer("127.0.0.1:9".parse().expect("an address"));
    dialer.sockets = vec![(7, SocketAddr::new("::".parse().expect("any"), port))];
    let event = dial(dialer, target(Transport::Udp)).await;
    assert!(
        matches!(event, Event::Resolved { socket: 7, .. }),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_barred_source_gets_neither_a_datagram_nor_a_connection_through() {
    let socket = udp::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("bound");
    let (sender, mut events) = mpsc::channel(64);
    let door = Door::default();
    let listener = Listener::bind(
        "127.0.0.1:0".parse().expect("an address"),
        None,
        limits(),
        door.clone(),
        FlowIds::default(),
    )
    .await
    .expect("a port");
    let port = listener.local_addr().expect("bound");
    tokio::spawn(listener.run(sender.clone()));
    tokio::spawn(udp::receive(
        socket,
        0,
        sender,
        Arc::default(),
        door.clone(),
    ));
    let now = Instant::now();
    let barred = "127.0.0.9".parse().expect("an address");
    door.bar(now, Source::of(barred), now + Duration::from_secs(600));

    let peer = |from: &str| std::net::UdpSocket::bind((from, 0)).expect("a port");
    for from in ["127.0.0.9", "127.0.0.10"] {
        let sent = peer(from).send_to(OPTIONS.as_bytes(), address);
        assert!(sent.is_ok());
    }
    let Event::Datagram { remote, .. } = next(&mut events).await else {
        panic!("no datagram");
    };
    assert_eq!(remote.ip().to_string(), "127.0.0.10");

    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(barred, 0)).expect("loopback");
    let mut stream = socket.connect(port).await.expect("a connection");
    let read = timeout(Duration::from_secs(5), stream.read(&mut [0; 16])).await;
    assert!(matches!(read.expect("at once"), Ok(0) | Err(_)), "closed");
    assert_eq!(door.turned_away(), 2);
}

#[tokio::test]
async fn a_datagram_that_is_no_sip_is_answered_where_it_can_be_and_forgotten() {
    let socket = udp::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("bound");
    let (sender, mut events) = mpsc::channel(64);
    let noise = Arc::new(udp::Noise::default());
    tokio::spawn(udp::receive(
        socket,
        0,
        sender,
        noise.clone(),
        Door::default(),
    ));
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port");
    for junk in [&b"\r\n\r\n"[..], b"\0", b"junk", &[0xff; 60_000]] {
        peer.send_to(junk, address).await.expect("sent");
    }
    peer.send_to(OPTIONS.as_bytes(), address)
        .await
        .expect("sent");
    assert!(matches!(next(&mut events).await, Event::Datagram { .. }));
    assert_eq!(noise.malformed.load(Ordering::Relaxed), 2);
}
