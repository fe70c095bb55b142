//! How our media ports look from outside, as a STUN server (RFC 8489) sees them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::UNIX_EPOCH;

use super::{Check, Finding, Patient};
use crate::clock;

/// One media port asks a server outside whence its packets come. Only where somebody named a server: it is
/// a stranger to the house.
pub(super) struct Outside;

const MAGIC: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
/// Questions, should one get lost.
const TRIES: u32 = 3;

impl Check for Outside {
    fn name(&self) -> &'static str {
        "media-outside"
    }

    /// The port it asks from is nobody else's for that moment.
    fn disturbs(&self) -> bool {
        true
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let asked = patient.stun.as_ref();
        asked
            .map(|server| look(patient, server))
            .into_iter()
            .collect()
    }
}

fn look(patient: &Patient, server: &str) -> Finding {
    let media = &patient.settings.media;
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => {
            (host.trim_matches(['[', ']']), port.parse().unwrap_or(3478))
        }
        _ => (server, 3478),
    };
    let addresses = patient.resolve(host, port).unwrap_or_default();
    let same_family = |address: &&SocketAddr| address.is_ipv4() == media.public.is_ipv4();
    let Some(address) = addresses.iter().find(same_family) else {
        return Finding::warn(
            format!(
                "the STUN server {server} has no address like {}",
                media.public
            ),
            "name another one",
        );
    };
    // The last ports of the range are the last that calls get.
    let ports: Vec<u16> = media.ports.pairs().collect();
    let mut last_first = ports.iter().rev();
    let bound = last_first.find_map(|port| UdpSocket::bind((media.public_bind, *port)).ok());
    let local = bound.as_ref().and_then(|socket| socket.local_addr().ok());
    let (Some(socket), Some(local)) = (bound, local) else {
        return Finding::warn(
            "no media port is free to ask from",
            "look at what the check media-ports says",
        );
    };
    match ask(&socket, *address, patient) {
        Ok(seen) if seen.ip() != media.public => Finding::fail(
            format!(
                "packets of media ports come from {}, but Meta is told to send media to {}",
                seen.ip(),
                media.public
            ),
            "write the address packets come from to [media] public, or let them leave by the one that stands there",
        ),
        Ok(seen) if seen.port() != local.port() => Finding::warn(
            format!(
                "something between us and {server} turned media port {} into {}",
                local.port(),
                seen.port()
            ),
            "forward the whole UDP range of [media] ports one to one to this machine: Meta sends to the ports it was told",
        ),
        Ok(seen) => Finding::pass(format!(
            "{server} sees media port {} as {seen}, as Meta is told; whether strangers are let in, too, only a call shows",
            local.port()
        )),
        Err(error) => Finding::warn(
            format!(
                "{server} did not answer media port {}: {error}",
                local.port()
            ),
            "let UDP of the media range out and its answers in; if that is so, name another STUN server",
        ),
    }
}

/// Whence the server sees our packets come.
fn ask(socket: &UdpSocket, server: SocketAddr, patient: &Patient) -> io::Result<SocketAddr> {
    let unique = patient.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let unique = unique.as_nanos().to_be_bytes();
    let mut question = vec![0, 1, 0, 0];
    question.extend(MAGIC);
    question.extend(&unique[4..]);
    let pause = patient.patience / TRIES;
    for _ in 0..TRIES {
        socket.send_to(&question, server)?;
        let until = clock::now() + pause;
        let mut buffer = [0; 1500];
        loop {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    if let Some(seen) = read(&buffer[..length], &question[4..]) {
                        return Ok(seen);
                    }
                }
                Err(error) if super::line::is_silence(&error) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("nothing in {:?}", patient.patience),
    ))
}

/// The address in a success to the question with this cookie and transaction (RFC 8489 §14.1, §14.2).
fn read(message: &[u8], transaction: &[u8]) -> Option<SocketAddr> {
    const MAPPED: u16 = 0x0001;
    const XOR_MAPPED: u16 = 0x0020;
    let (head, mut rest) = message.split_at_checked(20)?;
    if head[..2] != [1, 1] || head[4..] != *transaction {
        return None;
    }
    let mut mapped = None;
    while let Some((attribute, behind)) = rest.split_at_checked(4) {
        let kind = u16::from_be_bytes([attribute[0], attribute[1]]);
        let length = usize::from(u16::from_be_bytes([attribute[2], attribute[3]]));
        let value = behind.get(..length)?;
        rest = behind.get(length.next_multiple_of(4)..).unwrap_or_default();
        match kind {
            XOR_MAPPED => return address(value, transaction),
            MAPPED => mapped = address(value, &[0; 16]),
            _ => {}
        }
    }
    mapped
}

fn address(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let (&[_, family, high, low], rest) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([high ^ mask[0], low ^ mask[1]]);
    let plain = rest.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    let plain: Vec<u8> = plain.collect();
    let ip: IpAddr = match family {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?).into(),
        2 => Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.2 and §2.3: what others agreed an answer looks like.
    #[test]
    fn the_answers_of_rfc_5769_are_read() {
        let transaction = [
            0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
            0xdf, 0xae,
        ];
        let software = [
            0x80, 0x22, 0x00, 0x0b, b't', b'e', b's', b't', b' ', b'v', b'e', b'c', b't', b'o',
            b'r', b' ',
        ];
        let message = |attribute: &[u8]| {
            let mut message = vec![1, 1, 0, 60];
            message.extend(transaction);
            message.extend(software);
            message.extend(attribute);
            message
        };
        let v4 = message(&[
            0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
        ]);
        assert_eq!(
            read(&v4, &transaction),
            Some(([192, 0, 2, 1], 32_853).into())
        );
        let v6 = message(&[
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3,
            0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ]);
        let expected = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        assert_eq!(read(&v6, &transaction), expected.parse().ok());
        let other = [0; 16];
        assert_eq!(read(&v4, &other), None, "an answer to somebody else");
        for cut in 0..v4.len() {
            let _ = read(&v4[..cut], &transaction);
        }
        assert_eq!(read(&v4[..30], &transaction), None);
    }
}
