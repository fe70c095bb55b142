//! Our registrations with PBXs: whether they would take them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use b2bua::settings::{Trunk, Upstream};
use bytes::Bytes;
use sip::{Answerer, Message, Method, Response, Target, Text, Transport};

use super::{Check, Finding, Patient};

/// The first server of every registration that can be asked is asked which contacts it knows: that takes the
/// same proof as a registration and changes nothing (RFC 3261 §10.2.3).
pub(super) struct Registrations;

/// What a server says.
enum Said {
    Takes,
    RefusesPassword,
    Answers(u16, String),
}

impl Check for Registrations {
    fn name(&self) -> &'static str {
        "registrations"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let asked = patient.trunks().filter_map(|trunk| {
            let upstream = trunk.access.upstream.as_ref()?;
            Some(examine(patient, trunk, upstream))
        });
        asked.collect()
    }
}

fn examine(patient: &Patient, trunk: &Trunk, upstream: &Upstream) -> Finding {
    let who = format!("trunk {}: extension {}", trunk.name, upstream.extension);
    let mut trouble = "no server of it can be resolved".to_owned();
    for server in &upstream.servers {
        if server.transport == Transport::Tls {
            return Finding::warn(
                format!("{who}: its registration over TLS is not tried out here"),
                "look at /v1/trunks of the running program",
            );
        }
        let place = format!("{}:{}", server.host, server.port);
        let addresses = patient.resolve(&server.host, server.port);
        let Some(address) = addresses.ok().and_then(|all| all.first().copied()) else {
            continue;
        };
        match ask(address, server, upstream, patient.patience) {
            Ok(Said::Takes) => return Finding::pass(format!("{who} may register with {place}")),
            Ok(Said::RefusesPassword) => {
                return Finding::fail(
                    format!("{who}: {place} refuses the password"),
                    "compare username and password of [trunk.register] with the account at the PBX",
                );
            }
            Ok(Said::Answers(status, reason)) => {
                return Finding::fail(
                    format!("{who}: {place} answers REGISTER with {status} {reason}"),
                    "does the PBX have that extension in that domain, and may it register from this machine?",
                );
            }
            Err(error) => trouble = format!("{place}: {error}"),
        }
    }
    Finding::fail(
        format!("{who}: nobody takes its registration: {trouble}"),
        "is that the PBX's SIP port, and does a firewall let its answers through?",
    )
}

/// A way to a server.
enum Line {
    Datagrams(UdpSocket),
    Stream(TcpStream),
}

impl Line {
    fn to(address: SocketAddr, server: &Target, patience: Duration) -> io::Result<Line> {
        if server.transport == Transport::Tcp {
            let stream = TcpStream::connect_timeout(&address, patience)?;
            stream.set_read_timeout(Some(patience))?;
            return Ok(Line::Stream(stream));
        }
        let any: IpAddr = match address {
            SocketAddr::V4(_) => [0, 0, 0, 0].into(),
            SocketAddr::V6(_) => [0_u16; 8].into(),
        };
        let socket = UdpSocket::bind((server.from.map_or(any, |from| from.ip()), 0))
            .or_else(|_| UdpSocket::bind((any, 0)))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Line::Datagrams(socket))
    }

    fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Line::Datagrams(socket) => socket.local_addr(),
            Line::Stream(stream) => stream.local_addr(),
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        match self {
            Line::Datagrams(socket) => socket.send(text.as_bytes()).map(drop),
            Line::Stream(stream) => stream.write_all(text.as_bytes()),
        }
    }

    /// The next final response.
    fn hear(&mut self) -> io::Result<Response> {
        let mut buffer = [0; 8192];
        loop {
            let length = match self {
                Line::Datagrams(socket) => socket.recv(&mut buffer)?,
                Line::Stream(stream) => stream.read(&mut buffer)?,
            };
            match sip::parse(Bytes::copy_from_slice(&buffer[..length])) {
                Ok(Message::Response(response)) if response.is_final() => return Ok(response),
                Ok(_) => {}
                Err(_) => return Err(io::Error::other("what answers is no SIP")),
            }
        }
    }
}

fn ask(
    address: SocketAddr,
    server: &Target,
    upstream: &Upstream,
    patience: Duration,
) -> io::Result<Said> {
    let mut line = Line::to(address, server, patience)?;
    let local = line.local()?;
    let account = &upstream.account;
    let mut answerer = Answerer::new(account.username.clone(), account.password.clone());
    let unique = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let uri = format!("sip:{}", upstream.domain);
    let mut proof = String::new();
    // Once to be challenged, once to answer, once more for a stale nonce.
    for turn in 1..=3 {
        line.send(&format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};rport;branch=z9hG4bKdr{unique:x}{turn}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=dr{unique:x}\r\nTo: <sip:{user}@{domain}>\r\n\
             Call-ID: dr{unique:x}@{ip}\r\nCSeq: {turn} REGISTER\r\n{proof}User-Agent: wa-sbc doctor\r\nContent-Length: 0\r\n\r\n",
            transport = server.transport.via_name(),
            user = upstream.extension,
            domain = upstream.domain,
            ip = local.ip(),
        ))?;
        let response = line.hear()?;
        if response.is_success() {
            return Ok(Said::Takes);
        }
        let cnonce = format!("{unique:x}{turn}");
        match answerer.answer(&response, &Method::Register, &uri, &[], cnonce) {
            Ok((name, value)) => {
                let text = Text::as_str(&value);
                proof = format!("{name}: {text}\r\n");
            }
            Err(sip::Unanswerable::Refused) => return Ok(Said::RefusesPassword),
            Err(_) => {
                let reason = response.reason.as_str().into_owned();
                return Ok(Said::Answers(response.status, reason));
            }
        }
    }
    Ok(Said::RefusesPassword)
}
