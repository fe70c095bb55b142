//! UDP: pairs of addresses, both families, what is no SIP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sip::{FlowId, Transport};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wa_sbc::net::flows::{FlowIds, Sent};
use wa_sbc::net::{Door, Event, Flows, udp};

use super::{Lab, OPTIONS, dial, next, target};

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
