//! 100,000 broken messages and packets at the open ports of a running wa-sbc: fixtures mutated with a seeded generator, over
//! TLS, UDP and TCP, and at the RTP ports of the call that is up.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::mutate::{Dice, break_bytes, rtcp, rtp};
use crate::running::workspace;
use crate::sbc::{HOST, NUMBER};

/// Every published message and description of the project's samples.
///
/// # Panics
/// When there are none.
pub fn fixtures() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(workspace().join("crates/sim/samples"))
        .expect("the samples are part of the project")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sip"))
        .collect();
    paths.sort();
    assert!(paths.len() > 30, "the samples are there");
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a sample can be read"))
        .collect()
}

/// Sends `count` mutated fixtures as datagrams from `source`, which need not be anybody wa-sbc knows.
///
/// # Panics
/// When loopback does not carry them.
pub fn over_udp(source: IpAddr, target: SocketAddr, count: usize, seed: u64) {
    let (fixtures, mut dice) = (fixtures(), Dice::new(seed));
    let socket = UdpSocket::bind((source, 0)).expect("a loopback port");
    socket
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let mut answers = [0; 65_536];
    for sent in 0..count {
        let whole = &fixtures[dice.below(fixtures.len())];
        let mut broken = break_bytes(&mut dice, whole, &fixtures);
        broken.truncate(60_000);
        // A full socket buffer or a port that is closed for a moment is no reason to stop.
        let _ = socket.send_to(&broken, target);
        if sent % 50 == 49 {
            while socket.recv_from(&mut answers).is_ok() {}
            // A flood the kernel drops unread would test nothing.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Sends `count` mutated fixtures over TCP connections from `source`; a connection that is closed on us is replaced.
///
/// # Panics
/// When no connection can be made at all.
pub fn over_tcp(source: IpAddr, target: SocketAddr, count: usize, seed: u64) {
    stream(count, seed, || Plain(connect(source, target)));
}

/// Sends `count` mutated fixtures over TLS connections from `source`; a connection that is closed on us is replaced.
///
/// # Panics
/// When no connection can be made at all.
pub fn over_tls(source: IpAddr, target: SocketAddr, authority: &Path, count: usize, seed: u64) {
    let config = Arc::new(trusting(authority));
    stream(count, seed, || secure(&config, source, target));
}

// Trusts the test's authority.
fn trusting(authority: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).expect("the test's authority"))
        .expect("the test's authority is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

// A connection whose handshake happens with what is said first.
fn secure(config: &Arc<ClientConfig>, source: IpAddr, target: SocketAddr) -> Secure {
    let name = ServerName::try_from(HOST).expect("a host name");
    let session = ClientConnection::new(config.clone(), name).expect("a client session");
    Secure(Box::new(StreamOwned::new(session, connect(source, target))))
}

/// Guesses the password of `number` from one of `sources` after the other, `per_second` times over TLS, until `stop`; how often
/// it could. Whoever closes a connection on us, or takes none, meets us at the next address.
///
/// # Panics
/// When loopback does not carry it.
pub fn guess(
    sources: &[IpAddr],
    target: SocketAddr,
    authority: &Path,
    per_second: u32,
    stop: &AtomicBool,
) -> usize {
    let config = Arc::new(trusting(authority));
    let (began, mut guesses, mut at) = (Instant::now(), 0, 0);
    let mut open = None;
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as usize;
        let connection: &mut Secure =
            open.get_or_insert_with(|| secure(&config, sources[at % sources.len()], target));
        let mut told = Ok(());
        // Not more at once than two beats' worth: a machine that stalled is not made up for.
        let until = due.min(guesses + per_second as usize / 50);
        while guesses < until {
            told = told.and_then(|()| connection.write(guess_of(guesses).as_bytes()));
            guesses += 1;
        }
        if told.is_err() || connection.drain().is_err() {
            open = None;
            at += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    guesses
}

fn guess_of(turn: usize) -> String {
    format!(
        "INVITE sip:{NUMBER}@{HOST};transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bKg{turn}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12195550000@wa.meta.vc>;tag=g{turn}\r\nTo: <sip:{NUMBER}@{HOST}>\r\n\
         Call-ID: guess-{turn}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@192.0.2.9;transport=tls>\r\n\
         Proxy-Authorization: Digest username=\"17125550259\", realm=\"{HOST}\", nonce=\"{turn:064x}\", \
         uri=\"sip:{NUMBER}@{HOST}\", response=\"{turn:032x}\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Sends well-formed INVITEs nobody asked for as datagrams, `per_second` of them, until `stop`; how many they were.
///
/// # Panics
/// When loopback does not carry them.
pub fn flood(source: IpAddr, target: SocketAddr, per_second: u32, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind((source, 0)).expect("a loopback port");
    socket
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let (began, mut sent, mut answers) = (Instant::now(), 0, [0; 65_536]);
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as usize;
        let until = due.min(sent + per_second as usize / 50);
        while sent < until {
            let invite = format!(
                "INVITE sip:{sent}@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {source}:5060;branch=z9hG4bKf{sent}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:f@{source}>;tag=f{sent}\r\nTo: <sip:{sent}@{target}>\r\n\
                 Call-ID: flood-{sent}\r\nCSeq: 1 INVITE\r\nContact: <sip:f@{source}>\r\nContent-Length: 0\r\n\r\n"
            );
            // A full buffer is no reason to stop.
            let _ = socket.send_to(invite.as_bytes(), target);
            sent += 1;
        }
        while socket.recv_from(&mut answers).is_ok() {}
        std::thread::sleep(Duration::from_millis(5));
    }
    sent
}

/// Opens `count` connections that begin a TLS handshake and never go on with it, from each of `sources` in turn.
///
/// # Panics
/// When no connection can be made at all.
pub fn half_open(sources: &[IpAddr], target: SocketAddr, count: usize) -> Vec<TcpStream> {
    // The first half of the record header of a ClientHello.
    let open = |turn: usize| {
        let mut stream = connect(sources[turn % sources.len()], target);
        let _ = stream.write_all(&[0x16, 0x03, 0x01]);
        stream
    };
    (0..count).map(open).collect()
}

/// Sends `count` broken RTP and RTCP packets at `ports`, from each of `sources`.
///
/// # Panics
/// When there is nothing to aim at.
pub fn at_media(sources: &[IpAddr], ports: &[SocketAddr], count: usize, seed: u64) {
    assert!(!ports.is_empty(), "no open media port to aim at");
    let mut dice = Dice::new(seed);
    let sockets: Vec<UdpSocket> = sources
        .iter()
        .map(|source| UdpSocket::bind((*source, 0)).expect("a loopback port"))
        .collect();
    for sent in 0..count {
        let whole = match dice.below(4) {
            0 => rtcp(&mut dice),
            1 => rtp(&mut dice, 111, 40),
            2 => rtp(&mut dice, 0x80 | 101, 4),
            _ => rtp(&mut dice, 8, 160),
        };
        let packet = if dice.below(3) == 0 {
            whole
        } else {
            break_bytes(&mut dice, &whole, &[])
        };
        let target = ports[dice.below(ports.len())];
        let _ = sockets[dice.below(sockets.len())].send_to(&packet, target);
        if sent % 50 == 49 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

trait Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    fn drain(&mut self) -> std::io::Result<()>;
}

struct Plain(TcpStream);
struct Secure(Box<StreamOwned<ClientConnection, TcpStream>>);

impl Stream for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    fn drain(&mut self) -> std::io::Result<()> {
        read_what_is_there(&mut self.0)
    }
}

impl Stream for Secure {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    fn drain(&mut self) -> std::io::Result<()> {
        read_what_is_there(&mut *self.0)
    }
}

// Answers are thrown away; an end of the connection is an error.
fn read_what_is_there(stream: &mut impl Read) -> std::io::Result<()> {
    let mut answers = [0; 16_384];
    loop {
        match stream.read(&mut answers) {
            Ok(0) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

fn stream<S: Stream>(count: usize, seed: u64, mut connect: impl FnMut() -> S) {
    let (fixtures, mut dice) = (fixtures(), Dice::new(seed));
    let mut stream = connect();
    for sent in 0..count {
        let whole = &fixtures[dice.below(fixtures.len())];
        let broken = break_bytes(&mut dice, whole, &fixtures);
        let written = stream.write(&broken);
        if written.is_err() || (sent % 8 == 7 && stream.drain().is_err()) {
            stream = connect();
        }
    }
}

fn connect(source: IpAddr, target: SocketAddr) -> TcpStream {
    // A server that is busy closing our former connections may refuse for a moment; one that refuses for long is broken.
    for _ in 0..200 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("a loopback address");
        if socket
            .connect_timeout(&target.into(), Duration::from_secs(2))
            .is_ok()
        {
            let stream: TcpStream = socket.into();
            stream.set_nodelay(true).expect("a TCP option");
            stream
                .set_read_timeout(Some(Duration::from_millis(1)))
                .expect("a timeout above zero");
            stream
                .set_write_timeout(Some(Duration::from_secs(2)))
                .expect("a timeout above zero");
            return stream;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{target} refuses connections");
}
