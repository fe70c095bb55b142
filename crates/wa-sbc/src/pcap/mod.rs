//! Captures: files that Wireshark, tshark and tcpdump read and write.
//!
//! ```text
//!   payloads ─► frames.rs (Ethernet, IP, UDP or TCP, with sums and sequence numbers) ─► write.rs ─► pcapng
//!   pcapng, pcap ─► read.rs ─► packets ─► dissect.rs (link, IP, UDP or TCP) ─► payloads
//! ```
//!
//! Nothing here knows SIP, RTP or calls. What stands in a file is never trusted: lengths are checked,
//! and what makes no sense is left out.

mod dissect;
mod frames;
mod read;
mod write;

pub use dissect::{Datagram, Segment, Unit, dissect};
pub use frames::Frames;
pub use read::{Packet, ReadError, read};
pub use write::Writer;
