//! A way to a PBX, as calls would have it: over TLS with the same authorities and the same certificate of
//! ours, verified.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use sip::{Frame, Framer, Message, Response, Target, Transport};

use super::Patient;
use crate::net::tls;

/// A way to a PBX.
pub(super) struct Line {
    kind: Kind,
    framer: Framer,
    patience: Duration,
}

enum Kind {
    Datagrams(UdpSocket),
    Stream(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    /// To this address of a target.
    pub(super) fn to(patient: &Patient, address: SocketAddr, target: &Target) -> io::Result<Line> {
        let kind = match target.transport {
            Transport::Udp => Kind::Datagrams(datagrams(patient, address, target)?),
            Transport::Tcp => Kind::Stream(stream(patient, address)?),
            Transport::Tls => {
                let secure = secure(patient, stream(patient, address)?, target)?;
                Kind::Secure(Box::new(secure))
            }
        };
        Ok(Line {
            kind,
            framer: Framer::new(Default::default()),
            patience: patient.patience,
        })
    }

    /// Our end of it.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Kind::Datagrams(socket) => socket.local_addr(),
            Kind::Stream(stream) => stream.local_addr(),
            Kind::Secure(secure) => secure.sock.local_addr(),
        }
    }

    /// Asks, and gives the final response; over UDP the question is said twice.
    pub(super) fn ask(&mut self, question: &str) -> io::Result<Response> {
        match &mut self.kind {
            Kind::Datagrams(socket) => {
                socket.set_read_timeout(Some(self.patience / 2))?;
                socket.send(question.as_bytes())?;
                match self.hear() {
                    Err(error) if is_silence(&error) => {}
                    answered => return answered,
                }
                if let Kind::Datagrams(socket) = &self.kind {
                    socket.send(question.as_bytes())?;
                }
            }
            Kind::Stream(stream) => stream.write_all(question.as_bytes())?,
            Kind::Secure(secure) => secure.write_all(question.as_bytes())?,
        }
        self.hear()
    }

    /// The next final response.
    fn hear(&mut self) -> io::Result<Response> {
        let no_sip = || io::Error::other("what answers is no SIP");
        let until = Instant::now() + self.patience;
        let mut buffer = [0; 8192];
        while Instant::now() < until {
            let length = match &mut self.kind {
                Kind::Datagrams(socket) => {
                    let length = socket.recv(&mut buffer)?;
                    match sip::parse(Bytes::copy_from_slice(&buffer[..length])) {
                        Ok(Message::Response(response)) if response.is_final() => {
                            return Ok(response);
                        }
                        Ok(_) => continue,
                        Err(_) => return Err(no_sip()),
                    }
                }
                Kind::Stream(stream) => stream.read(&mut buffer)?,
                Kind::Secure(secure) => secure.read(&mut buffer)?,
            };
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framer.push(&buffer[..length]);
            while let Some(frame) = self.framer.next() {
                match frame {
                    Frame::Message(Message::Response(response)) if response.is_final() => {
                        return Ok(response);
                    }
                    Frame::Message(_) | Frame::Ping | Frame::Pong => {}
                    _ => return Err(no_sip()),
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn datagrams(patient: &Patient, address: SocketAddr, target: &Target) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => [0, 0, 0, 0].into(),
        SocketAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = UdpSocket::bind((target.from.map_or(any, |from| from.ip()), 0))
        .or_else(|_| UdpSocket::bind((any, 0)))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(patient.patience))?;
    Ok(socket)
}

fn stream(patient: &Patient, address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patient.patience)?;
    stream.set_read_timeout(Some(patient.patience))?;
    stream.set_write_timeout(Some(patient.patience))?;
    Ok(stream)
}

fn secure(
    patient: &Patient,
    mut stream: TcpStream,
    target: &Target,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let host = target.host.to_ascii_lowercase();
    let settings = &patient.settings;
    let authority = settings.authorities.get(&host);
    let authority = authority.or(patient.authority.as_ref());
    let config = tls::client_as(
        authority.map(|path| path.as_path()),
        settings.identities.get(&host),
    );
    let config = config.map_err(io::Error::other)?;
    let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config, name).map_err(handshake)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn handshake(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Whether nobody said anything within our patience.
pub(super) fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// What TLS objects to, if the error is one of its.
pub(super) fn objection(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls::hint(error) {
        Some(hint) => format!("{inner} ({hint})"),
        None => inner.to_string(),
    })
}
