//! Listeners of a running SBC: certificates by name, client certificates, reload, IPv6.

use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use wa_sbc::net::tls;

use super::support::Authority;
use super::{HOST, Lab, OTHER, SOON, answer, handshake, is_answered};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_name_gets_its_certificate_and_all_others_the_default_one() {
    let lab = Lab::new();
    let running = lab.start("").await;
    let address = running.bound().tls.expect("bound");
    for name in [HOST, OTHER] {
        handshake(lab.client(), address, name).await.expect(name);
    }
    let error = handshake(lab.client(), address, "unknown.example.com")
        .await
        .expect_err("no certificate is made for it")
        .to_string();
    assert!(
        error.contains(HOST) && !error.contains(OTHER),
        "the default one: {error}"
    );
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_for_trunks_may_want_a_certificate_and_metas_port_never_does() {
    let lab = Lab::new();
    let running = lab.start(&lab.mutual("branches")).await;
    let mutual = running.bound().named["branches"];
    let metas = running.bound().tls.expect("bound");
    let mut shown = handshake(lab.client_with_certificate(), mutual, HOST)
        .await
        .expect("let in");
    assert!(is_answered(&mut shown, "shown").await);
    // Over TLS 1.3 the client learns of the refusal with its first read.
    let refused = match handshake(lab.client(), mutual, HOST).await {
        Ok(mut stream) => !is_answered(&mut stream, "none").await,
        Err(_) => true,
    };
    assert!(refused, "nobody gets in without a certificate");
    let mut plain = handshake(lab.client(), metas, HOST)
        .await
        .expect("no question asked");
    assert!(is_answered(&mut plain, "plain").await);
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_opens_and_closes_ports_and_leaves_the_others_and_all_connections_alone() {
    let lab = Lab::new();
    let udp = |name: &str| {
        format!("[[listener]]\nname = \"{name}\"\ntransport = \"udp\"\nlisten = \"127.0.0.1:0\"\n")
    };
    let mut running = lab
        .start(&format!("{}{}", lab.mutual("going"), udp("old")))
        .await;
    let before = running.bound().clone();
    let mut kept = handshake(lab.client(), before.tls.expect("bound"), HOST)
        .await
        .expect("in");
    let mut going = handshake(lab.client_with_certificate(), before.named["going"], HOST)
        .await
        .expect("in");
    assert!(is_answered(&mut kept, "k1").await && is_answered(&mut going, "g1").await);
    assert!(answer(before.named["old"], "o1", SOON).await.is_some());

    // Another certificate, another listener.
    let renewed = Authority::new();
    renewed.write(&lab.scratch.path("ca2.pem"));
    renewed.issue(
        HOST,
        &lab.scratch.path("own.pem"),
        &lab.scratch.path("own.key"),
    );
    running
        .reload(&lab.settings(&udp("new")))
        .await
        .expect("good settings");
    let after = running.bound().clone();
    assert_eq!((before.tls, before.udp), (after.tls, after.udp));

    // Connections go on, over the port that stayed and over the one that went.
    assert!(is_answered(&mut kept, "k2").await && is_answered(&mut going, "g2").await);
    let again = tls::client(Some(&lab.scratch.path("ca2.pem"))).expect("a client");
    handshake(again, after.tls.expect("bound"), HOST)
        .await
        .expect("the renewed certificate");
    let (text, from) = answer(after.named["new"], "n1", SOON)
        .await
        .expect("a new port");
    assert!(
        text.starts_with("SIP/2.0 200") && from == after.named["new"],
        "{text}"
    );
    assert!(
        TcpStream::connect(before.named["going"]).await.is_err(),
        "nobody new comes in"
    );
    assert!(
        answer(before.named["old"], "o2", Duration::from_millis(500))
            .await
            .is_none()
    );

    // What cannot be had changes nothing.
    let taken = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let impossible = udp("taken").replace(
        "127.0.0.1:0",
        &taken.local_addr().expect("bound").to_string(),
    );
    running
        .reload(&lab.settings(&impossible))
        .await
        .expect_err("the port is taken");
    assert_eq!(*running.bound(), after);
    assert!(
        answer(after.named["new"], "n2", SOON).await.is_some(),
        "the old settings hold"
    );
    assert!(is_answered(&mut kept, "k3").await);
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_family_is_served_like_the_older_one() {
    let lab = Lab::new();
    let listen = |name: &str, transport: &str, more: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\ntransport = \"{transport}\"\nlisten = \"[::1]:0\"\n{more}"
        )
    };
    let certificate = format!(
        "certificate = \"{}\"\nkey = \"{}\"\n",
        lab.path("own.pem"),
        lab.path("own.key")
    );
    let all = [
        listen("udp6", "udp", ""),
        listen("tcp6", "tcp", ""),
        listen("tls6", "tls", &certificate),
    ];
    let running = lab.start(&all.concat()).await;
    let named = &running.bound().named;
    let (text, from) = answer(named["udp6"], "v6", SOON).await.expect("an answer");
    assert_eq!(from, named["udp6"]);
    // RFC 3261 §18.2.1, RFC 3581 §4: where it really came from, without brackets.
    assert!(
        text.contains(";received=::1") && text.contains(";rport="),
        "{text}"
    );
    let mut tcp = TcpStream::connect(named["tcp6"])
        .await
        .expect("a connection");
    assert!(is_answered(&mut tcp, "v6tcp").await);
    let mut tls = handshake(lab.client(), named["tls6"], HOST)
        .await
        .expect("a handshake");
    assert!(is_answered(&mut tls, "v6tls").await);
    running.stop(Duration::ZERO).await;
}
