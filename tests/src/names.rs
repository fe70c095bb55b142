//! The names of a test, for programs that ask a DNS server of their own: every name has one IPv4 address, and no name has
//! anything else (RFC 1035).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server; it ends when it is dropped.
pub struct Names {
    /// Where it listens.
    pub address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    /// Serves at a free port of this host.
    ///
    /// # Panics
    /// When there is none.
    pub fn serve(names: &[(&str, IpAddr)]) -> Names {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        let soon = Some(Duration::from_millis(100));
        socket.set_read_timeout(soon).expect("a timeout above zero");
        let known: Vec<(String, IpAddr)> = names
            .iter()
            .map(|(name, ip)| ((*name).to_owned(), *ip))
            .collect();
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !told.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer)
                    && let Some(answer) = answer(&buffer[..length], &known)
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Names {
            address,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a question: the address, nothing where another kind of record is asked for, or no such name.
fn answer(question: &[u8], known: &[(String, IpAddr)]) -> Option<Vec<u8>> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        let label = question.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        let dot = if name.is_empty() { "" } else { "." };
        name = format!("{name}{dot}{}", String::from_utf8_lossy(label));
    }
    let kind = question.get(at..at + 4)?;
    let found = known
        .iter()
        .find(|(one, _)| one.eq_ignore_ascii_case(&name));
    let address = match found {
        Some((_, IpAddr::V4(ip))) if kind == [0, 1, 0, 1] => Some(ip.octets()),
        _ => None,
    };
    let mut answer = question[..2].to_vec();
    answer.extend([0x85, if found.is_some() { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(&question[12..at + 4]);
    if let Some(address) = address {
        // The name of the question, an address, for a minute.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    fn a_name_has_its_address_and_nothing_else() {
        let ip = "127.9.8.7:0".to_socket_addrs().expect("numbers").next();
        let known = [("a.example".to_owned(), ip.expect("one").ip())];
        let ask = |name: &[u8], kind: u8| {
            let head = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            answer(&[&head, name, &[0, kind, 0, 1]].concat(), &known).expect("a question")
        };
        let name = b"\x01A\x07example\x00";
        assert_eq!(
            ask(name, 1)[..12],
            [7, 7, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
        );
        assert!(ask(name, 1).ends_with(&[127, 9, 8, 7]));
        assert_eq!(ask(name, 33)[6..8], [0, 0], "no SRV");
        assert_eq!(ask(b"\x01b\x00", 1)[3], 0x83, "no such name");
        assert_eq!(answer(b"short", &known), None);
    }
}
