//! What comes over a connection, and peers that do not read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wa_sbc::net::flows::{FlowIds, Sent};
use wa_sbc::net::{Event, Flows, Limits};

use super::{OPTIONS, accepted, limits, listen, next};

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
