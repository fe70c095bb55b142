//! The PBXs.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sip::{Target, Transport};

use super::handshake::{Trouble, shake};
use super::patient::port_of;
use super::{Check, Finding, Patient};

/// Every destination of every trunk is asked with OPTIONS whether it lives; any answer will do.
pub(super) struct Trunks;

impl Check for Trunks {
    fn name(&self) -> &'static str {
        "trunks"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let mut findings = Vec::new();
        for trunk in patient.trunks() {
            for target in trunk.destinations() {
                findings.push(ask(patient, &trunk.name, target));
            }
        }
        findings
    }
}

fn ask(patient: &Patient, trunk: &str, target: &Target) -> Finding {
    let who = format!("trunk {trunk}: {}:{}", target.host, port_of(target));
    let addresses = patient.servers(target);
    let Some(address) = addresses.ok().and_then(|all| all.first().copied()) else {
        return Finding::fail(
            format!("{who} cannot be resolved"),
            "check the name in peer, and this machine's DNS",
        );
    };
    let asked = match target.transport {
        Transport::Udp => datagram(address, target, patient.patience),
        Transport::Tcp => stream(address, target, patient.patience),
        Transport::Tls => {
            return match shake(address, &target.host, patient.patience) {
                Ok(_) => Finding::pass(format!("{who} takes TLS connections")),
                Err(Trouble::Unreachable(error)) => down(&who, &error),
                Err(Trouble::Alpn(why) | Trouble::Failed(why)) => Finding::fail(
                    format!("{who}: no TLS handshake: {why}"),
                    "check port and certificate of the PBX",
                ),
            };
        }
    };
    match asked {
        Ok(status) => Finding::pass(format!("{who} answers OPTIONS with {status}")),
        Err(error) if silent(&error) => Finding::fail(
            format!(
                "{who} is silent: OPTIONS got no answer in {:?}",
                patient.patience
            ),
            "is that the PBX's SIP port, does it know this machine as a peer, does a firewall swallow what it sends back?",
        ),
        Err(error) => down(&who, &error),
    }
}

fn down(who: &str, error: &io::Error) -> Finding {
    Finding::fail(
        format!("{who} cannot be reached: {error}"),
        "is the PBX running, and listening on that address, port and transport?",
    )
}

fn silent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn datagram(address: SocketAddr, target: &Target, patience: Duration) -> io::Result<String> {
    let any: IpAddr = if address.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = UdpSocket::bind((target.from.map_or(any, |from| from.ip()), 0))
        .or_else(|_| UdpSocket::bind((any, 0)))?;
    socket.connect(address)?;
    let local = socket.local_addr()?;
    let mut buffer = [0; 4096];
    // Twice, as SIP over UDP would.
    socket.set_read_timeout(Some(patience / 2))?;
    let question = options(target, local, "UDP");
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..2 {
        socket.send(question.as_bytes())?;
        match socket.recv(&mut buffer) {
            Ok(length) => return status(&buffer[..length]),
            Err(error) if silent(&error) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn stream(address: SocketAddr, target: &Target, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let question = options(target, stream.local_addr()?, "TCP");
    stream.write_all(question.as_bytes())?;
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer)?;
    status(&buffer[..length])
}

fn status(answer: &[u8]) -> io::Result<String> {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default();
    let status = line.strip_prefix("SIP/2.0 ").map(str::to_owned);
    status.ok_or_else(|| io::Error::other("what answers is no SIP"))
}

fn options(target: &Target, local: SocketAddr, transport: &str) -> String {
    let unique = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let Target { host, port, .. } = target;
    format!(
        "OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};rport;branch=z9hG4bKdr{unique:x}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:doctor@{local}>;tag=dr{unique:x}\r\nTo: <sip:{host}:{port}>\r\n\
         Call-ID: dr{unique:x}@{}\r\nCSeq: 1 OPTIONS\r\nContact: <sip:doctor@{local}>\r\nUser-Agent: wa-sbc doctor\r\nContent-Length: 0\r\n\r\n",
        local.ip()
    )
}
