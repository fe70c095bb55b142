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
    /// (Meta reference 10.2): the discard port
    /// or no address, so it says nothing about where RTCP goes.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(value: &str) -> Option<Codec> {
        Rtpmap::parse(value).and_then(|map| map.codec())
    }

    #[test]
    fn codecs_are_known_by_name_clock_and_channels() {
        let cases = [
            ("111 opus/48000/2", Some(Codec::Opus)),
            ("96 OPUS/48000/2", Some(Codec::Opus)),
            ("111 opus/48000", None),
            ("111 opus/48000/1", None),
            ("111 opus/16000/2", None),
            ("0 PCMU/8000", Some(Codec::Pcmu)),
            ("0 pcmu/8000/1", Some(Codec::Pcmu)),
            ("8 PCMA/8000", Some(Codec::Pcma)),
            ("118 PCMA/16000", None),
            ("8 PCMA/8000/2", None),
            ("126 telephone-event/8000", Some(Codec::TelephoneEvent)),
            ("101 TELEPHONE-EVENT/8000/1", Some(Codec::TelephoneEvent)),
            ("110 telephone-event/48000", None),
            ("9 G722/8000", None),
            ("63 red/48000/2", None),
        ];
        for (value, expected) in cases {
            assert_eq!(codec(value), expected, "{value}");
        }
    }

    #[test]
    fn a_mapping_is_printed_as_it_was_read() {
        for value in [
            "111 opus/48000/2",
            "0 PCMU/8000",
            "126 telephone-event/8000",
        ] {
            let map = Rtpmap::parse(value).expect("a mapping");
            assert_eq!(map.to_value(), value);
            let codec = map.codec().expect("a known codec");
            assert_eq!(Rtpmap::of(map.pt, codec).to_value(), value);
        }
    }

    #[test]
    fn broken_mappings_are_no_mappings() {
        for value in [
            "",
            "111",
            "111 ",
            "128 opus/48000/2",
            "x opus/48000/2",
            "111 opus",
            "111 /8000",
            "111 opus/48000/",
            "111 opus/fast/2",
            "-1 PCMU/8000",
        ] {
            assert_eq!(Rtpmap::parse(value), None, "{value}");
        }
    }

    #[test]
    fn format_parameters_belong_to_a_payload_type() {
        let fmtp = Fmtp::parse("126 0-15").expect("parameters");
        assert_eq!((fmtp.pt, fmtp.parameters.as_str()), (126, "0-15"));
        assert_eq!(Fmtp::parse("126"), None);
        assert_eq!(Fmtp::parse("200 x=1"), None);
    }

    #[test]
    fn the_rtcp_attribute_names_a_port_and_perhaps_an_address() {
        let port = Rtcp::parse("53020").expect("a port");
        assert_eq!(
            (port.port, port.address, port.is_placeholder()),
            (53020, None, false)
        );
        let v4 = Rtcp::parse("53020 IN IP4 126.16.64.4").expect("a port and address");
        assert_eq!(v4.address, "126.16.64.4".parse().ok());
        let v6 = Rtcp::parse("53020 IN IP6 2001:db8::1").expect("a port and address");
        assert_eq!(v6.address, "2001:db8::1".parse().ok());
        for broken in ["", "port", "65536", "53020 IN IP4 host.example.com"] {
            assert_eq!(Rtcp::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_placeholder_of_multiplexing_endpoints_is_recognised() {
        for value in [
            "9 IN IP4 0.0.0.0",
            "9",
            "0",
            "4000 IN IP4 0.0.0.0",
            "4000 IN IP6 ::",
        ] {
            assert!(
                Rtcp::parse(value).is_some_and(|rtcp| rtcp.is_placeholder()),
                "{value}"
            );
        }
    }

    #[test]
    fn an_ssrc_line_tells_the_source_and_perhaps_its_cname() {
        let ssrc = Ssrc::parse("215879358 cname:WhatsAppAudioStream1").expect("a source");
        assert_eq!(
            (ssrc.id, ssrc.cname.as_deref()),
            (215879358, Some("WhatsAppAudioStream1"))
        );
        assert_eq!(Ssrc::parse("1 msid:a b").expect("a source").cname, None);
        assert_eq!(Ssrc::parse("4294967296 cname:x"), None);
    }

    #[test]
    fn directions_are_known_by_name() {
        assert_eq!(direction("sendonly"), Some(Direction::SendOnly));
        assert_eq!(direction("SendRecv"), Some(Direction::SendRecv));
        assert_eq!(direction("ptime"), None);
    }
}
