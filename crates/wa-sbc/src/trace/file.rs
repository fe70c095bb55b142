//! A story as a capture, and back: one format for the ladder, for Wireshark and for the replay.
//!
//! | seen | in the file |
//! |---|---|
//! | a message over TLS or TCP | a TCP segment between the same addresses; port 5061 becomes 5060, where analysers look for SIP in the clear |
//! | a message over UDP | a datagram |
//! | a fact | a syslog line (RFC 3164) of ours to ourselves |
//!
//! A capture with media in the clear beside the messages says `a=opened` where SDP said `a=crypto`.
//!
//! The comment of each packet names call and leg, and what the frame cannot: `wa-sbc call=7 gap=carrier
//! way=in transport=tls local=… remote=…`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use sdp::Side;
use sip::Transport;

use super::redact::{closed, opened, redacted};
use super::seen::{Crossed, Gap, Seen, Story, What};
use crate::pcap::{Frames, Packet, Unit, Writer, dissect};

/// At the head of every capture of ours.
pub(crate) const HEAD: &str = "wa-sbc capture: SIP as it was under TLS, RTP as it was under SRTP";

/// Where facts go: the syslog port of this host.
const SYSLOG: u16 = 514;

/// Writes stories.
#[derive(Debug)]
pub struct StoryWriter<W> {
    writer: Writer<W>,
    frames: Frames,
    secrets: bool,
    /// Media in the clear stands beside the messages.
    opened: bool,
}

impl<W: Write> StoryWriter<W> {
    /// Begins a capture; without `secrets` keys and digest answers are left out.
    pub fn new(to: W, secrets: bool) -> io::Result<Self> {
        Ok(Self {
            writer: Writer::new(to, &head(secrets))?,
            frames: Frames::default(),
            secrets,
            opened: false,
        })
    }

    /// The same, with media in the clear beside the messages.
    #[must_use]
    pub fn with_media(mut self) -> Self {
        self.opened = true;
        self
    }

    /// Goes on in another file; streams go on where they stopped. What was written to until now.
    pub fn turn(&mut self, to: W) -> io::Result<W> {
        let next = Writer::new(to, &head(self.secrets))?;
        Ok(std::mem::replace(&mut self.writer, next).into_inner())
    }

    /// Writes a whole story.
    pub fn story(&mut self, story: &Story) -> io::Result<()> {
        let mut head = String::new();
        for (side, call_id) in &story.legs {
            head.push_str(&format!(" leg{side:?}={call_id}"));
        }
        if let Some(carrier) = story.carrier {
            head.push_str(&format!(" carrier={carrier:?}"));
        }
        let call = story.call.map_or(0, |call| call.0);
        for (index, seen) in story.seen.iter().enumerate() {
            let head = if index == 0 { head.as_str() } else { "" };
            self.seen(call, seen, head)?;
        }
        Ok(())
    }

    /// Writes one thing that was seen in a call; `more` goes into its comment.
    pub fn seen(&mut self, call: u64, seen: &Seen, more: &str) -> io::Result<()> {
        match &seen.what {
            What::Message(crossed) => {
                let bytes = match self.secrets {
                    true => crossed.bytes.clone(),
                    false => redacted(&crossed.bytes),
                };
                let bytes = if self.opened { opened(&bytes) } else { bytes };
                let way = if crossed.inward { "in" } else { "out" };
                let comment = format!(
                    "wa-sbc call={call} gap={} way={way} transport={} local={} remote={}{more}",
                    crossed.gap.label(),
                    crossed.transport.param(),
                    crossed.local,
                    crossed.remote,
                );
                let (local, remote) = (clear(crossed.local), clear(crossed.remote));
                let (from, to) = if crossed.inward {
                    (remote, local)
                } else {
                    (local, remote)
                };
                let frames = match crossed.transport {
                    Transport::Udp => {
                        vec![
                            self.frames
                                .udp(crossed_from(crossed), crossed_to(crossed), &bytes),
                        ]
                    }
                    _ => self.frames.tcp(from, to, &bytes),
                };
                for (index, frame) in frames.iter().enumerate() {
                    let comment = if index == 0 { comment.as_str() } else { "" };
                    self.writer.packet(seen.at, frame, comment)?;
                }
            }
            What::Fact { gap, text } => {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, SYSLOG));
                let gap = gap.map_or(String::new(), |gap| format!(" gap={}", gap.label()));
                let comment = format!("wa-sbc call={call} fact{gap}{more}");
                let line = format!("<134>wa-sbc: {text}");
                let frame = self.frames.udp(here, here, line.as_bytes());
                self.writer.packet(seen.at, &frame, &comment)?;
            }
        }
        Ok(())
    }

    /// Writes a datagram of media, as it was under SRTP.
    pub fn datagram(
        &mut self,
        at: std::time::SystemTime,
        (from, to): (SocketAddr, SocketAddr),
        payload: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let frame = self.frames.udp(from, to, payload);
        self.writer.packet(at, &frame, comment)
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The end; what was written to.
    pub fn into_inner(self) -> W {
        self.writer.into_inner()
    }
}

fn head(secrets: bool) -> String {
    let shown = match secrets {
        true => "",
        false => "; keys and digest answers blanked",
    };
    format!("{HEAD}{shown}")
}

fn crossed_from(crossed: &Crossed) -> SocketAddr {
    if crossed.inward {
        crossed.remote
    } else {
        crossed.local
    }
}

