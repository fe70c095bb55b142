//! Attributes of a media description, read into types and printed back (RFC 8866 §6, RFC 3605,
//! RFC 5576). `a=crypto` has a file of its own.

use std::net::IpAddr;

use crate::{Codec, Direction};

/// `a=rtpmap:<pt> <name>/<clock>[/<channels>]` (RFC 8866 §6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtpmap {
    /// RTP payload type, 0 to 127.
    pub pt: u8,
    /// Encoding name, in the writer's spelling; compared without case (RFC 4855 §3).
    pub name: String,
    /// RTP clock rate in Hz.
    pub clock: u32,
    /// Channels, where written; one is meant otherwise.
    pub channels: Option<u8>,
}

impl Rtpmap {
    /// Reads the value behind `a=rtpmap:`.
    pub fn parse(value: &str) -> Option<Self> {
        let (pt, encoding) = value.trim().split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
        let clock = parts.next()?.trim().parse().ok()?;
        let channels = match parts.next() {
            Some(channels) => Some(channels.trim().parse().ok()?),
            None => None,
        };
        Some(Self {
            pt: payload_type(pt)?,
            name,
            clock,
            channels,
        })
    }

    /// The mapping we write for a codec.
    pub fn of(pt: u8, codec: Codec) -> Self {
        Self {
            pt,
            name: codec.name().to_owned(),
            clock: codec.clock(),
            // RFC 7587 §7: always two channels in the rtpmap, whatever is encoded.
            channels: (codec == Codec::Opus).then_some(2),
        }
    }

    /// The codec meant, where it is one we know: exactly `opus/48000/2`, `PCMU/8000`, `PCMA/8000`
    /// or `telephone-event/8000`, the name in any case.
    ///
    /// Telephone events at another clock are not known: they would run on a clock the far side of
    /// a bridge does not have (Meta reference 10.6).
    pub fn codec(&self) -> Option<Codec> {
        [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::TelephoneEvent]
            .into_iter()
            .find(|codec| {
                let channels = if *codec == Codec::Opus { 2 } else { 1 };
                self.name.eq_ignore_ascii_case(codec.name())
                    && self.clock == codec.clock()
                    && self.channels.unwrap_or(1) == channels
            })
    }

    /// The value to print behind `a=rtpmap:`.
    pub fn to_value(&self) -> String {
        match self.channels {
            Some(channels) => format!("{} {}/{}/{channels}", self.pt, self.name, self.clock),
            None => format!("{} {}/{}", self.pt, self.name, self.clock),
        }
    }
}

/// `a=fmtp:<pt> <parameters>` (RFC 8866 §6.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fmtp {
    /// RTP payload type, 0 to 127.
    pub pt: u8,
    /// The parameters as written.
    pub parameters: String,
}

impl Fmtp {
    /// Reads the value behind `a=fmtp:`.
    pub fn parse(value: &str) -> Option<Self> {
        let (pt, parameters) = value.trim().split_once(' ')?;
        Some(Self {
            pt: payload_type(pt)?,
            parameters: parameters.trim().to_owned(),
        })
    }
}

/// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605): where RTCP is expected when not on port + 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// The address, where it differs from that of the stream.
    pub address: Option<IpAddr>,
}

impl Rtcp {
    /// Reads the value behind `a=rtcp:`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let port = words.next()?.parse().ok()?;
        let address = match words.nth(2) {
            Some(address) => Some(address.parse().ok()?),
            None => None,
        };
        Some(Self { port, address })
    }

    /// Whether this is the placeholder `9 IN IP4 0.0.0.0` that multiplexing endpoints write
    /// (Meta reference 10.2): it says nothing about where RTCP goes.
    pub fn is_placeholder(&self) -> bool {
        matches!(self.port, 0 | 9) || self.address.is_some_and(|address| address.is_unspecified())
    }
}

/// `a=ssrc:<id> <attribute>[:<value>]` (RFC 5576 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssrc {
    /// The synchronisation source.
    pub id: u32,
    /// Its `cname`, where this line tells it.
    pub cname: Option<String>,
}

impl Ssrc {
    /// Reads the value behind `a=ssrc:`.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (id, rest) = value.split_once(' ').unwrap_or((value, ""));
        Some(Self {
            id: id.parse().ok()?,
            cname: rest.trim().strip_prefix("cname:").map(str::to_owned),
        })
    }
}

/// The direction an attribute name stands for (RFC 8866 §6.7), from its writer's point of view.
pub fn direction(name: &str) -> Option<Direction> {
    [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ]
    .into_iter()
    .find(|direction| name.eq_ignore_ascii_case(direction.name()))
}

/// A payload type in decimal digits, 0 to 127.
pub(crate) fn payload_type(text: &str) -> Option<u8> {
    text.trim().parse().ok().filter(|pt| *pt < 128)
}
