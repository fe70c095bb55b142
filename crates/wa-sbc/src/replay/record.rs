//! A capture of the simulated world, as seen at our border.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use sim::world::{Crossing, Party};

use crate::trace::{Crossed, Gap, Seen, StoryWriter, What};

/// Packets of media kept that went out to one address: a second and a half.
const OUTWARD: u32 = 75;

/// Writes what crossed the border of a world as a capture with lab keys in it.
pub fn capture(crossings: &[Crossing], began: std::time::SystemTime) -> io::Result<Vec<u8>> {
    let mut writer = StoryWriter::new(Vec::new(), true)?;
    let mut outward = BTreeMap::new();
    for crossing in crossings {
        let at = began + Duration::from_nanos(crossing.at.as_nanos() as u64);
        let gap = match crossing.peer {
            Party::Meta => Gap::Carrier,
            _ => Gap::Pbx,
        };
        match crossing.transport {
            Some(transport) => {
                let crossed = Crossed {
                    inward: crossing.inward,
                    gap,
                    transport,
                    local: crossing.local,
                    remote: crossing.remote,
                    bytes: Bytes::copy_from_slice(&crossing.bytes),
                };
                let seen = Seen {
                    at,
                    what: What::Message(crossed),
                };
                writer.seen(1, &seen, "")?;
            }
            None => {
                // A replay makes what went out anew: the first packets are enough to look at.
                if !crossing.inward {
                    let count: &mut u32 = outward.entry(crossing.remote).or_default();
                    *count += 1;
                    if *count > OUTWARD {
                        continue;
                    }
                }
                let (local, remote) = (crossing.local, crossing.remote);
                let (way, ends) = match crossing.inward {
                    true => ("in", (remote, local)),
                    false => ("out", (local, remote)),
                };
                let comment = format!("wa-sbc call=1 media gap={} way={way}", gap.label());
                writer.datagram(at, ends, &crossing.bytes, &comment)?;
            }
        }
    }
    Ok(writer.into_inner())
}