fn crossed_to(crossed: &Crossed) -> SocketAddr {
    if crossed.inward {
        crossed.local
    } else {
        crossed.remote
    }
}

/// The address under which SIP without TLS is looked for.
fn clear(mut address: SocketAddr) -> SocketAddr {
    if address.port() == 5061 {
        address.set_port(5060);
    }
    address
}

/// Words of a comment of ours: `key=value`.
pub(crate) fn word<'a>(comment: &'a str, key: &str) -> Option<&'a str> {
    comment
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The stories of a capture of ours; packets without a comment of ours go on with the message before
/// them, or are media.
pub fn stories(packets: &[Packet]) -> Vec<Story> {
    let mut stories: Vec<((bool, u64), Story)> = Vec::new();
    // The message a further piece of a stream belongs to.
    let mut last: Option<(usize, SocketAddr, SocketAddr)> = None;
    for packet in packets {
        let comment = packet.comment.as_str();
        let Some(unit) = dissect(packet.link, &packet.bytes) else {
            continue;
        };
        let (from, to, payload) = match unit {
            Unit::Udp(datagram) => (datagram.from, datagram.to, datagram.payload),
            Unit::Tcp(segment) => (segment.from, segment.to, segment.payload),
        };
        if comment.is_empty()
            && let Some((index, same, also)) = last
            && (same, also) == (from, to)
            && let Some(seen) = stories[index].1.seen.back_mut()
            && let What::Message(crossed) = &mut seen.what
        {
            crossed.bytes = closed(&[&crossed.bytes[..], payload].concat().into());
            continue;
        }
        let Some(seen) = seen(packet, payload) else {
            continue;
        };
        let number = |key| word(comment, key).and_then(|number| number.parse().ok());
        let call: u64 = number("call").unwrap_or(0);
        // An INVITE is no call yet when it comes; its story has a number from the beginning.
        let story = (
            word(comment, "story").is_some(),
            number("story").unwrap_or(call),
        );
        let known = stories.iter().position(|(other, _)| *other == story);
        let index = known.unwrap_or_else(|| {
            stories.push((story, Story::default()));
            stories.len() - 1
        });
        let story = &mut stories[index].1;
        if call != 0 {
            story.call = Some(b2bua::CallId(call));
        }
        for side in Side::BOTH {
            if let Some(call_id) = word(comment, &format!("leg{side:?}")) {
                let leg = (side, call_id.to_owned());
                if !story.legs.contains(&leg) {
                    story.legs.push(leg);
                }
            }
            if word(comment, "carrier") == Some(&format!("{side:?}")) {
                story.carrier = Some(side);
            }
        }
        story.seen.push_back(seen);
        last = Some((index, from, to));
    }
    stories.into_iter().map(|(_, story)| story).collect()
}

fn seen(packet: &Packet, payload: &[u8]) -> Option<Seen> {
    let comment = packet.comment.as_str();
    if !comment.starts_with("wa-sbc ") {
        return None;
    }
    let gap = word(comment, "gap").and_then(Gap::of);
    if comment.split(' ').any(|word| word == "fact") {
        let text = String::from_utf8_lossy(payload);
        let text = text
            .strip_prefix("<134>wa-sbc: ")
            .unwrap_or(&text)
            .to_owned();
        return Some(Seen {
            at: packet.at,
            what: What::Fact { gap, text },
        });
    }
    let transport = word(comment, "transport")?;
    let transport = [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|known| known.param() == transport)?;
    let crossed = Crossed {
        inward: word(comment, "way")? == "in",
        gap: gap?,
        transport,
        local: word(comment, "local")?.parse().ok()?,
        remote: word(comment, "remote")?.parse().ok()?,
        bytes: closed(&Bytes::copy_from_slice(payload)),
    };
    Some(Seen {
        at: packet.at,
        what: What::Message(crossed),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::pcap;

    #[test]
    fn a_story_is_read_back_as_it_was_written_but_for_its_secrets() {
        let address = |text: &str| text.parse().expect("an address");
        let message = |transport, bytes: String| Seen {
            at: UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
            what: What::Message(Crossed {
                inward: true,
                gap: Gap::Carrier,
                transport,
                local: address("203.0.113.7:5061"),
                remote: address("[2a03:2880::1]:40000"),
                bytes: bytes.into(),
            }),
        };
        let long = "x".repeat(40_000);
        let fact = What::Fact {
            gap: Some(Gap::Pbx),
            text: "first packet came".into(),
        };
        let story = Story {
            call: Some(b2bua::CallId(7)),
            legs: vec![(Side::A, "a@b".into()), (Side::B, "c".into())],
            carrier: Some(Side::A),
            seen: [
                message(
                    Transport::Tls,
                    format!("INVITE sip:x SIP/2.0\r\n\r\n{long}"),
                ),
                message(Transport::Udp, "BYE sip:x SIP/2.0\r\n\r\n".into()),
                Seen {
                    at: UNIX_EPOCH,
                    what: fact,
                },
            ]
            .into(),
            left_out: 0,
        };
        let mut writer = StoryWriter::new(Vec::new(), false).expect("memory");
        writer.story(&story).expect("memory");
        let file = writer.into_inner();
        let read = stories(&pcap::read(&file).expect("a capture"));
        assert_eq!(read, [story]);
    }
}
