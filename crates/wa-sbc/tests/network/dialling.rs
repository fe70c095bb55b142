//! Connections we open: to which address, from which, and how they are kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{FlowId, Target, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wa_sbc::net::connection::Writer;
use wa_sbc::net::flows::{FlowIds, Sent};
use wa_sbc::net::{Event, Flows};

use super::{HOST, Lab, dial, failure, next, target};

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
