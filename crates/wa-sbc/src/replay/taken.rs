//! From the packets of a capture to SIP messages and datagrams of media, each with who sent it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use sip::{Frame, Framer, Transport};

use super::scene::Scene;
use crate::pcap::{Packet, Unit, dissect};
use crate::trace::{Gap, closed, word};

/// Something that was taken from a capture.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) at: SystemTime,
    /// Towards us.
    pub(super) inward: bool,
    pub(super) gap: Gap,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) what: Kind,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A SIP message.
    Sip(Transport, Bytes),
    /// A datagram of RTP or RTCP; in the clear even where the leg has keys.
    Media(Bytes, bool),
}

impl Taken {
    pub(super) fn is_sip(&self) -> bool {
        matches!(self.what, Kind::Sip(..))
    }
}

/// Everything between us and a peer, in the order of the capture.
pub(super) fn read(packets: &[Packet], scene: &Scene) -> Vec<Taken> {
    let mut taken = Vec::new();
    let mut streams: HashMap<(SocketAddr, SocketAddr), Stream> = HashMap::new();
    for packet in packets {
        match dissect(packet.link, &packet.bytes) {
            Some(Unit::Udp(datagram)) if is_sip(datagram.payload) => {
                let bytes = Bytes::copy_from_slice(datagram.payload);
                let ends = (datagram.from, datagram.to);
                taken.extend(placed(
                    packet,
                    scene,
                    ends,
                    Kind::Sip(Transport::Udp, bytes),
                ));
            }
            // The first two bits of RTP and RTCP are a version of 2.
            Some(Unit::Udp(datagram)) if datagram.payload.first().is_some_and(|b| b >> 6 == 2) => {
                let bytes = Bytes::copy_from_slice(datagram.payload);
                taken.extend(placed(
                    packet,
                    scene,
                    (datagram.from, datagram.to),
                    Kind::Media(bytes, false),
                ));
            }
            Some(Unit::Tcp(segment)) => {
                let ends = (segment.from, segment.to);
                let stream = streams.entry(ends).or_default();
                for bytes in stream.push(segment.sequence, segment.syn, segment.payload) {
                    taken.extend(placed(
                        packet,
                        scene,
                        ends,
                        Kind::Sip(Transport::Tcp, bytes),
                    ));
                }
            }
            _ => {}
        }
    }
    taken
}

fn is_sip(payload: &[u8]) -> bool {
    let line = payload
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0")
}

/// Says who is who: by our own comment where there is one, else by addresses.
fn placed(
    packet: &Packet,
    scene: &Scene,
    ends: (SocketAddr, SocketAddr),
    what: Kind,
) -> Option<Taken> {
    let comment = packet.comment.as_str();
    // OPTIONS and REGISTER follow clocks of their own, which no replay has.
    if comment.split(' ').any(|word| word == "outside") {
        return None;
    }
    let (from, to) = ends;
    if let (Some(gap), Some(way)) = (word(comment, "gap"), word(comment, "way")) {
        let inward = way == "in";
        let (near, far) = if inward { (to, from) } else { (from, to) };
        let told = |key: &str, default: SocketAddr| {
            word(comment, key)
                .and_then(|text| text.parse().ok())
                .unwrap_or(default)
        };
        let what = match (what, word(comment, "transport")) {
            (Kind::Sip(_, bytes), Some("tls")) => Kind::Sip(Transport::Tls, closed(&bytes)),
            (Kind::Sip(transport, bytes), _) => Kind::Sip(transport, closed(&bytes)),
            (Kind::Media(bytes, _), _) => {
                Kind::Media(bytes, word(comment, "media") == Some("clear"))
            }
        };
        return Some(Taken {
            at: packet.at,
            inward,
            gap: Gap::of(gap)?,
            local: told("local", near),
            remote: told("remote", far),
            what,
        });
    }
    let ours = |address: SocketAddr| scene.sbc.contains(&address.ip());
    let inward = match (ours(from), ours(to)) {
        (false, true) => true,
        (true, false) => false,
        _ => return None,
    };
    let (local, remote) = if inward { (to, from) } else { (from, to) };
    let gap = if remote.ip() == scene.pbx.ip() {
        Gap::Pbx
    } else {
        Gap::Carrier
    };
    let what = match what {
        // In the clear in a capture, but over TLS to the core: the only way Meta comes.
        Kind::Sip(_, bytes) if gap == Gap::Carrier => Kind::Sip(Transport::Tls, bytes),
        what => what,
    };
    Some(Taken {
        at: packet.at,
        inward,
        gap,
        local,
        remote,
        what,
    })
}

/// One direction of a stream: pieces in order, repeated ones left out.
struct Stream {
    next: Option<u32>,
    framer: Framer,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            next: None,
            framer: Framer::new(sip::Limits::default()),
        }
    }
}

impl Stream {
    fn push(&mut self, sequence: u32, syn: bool, payload: &[u8]) -> Vec<Bytes> {
        if syn {
            self.next = Some(sequence.wrapping_add(1));
            return Vec::new();
        }
        let next = *self.next.get_or_insert(sequence);
        // How much of the piece was here before.
        let known = next.wrapping_sub(sequence) as usize;
        let Some(fresh) = payload.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return Vec::new();
        };
        self.next = Some(next.wrapping_add(fresh.len() as u32));
        self.framer.push(fresh);
        let mut messages = Vec::new();
        while let Some(frame) = self.framer.next() {
            if let Frame::Message(message) = frame {
                messages.push(message.to_bytes());
            }
        }
        messages
    }
}
