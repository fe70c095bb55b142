//! How many may connect, and who may not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use b2bua::Source;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wa_sbc::net::flows::FlowIds;
use wa_sbc::net::listen::Listener;
use wa_sbc::net::{Door, Event, Limits, udp};

use super::{OPTIONS, accepted, limits, listen, listen_to, next};

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
