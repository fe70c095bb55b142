//! The simulated Meta's TLS connection to wa-sbc, without a runtime: polled by whoever places the calls.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sip::{Flow, FlowId, Frame, Framer, Limits, Message, Transport};

/// One connection.
pub(crate) struct Link {
    /// Its name and its ends.
    pub(crate) flow: Flow,
    tcp: TcpStream,
    tls: ClientConnection,
    framer: Framer,
}

/// The certificates `ca` names are believed, no protocol is offered.
pub(crate) fn client(ca: &Path) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(ca).map_err(|error| error.to_string())?;
    roots.add(certificate).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Link {
    /// Connects; the far end has to prove that it is `name`.
    pub(crate) fn open(
        id: FlowId,
        name: &str,
        remote: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> io::Result<Link> {
        let tcp = TcpStream::connect(remote)?;
        tcp.set_nodelay(true)?;
        let local = tcp.local_addr()?;
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut both = &tcp;
        while tls.is_handshaking() {
            tls.complete_io(&mut both)?;
        }
        tcp.set_nonblocking(true)?;
        let flow = Flow {
            id,
            transport: Transport::Tls,
            local,
            remote,
        };
        Ok(Link {
            flow,
            tcp,
            tls,
            framer: Framer::new(Limits::default()),
        })
    }

    /// Puts bytes in line.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // Into memory: this cannot fail.
        let _ = self.tls.writer().write_all(bytes);
    }

    /// Moves what can be moved; the messages that came whole. An error ends the connection.
    pub(crate) fn turn(&mut self) -> io::Result<Vec<Message>> {
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        loop {
            match self.tls.read_tls(&mut &self.tcp) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.tls.process_new_packets().map_err(io::Error::other)?;
                    let mut bytes = Vec::new();
                    match self.tls.reader().read_to_end(&mut bytes) {
                        Err(error) if !would_block(&error) => return Err(error),
                        _ => self.framer.push(&bytes),
                    }
                }
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut &self.tcp) {
                Ok(_) => {}
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        let mut messages = Vec::new();
        while let Some(frame) = self.framer.next() {
            if let Frame::Message(message) = frame {
                messages.push(message);
            }
        }
        Ok(messages)
    }
}
