//! A TLS connection that never waits: what is to be written is written when the socket takes it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// One connection of Meta's to wa-sbc.
pub(crate) struct Connection {
    session: ClientConnection,
    socket: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Opens a connection and completes its handshake.
    pub(crate) fn open(
        source: IpAddr,
        target: SocketAddr,
        authority: &Path,
        host: &str,
    ) -> Connection {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority).expect("the bench's authority");
        roots
            .add(root)
            .expect("the bench's authority is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("a client session");
        // A thousand calls may be hung up at once.
        session.set_buffer_limit(None);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("a loopback address");
        socket.connect(&target.into()).expect("wa-sbc listens");
        let mut socket: TcpStream = socket.into();
        socket.set_nodelay(true).expect("a TCP option");
        let began = Instant::now();
        while session.is_handshaking() {
            session
                .complete_io(&mut socket)
                .expect("a handshake with wa-sbc");
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "a handshake takes no 10 s"
            );
        }
        socket
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        Connection {
            session,
            socket,
            received: Vec::new(),
        }
    }

    /// Takes bytes to be sent.
    pub(crate) fn say(&mut self, text: &str) {
        self.session
            .writer()
            .write_all(text.as_bytes())
            .expect("a session takes plain text");
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("wa-sbc closed a connection: {error}"),
            }
        }
    }

    /// The complete messages that have come, each given to `each`; whether there was any.
    pub(crate) fn hear(&mut self, mut each: impl FnMut(&str)) -> bool {
        loop {
            match self.session.read_tls(&mut self.socket) {
                Ok(0) => panic!("wa-sbc closed a connection"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("wa-sbc closed a connection: {error}"),
            }
            self.session
                .process_new_packets()
                .expect("TLS as it should be");
            let mut plain = [0; 16_384];
            while let Ok(length @ 1..) = self.session.reader().read(&mut plain) {
                self.received.extend_from_slice(&plain[..length]);
            }
        }
        let mut taken = 0;
        while let Some(length) = message_length(&self.received[taken..]) {
            let text = std::str::from_utf8(&self.received[taken..taken + length])
                .expect("wa-sbc writes UTF-8");
            each(text);
            taken += length;
        }
        self.received.drain(..taken);
        taken > 0
    }
}

/// How long the first message is, once all of it is there.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let body: usize = super::words::header(text, "Content-Length")
        .map_or(0, |length| length.parse().unwrap_or(0));
    (bytes.len() >= head + body).then_some(head + body)
}
