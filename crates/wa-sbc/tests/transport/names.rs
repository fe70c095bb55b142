//! Names of destinations, as a real name server answers for them (RFC 3263).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip::{FlowId, Target, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;
use wa_sbc::net::dial::Dialer;
use wa_sbc::net::dns::Dns;
use wa_sbc::net::{Event, Limits, tls};

/// A name server of a few records on loopback. Counts the questions it hears.
struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// Serves records written as `NAME TYPE DATA…`, all with a time to live of 2 s.
    async fn start(zone: &'static str) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("bound");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = socket.send_to(&reply(&buffer[..length], zone), from).await;
            }
        });
        NameServer { address, asked }
    }
}

/// The answer to a question (RFC 1035 §4), written out by hand.
fn reply(question: &[u8], zone: &str) -> Vec<u8> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let label = &question[at + 1..=at + usize::from(question[at])];
        name += &format!("{}.", String::from_utf8_lossy(label).to_ascii_lowercase());
        at += label.len() + 1;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let mut records = Vec::new();
    for line in zone.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [owner, written, data @ ..] = words.as_slice() else {
            continue;
        };
        if format!("{owner}.") != name {
            continue;
        }
        let number = |word: &str| word.parse::<u16>().expect("a number").to_be_bytes();
        let text = |word: &str| [&[word.len() as u8], word.as_bytes()].concat();
        let data = match (*written, kind) {
            ("A", 1) => data[0]
                .parse::<std::net::Ipv4Addr>()
                .expect("A")
                .octets()
                .to_vec(),
            ("AAAA", 28) => data[0]
                .parse::<std::net::Ipv6Addr>()
                .expect("AAAA")
                .octets()
                .to_vec(),
            ("SRV", 33) => {
                let numbers = data[..3].iter().flat_map(|word| number(word));
                numbers.chain(labels(data[3])).collect()
            }
            ("NAPTR", 35) => {
                let numbers = data[..2].iter().flat_map(|word| number(word));
                let texts = [text("s"), text(data[2]), text("")].concat();
                numbers.chain(texts).chain(labels(data[3])).collect()
            }
            _ => continue,
        };
        records.push(data);
    }
    let mut reply = question[..2].to_vec();
    reply.extend([0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    reply.extend(&question[12..at + 5]);
    for data in records {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 2]);
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    reply
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn target(transport: Transport, host: &str, port: u16) -> Target {
    Target {
        transport,
        host: host.into(),
        port,
        from: None,
        at: None,
    }
}

fn dialer(name_server: &NameServer) -> Dialer {
    Dialer {
        limits: Limits::default(),
        fixed: Default::default(),
        authorities: Default::default(),
        keep_alives: Default::default(),
        tls: tls::client(None).expect("a client"),
        dns: Dns::new(&[name_server.address]),
        sockets: vec![(0, "127.0.0.1:5060".parse().expect("an address"))],
    }
}

/// Where dialing leads.
async fn dialed(dialer: &Dialer, target: Target) -> Result<SocketAddr, String> {
    let (sender, mut events) = mpsc::channel(8);
    tokio::spawn(Arc::new(dialer.clone()).dial(FlowId(1), target, sender));
    match timeout(Duration::from_secs(10), events.recv()).await {
        Ok(Some(Event::Opened { flow, .. })) => Ok(flow.remote),
        Ok(Some(Event::Resolved { remote, .. })) => Ok(remote),
        Ok(Some(Event::Failed { why, .. })) => Err(why),
        other => panic!("{other:?}"),
    }
}

const ZONE: &str = "\
    pbx.test NAPTR 10 10 SIP+D2T _sip._tcp.pbx.test
    pbx.test NAPTR 20 10 SIP+D2U _sip._udp.pbx.test
    _sip._tcp.pbx.test SRV 10 5 5999 dead.pbx.test
    _sip._tcp.pbx.test SRV 20 5 5998 alive.pbx.test
    _sip._udp.pbx.test SRV 10 5 5997 alive.pbx.test
    dead.pbx.test A 127.77.0.1
    alive.pbx.test A 127.77.0.2
    plain.test A 127.77.0.3
    both.test AAAA ::1
    both.test A 127.77.0.2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_lead_where_a_real_name_server_says() {
    let server = NameServer::start(ZONE).await;
    let dns = Dns::new(&[server.address]);
    let places = async |host: &str, port, transports: &[Transport]| {
        let found = dns
            .locate(&target(transports[0], host, port), transports)
            .await;
        let order = found.order(|| 0).into_iter();
        order
            .map(|(transport, address)| format!("{} {address}", transport.param()))
            .collect::<Vec<_>>()
    };
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    let by_naptr = [
        "tcp 127.77.0.1:5999",
        "tcp 127.77.0.2:5998",
        "udp 127.77.0.2:5997",
    ];
    assert_eq!(places("pbx.test", 0, &[udp, tcp]).await, by_naptr);
    assert_eq!(places("pbx.test", 0, &[udp]).await, ["udp 127.77.0.2:5997"]);
    assert_eq!(
        places("alive.pbx.test", 5070, &[tcp]).await,
        ["tcp 127.77.0.2:5070"]
    );
    assert_eq!(
        places("plain.test", 0, &[tcp]).await,
        ["tcp 127.77.0.3:5060"]
    );
    assert_eq!(places("nobody.test", 0, &[tcp]).await, Vec::<String>::new());

    // Known for as long as the answers say, two seconds, and no longer.
    places("both.test", 5060, &[tcp]).await;
    let before = server.asked.load(Ordering::Relaxed);
    places("both.test", 5060, &[tcp]).await;
    assert_eq!(
        server.asked.load(Ordering::Relaxed),
        before,
        "nobody is asked again at once"
    );
    tokio::time::sleep(Duration::from_millis(2200)).await;
    places("both.test", 5060, &[tcp]).await;
    assert!(
        server.asked.load(Ordering::Relaxed) > before,
        "and is after that"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_connection_is_followed_by_the_next_one_of_the_name() {
    let server = NameServer::start(ZONE).await;
    let dialer = dialer(&server);
    let alive = tokio::net::TcpListener::bind("127.77.0.2:5998")
        .await
        .expect("a port");
    let reached = dialed(&dialer, target(Transport::Tcp, "pbx.test", 0)).await;
    assert_eq!(
        reached,
        alive.local_addr().map_err(|error| error.to_string())
    );
    // Both families; nobody listens on the first.
    let port = alive.local_addr().expect("bound").port();
    let reached = dialed(&dialer, target(Transport::Tcp, "both.test", port)).await;
    assert_eq!(
        reached.map(|at| at.ip().to_string()),
        Ok("127.77.0.2".to_owned())
    );
    let reached = dialed(&dialer, target(Transport::Udp, "pbx.test", 0)).await;
    assert_eq!(
        reached.map(|at| at.to_string()),
        Ok("127.77.0.2:5997".to_owned())
    );
    let error = dialed(&dialer, target(Transport::Tcp, "nobody.test", 0)).await;
    assert!(error.is_err_and(|why| why.contains("nobody.test cannot be resolved")));
}
