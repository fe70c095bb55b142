//! Listeners of a running SBC on loopback: certificates by name, client certificates, reload.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sip::{FlowId, Target, Transport};
use support::{Authority, Scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wa_sbc::config::CertificateFiles;
use wa_sbc::net::dial::Dialer;
use wa_sbc::net::dns::Dns;
use wa_sbc::net::{Event, Limits, tls};
use wa_sbc::{Running, Settings, run};

const HOST: &str = "sbc.example.com";
const OTHER: &str = "voice.example.org";

struct Lab {
    scratch: Scratch,
    authority: Authority,
}

impl Lab {
    fn new() -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new();
        authority.write(&scratch.path("ca.pem"));
        for (host, name) in [(HOST, "own"), (OTHER, "other"), ("pbx.example.com", "pbx")] {
            authority.issue(
                host,
                &scratch.path(&format!("{name}.pem")),
                &scratch.path(&format!("{name}.key")),
            );
        }
        Self { scratch, authority }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path(name).display().to_string()
    }

    /// A configuration with further listeners.
    fn settings(&self, listeners: &str) -> Settings {
        self.settings_of("sip:127.0.0.1:9;transport=udp", listeners, "")
    }

    /// One whose trunk is there and has further keys.
    fn settings_of(&self, pbx: &str, listeners: &str, keys: &str) -> Settings {
        let (own, own_key) = (self.path("own.pem"), self.path("own.key"));
        let (other, other_key) = (self.path("other.pem"), self.path("other.key"));
        let text = format!(
            r#"[sip]
host = "{HOST}"
[sip.tls]
listen = "127.0.0.1:0"
certificate = "{own}"
key = "{own_key}"
certificates = [{{ certificate = "{other}", key = "{other_key}" }}]
[sip.udp]
listen = "127.0.0.1:0"
{listeners}
[media]
public = "127.0.0.1"
private = "127.0.0.1"
ports = "42100-42199"
[[number]]
e164 = "+17125550259"
password = {{ env = "WA_SIP_PASSWORD" }}
trunk = "office"
[[trunk]]
name = "office"
peer = "{pbx}"
{keys}"#
        );
        Settings::read(Path::new("test.toml"), &text, |_| Some("s3cret".into()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn start(&self, listeners: &str) -> Running {
        run(self.settings(listeners))
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn client(&self) -> Arc<ClientConfig> {
        tls::client(Some(&self.scratch.path("ca.pem"))).expect("a client")
    }

    /// A client that shows the certificate of a PBX.
    fn client_with_certificate(&self) -> Arc<ClientConfig> {
        let files = CertificateFiles {
            certificate: self.scratch.path("pbx.pem"),
            key: self.scratch.path("pbx.key"),
        };
        tls::client_as(Some(&self.scratch.path("ca.pem")), Some(&files)).expect("a client")
    }

    /// A listener of this name that wants to see a certificate.
    fn mutual(&self, name: &str) -> String {
        format!(
            "[[listener]]\nname = \"{name}\"\ntransport = \"tls\"\nlisten = \"127.0.0.1:0\"\n\
             certificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
            self.path("own.pem"),
            self.path("own.key"),
            self.path("ca.pem")
        )
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(config).connect(name, stream).await
}

fn options(transport: &str, branch: &str) -> String {
    format!(
        "OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5060;rport;branch=z9hG4bK{branch}\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: {branch}@example.com\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Whether a connection is answered.
async fn is_answered<S>(stream: &mut S, branch: &str) -> bool
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = [0; 4096];
    let exchange = async {
        stream.write_all(options("TLS", branch).as_bytes()).await?;
        stream.read(&mut buffer).await
    };
    let length = timeout(Duration::from_secs(5), exchange).await;
    matches!(length, Ok(Ok(length)) if buffer[..length].starts_with(b"SIP/2.0 200"))
}

/// The answer to a datagram, and who sent it.
async fn answer(to: SocketAddr, branch: &str, patience: Duration) -> Option<(String, SocketAddr)> {
    let own = SocketAddr::new(to.ip(), 0);
    let socket = UdpSocket::bind(own).await.expect("a port");
    socket
        .send_to(options("UDP", branch).as_bytes(), to)
        .await
        .expect("sent");
    let mut buffer = [0; 4096];
    let (length, from) = timeout(patience, socket.recv_from(&mut buffer))
        .await
        .ok()?
        .ok()?;
    Some((
        String::from_utf8_lossy(&buffer[..length]).into_owned(),
        from,
    ))
}

const SOON: Duration = Duration::from_secs(5);

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

/// A PBX over TLS that lets nobody in without a certificate of the authority, and tells the first bytes it
/// reads.
async fn strict_pbx(lab: &Lab, heard: mpsc::Sender<String>) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(lab.scratch.path("ca.pem")).expect("PEM");
    roots.add(authority).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = CertificateDer::from_pem_file(lab.scratch.path("loopback.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(lab.scratch.path("loopback.key")).expect("PEM");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![chain], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let word = match acceptor.accept(stream).await {
                Ok(mut stream) => {
                    let mut buffer = [0; 4096];
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    String::from_utf8_lossy(&buffer[..length]).into_owned()
                }
                Err(error) => error.to_string(),
            };
            let _ = heard.send(word).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pbx_that_wants_our_certificate_gets_it_and_none_without_it_hears_a_word() {
    let lab = Lab::new();
    lab.authority.issue(
        "127.0.0.1",
        &lab.scratch.path("loopback.pem"),
        &lab.scratch.path("loopback.key"),
    );
    for shows in [true, false] {
        let (sender, mut heard) = mpsc::channel(4);
        let pbx = strict_pbx(&lab, sender).await;
        let mut keys = format!("extra_ca = \"{}\"\nping = 1\n", lab.path("ca.pem"));
        if shows {
            keys += &format!(
                "certificate = \"{}\"\nkey = \"{}\"\n",
                lab.path("pbx.pem"),
                lab.path("pbx.key")
            );
        }
        let running = run(lab.settings_of(&format!("sip:{pbx};transport=tls"), "", &keys))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let word = timeout(SOON, heard.recv())
            .await
            .expect("soon")
            .expect("a word");
        match shows {
            true => {
                assert!(word.starts_with("OPTIONS sip:"), "{word}");
                assert!(word.contains("Via: SIP/2.0/TLS sbc.example.com:"), "{word}");
            }
            false => assert!(word.contains("certificate"), "{word}"),
        }
        running.stop(Duration::ZERO).await;
    }
}
