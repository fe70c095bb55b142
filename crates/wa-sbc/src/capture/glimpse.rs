//! A datagram of media as a media thread saw it, on its way to the writer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use b2bua::CallId;
use sdp::Side;

use super::ring::{Consumer, HEAD, Producer, ring};
use crate::trace::Gap;

/// Bytes of one thread's ring: a tenth of a second of a thousand calls.
const RING: usize = 4 << 20;

/// A set of captures: one bit each.
pub(crate) type Captures = u8;

/// What a media thread is told of a call somebody captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Who does.
    pub(crate) by: Captures,
    /// The side the carrier is on.
    pub(crate) carrier: Side,
}

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glimpse {
    /// Whose captures it belongs in.
    pub(crate) by: Captures,
    /// Whose it is.
    pub(crate) call: CallId,
    /// When it was seen.
    pub(crate) at: SystemTime,
    /// On which leg.
    pub(crate) gap: Gap,
    /// Towards us.
    pub(crate) inward: bool,
    /// In the clear; `false`: it came from elsewhere or could not be opened.
    pub(crate) opened: bool,
    /// Our address.
    pub(crate) local: SocketAddr,
    /// The far side's.
    pub(crate) remote: SocketAddr,
}

/// A media thread's end.
#[derive(Debug)]
pub(crate) struct Tap {
    producer: Producer,
    epoch: Instant,
    /// What came last, as it came.
    sealed: media::Packet,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Glimpses {
    consumer: Consumer,
    epoch: SystemTime,
}

/// The two ends for one thread, and when it is now on both clocks.
pub(crate) fn glimpses(now: Instant, wall: SystemTime) -> (Tap, Glimpses) {
    let (producer, consumer) = ring(RING);
    let tap = Tap {
        producer,
        epoch: now,
        sealed: media::Packet::new(),
    };
    let epoch = wall;
    (tap, Glimpses { consumer, epoch })
}

/// Where a datagram crossed: which way, on which side, between which addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) inward: bool,
    pub(crate) side: Side,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Tap {
    /// A datagram came: kept until it is known whether it can be opened.
    pub(crate) fn came(&mut self, bytes: &[u8]) {
        self.sealed.fill(bytes);
    }

    /// Shows a datagram; `bytes` are it in the clear, `None`: the one that came could not be opened.
    pub(crate) fn show(
        &mut self,
        now: Instant,
        (call, watched): (CallId, Watched),
        crossing: Crossing,
        bytes: Option<&[u8]>,
    ) {
        let since = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let gap = u64::from(crossing.side == watched.carrier);
        let flags = u64::from(watched.by)
            | gap << 8
            | u64::from(crossing.inward) << 9
            | u64::from(bytes.is_some()) << 10;
        let [l0, l1, l2] = packed(crossing.local);
        let [r0, r1, r2] = packed(crossing.remote);
        let head = [flags, since, call.0, l0, l1, l2, r0, r1, r2];
        let bytes = bytes.unwrap_or(self.sealed.as_slice());
        self.producer.put(head, bytes);
    }
}

impl Glimpses {
    /// The next one; its bytes are added to `out`.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Option<Glimpse> {
        let [flags, since, call, l0, l1, l2, r0, r1, r2]: [u64; HEAD] = self.consumer.take(out)?;
        Some(Glimpse {
            by: flags as u8,
            call: CallId(call),
            at: self.epoch + Duration::from_nanos(since),
            gap: match flags >> 8 & 1 {
                1 => Gap::Carrier,
                _ => Gap::Pbx,
            },
            inward: flags >> 9 & 1 == 1,
            opened: flags >> 10 & 1 == 1,
            local: unpacked([l0, l1, l2]),
            remote: unpacked([r0, r1, r2]),
        })
    }

    /// How many were dropped since this was asked last.
    pub(crate) fn dropped(&self) -> u64 {
        self.consumer.dropped()
    }
}

/// An IPv4 address travels as the IPv6 address it is mapped to (RFC 4291 §2.5.5.2).
fn packed(address: SocketAddr) -> [u64; 3] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let bits = ip.to_bits();
    [(bits >> 64) as u64, bits as u64, address.port().into()]
}

fn unpacked([high, low, port]: [u64; 3]) -> SocketAddr {
    let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    SocketAddr::new(IpAddr::V6(ip).to_canonical(), port as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glimpse_arrives_as_it_was_shown() {
        let (now, wall) = (crate::clock::now(), SystemTime::UNIX_EPOCH);
        let (mut tap, mut glimpses) = glimpses(now, wall);
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let watched = Watched {
            by: 0b101,
            carrier: Side::B,
        };
        let crossing = Crossing {
            inward: true,
            side: Side::B,
            local: address("203.0.113.7:20000"),
            remote: address("[2a03:2880::1]:40001"),
        };
        tap.came(b"sealed");
        let later = now + Duration::from_millis(1_500);
        let of = (CallId(77), watched);
        tap.show(later, of, crossing, None);
        let leaves = Crossing {
            inward: false,
            side: Side::A,
            ..crossing
        };
        tap.show(later, of, leaves, Some(b"clear"));
        let mut bytes = Vec::new();
        let seen = Glimpse {
            by: 0b101,
            call: CallId(77),
            at: wall + Duration::from_millis(1_500),
            gap: Gap::Carrier,
            inward: true,
            opened: false,
            local: crossing.local,
            remote: crossing.remote,
        };
        assert_eq!(glimpses.next(&mut bytes), Some(seen));
        let left = Glimpse {
            gap: Gap::Pbx,
            inward: false,
            opened: true,
            ..seen
        };
        assert_eq!(glimpses.next(&mut bytes), Some(left));
        assert_eq!(
            (glimpses.next(&mut bytes), bytes),
            (None, b"sealedclear".to_vec())
        );
    }
}
