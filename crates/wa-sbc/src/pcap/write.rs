//! pcapng: one section, one Ethernet interface, one enhanced packet block per packet, each with its
//! comment (draft-ietf-opsawg-pcapng).

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes a capture.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

const COMMENT: u16 = 1;
const END: u16 = 0;

impl<W: Write> Writer<W> {
    /// Begins a section; `comment` stands at the head of the file.
    pub fn new(mut to: W, comment: &str) -> io::Result<Self> {
        let mut section = Vec::new();
        section.extend(0x1A2B_3C4D_u32.to_le_bytes());
        section.extend(1_u16.to_le_bytes());
        section.extend(0_u16.to_le_bytes());
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, COMMENT, comment.as_bytes());
        option(
            &mut section,
            4,
            concat!("wa-sbc ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        option(&mut section, END, &[]);
        block(&mut to, 0x0A0D_0D0A, &section)?;
        let mut interface = Vec::new();
        interface.extend(1_u16.to_le_bytes()); // LINKTYPE_ETHERNET
        interface.extend(0_u16.to_le_bytes());
        interface.extend(0_u32.to_le_bytes());
        option(&mut interface, 2, b"wa-sbc");
        option(&mut interface, 9, &[9]); // timestamps are nanoseconds
        option(&mut interface, END, &[]);
        block(&mut to, 1, &interface)?;
        Ok(Self { to })
    }

    /// Writes a frame seen at a time.
    pub fn packet(&mut self, at: SystemTime, frame: &[u8], comment: &str) -> io::Result<()> {
        let nanos = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut packet = Vec::with_capacity(frame.len() + comment.len() + 40);
        packet.extend(0_u32.to_le_bytes());
        packet.extend(((nanos >> 32) as u32).to_le_bytes());
        packet.extend((nanos as u32).to_le_bytes());
        packet.extend(length);
        packet.extend(length);
        packet.extend(frame);
        pad(&mut packet);
        if !comment.is_empty() {
            option(&mut packet, COMMENT, comment.as_bytes());
            option(&mut packet, END, &[]);
        }
        block(&mut self.to, 6, &packet)
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// The end; what was written to.
    pub fn into_inner(self) -> W {
        self.to
    }
}

fn block(to: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    to.write_all(&kind.to_le_bytes())?;
    to.write_all(&length)?;
    to.write_all(body)?;
    to.write_all(&length)
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(60_000)];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}
