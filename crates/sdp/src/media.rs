//! One media description of a session description, with what it inherits from the session level.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::attribute::{self, Fmtp, Rtcp, Rtpmap, Ssrc};
use crate::{Codec, Crypto, Direction, Format, Profile};

/// A view of one `m=` line and the lines below it (RFC 8866 §5.14).
///
/// All answers are from the point of view of whoever wrote the description.
#[derive(Clone, Copy)]
pub struct Media<'a> {
    session: &'a sdp_types::Session,
    media: &'a sdp_types::Media,
}

impl<'a> Media<'a> {
    pub(crate) fn new(session: &'a sdp_types::Session, media: &'a sdp_types::Media) -> Self {
        Self { session, media }
    }

    /// Whether the media type is `audio`.
    pub fn is_audio(&self) -> bool {
        self.media.media.eq_ignore_ascii_case("audio")
    }

    /// Whether the stream is not wanted: port 0 (RFC 3264 §5.1, §6).
    pub fn is_rejected(&self) -> bool {
        self.media.port == 0
    }

    /// The port RTP is expected on.
    pub fn port(&self) -> u16 {
        self.media.port
    }

    /// The transport protocol as written: `RTP/AVP`, `RTP/SAVP`, `UDP/TLS/RTP/SAVPF` …
    pub fn transport(&self) -> &'a str {
        &self.media.proto
    }

    /// The transport profile, where it is one we speak.
    pub fn profile(&self) -> Option<Profile> {
        [Profile::Avp, Profile::Savp]
            .into_iter()
            .find(|profile| self.transport().eq_ignore_ascii_case(profile.name()))
    }

    /// The formats we know, in the order of the `m=` line, each payload type once.
    ///
    /// Payload types 0 and 8 need no `a=rtpmap` (RFC 3551 §6).
    pub fn formats(&self) -> Vec<Format> {
        let (mut maps, mut parameters) = (self.maps(), self.parameters());
        let mut seen = 0u128;
        let mut formats = Vec::new();
        for pt in self.media.fmt.split_ascii_whitespace() {
            let Some(pt) = attribute::payload_type(pt) else {
                continue;
            };
            if seen & (1 << pt) != 0 {
                continue;
            }
            seen |= 1 << pt;
            let codec = match (maps.remove(&pt), pt) {
                (Some(map), _) => map.codec(),
                (None, 0) => Some(Codec::Pcmu),
                (None, 8) => Some(Codec::Pcma),
                (None, _) => None,
            };
            if let Some(codec) = codec {
                let fmtp = parameters.remove(&pt);
                formats.push(Format { pt, codec, fmtp });
            }
        }
        formats
    }

    /// Milliseconds of audio per packet the writer would like to receive (RFC 8866 §6.4).
    pub fn ptime(&self) -> Option<u32> {
        self.value("ptime")?.trim().parse().ok()
    }

    /// The most milliseconds of audio per packet the writer takes (RFC 8866 §6.5).
    pub fn maxptime(&self) -> Option<u32> {
        self.value("maxptime")?.trim().parse().ok()
    }

    /// The direction as written, media level first, `sendrecv` where nothing is written
    /// (RFC 8866 §6.7).
    pub fn direction(&self) -> Direction {
        let written = |attributes: &[sdp_types::Attribute]| {
            attributes
                .iter()
                .find_map(|attribute| attribute::direction(&attribute.attribute))
        };
        written(&self.media.attributes)
            .or_else(|| written(&self.session.attributes))
            .unwrap_or(Direction::SendRecv)
    }

    /// The direction as meant: a writer whose address is `0.0.0.0` or `::` does not receive,
    /// whatever else it says. So hold was expressed before RFC 3264 (its §8.4; RFC 2543 B.5).
    pub fn effective_direction(&self) -> Direction {
        match self.address() {
            Some(address) if address.is_unspecified() => self.direction().meet(Direction::SendOnly),
            _ => self.direction(),
        }
    }

    /// The usable `a=crypto` lines in order of preference (RFC 4568). Lines we cannot use count as
    /// not written.
    pub fn crypto(&self) -> Vec<Crypto> {
        self.values("crypto")
            .filter_map(|value| Crypto::parse(value).ok())
            .collect()
    }

    /// `a=rtcp`, unless it is the placeholder `9 IN IP4 0.0.0.0` (RFC 3605).
    pub fn rtcp(&self) -> Option<Rtcp> {
        Rtcp::parse(self.value("rtcp")?).filter(|rtcp| !rtcp.is_placeholder())
    }

    /// Whether RTP and RTCP may share one port (RFC 5761 §5.1.1).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes("rtcp-mux").next().is_some()
    }

    /// Whether the writer asks for the VoIP metrics of RTCP XR: `a=rtcp-xr:… voip-metrics …`, of the
    /// stream or of the session (RFC 3611 §5.1).
    pub fn wants_voip_metrics(&self) -> bool {
        let asks = |attributes: &[sdp_types::Attribute]| {
            attributes
                .iter()
                .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtcp-xr"))
                .filter_map(|attribute| attribute.value.as_deref())
                .flat_map(str::split_ascii_whitespace)
                .any(|format| format.eq_ignore_ascii_case("voip-metrics"))
        };
        asks(&self.media.attributes) || asks(&self.session.attributes)
    }

    /// The synchronisation source the writer announces to send under (RFC 5576).
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.values("ssrc").find_map(Ssrc::parse)
    }

    /// The media identification tag (RFC 5888 §4).
    pub fn mid(&self) -> Option<&'a str> {
        self.value("mid")
    }

    /// The address media is expected at: the media level's `c=` line, else the session level's
    /// (RFC 8866 §5.7). `None` when there is none, or it is a host name.
    pub fn address(&self) -> Option<IpAddr> {
        let connection = self
            .media
            .connections
            .first()
            .or(self.session.connection.as_ref())?;
        connection.try_address().ok().map(|address| address.ip)
    }

    /// Where RTP is expected.
    pub fn rtp_target(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address()?, self.port()))
    }

    /// Where RTCP is expected when it is not multiplexed: as `a=rtcp` says, else one port above
    /// RTP (RFC 3550 §11, RFC 3605).
    pub fn rtcp_target(&self) -> Option<SocketAddr> {
        let address = self.address()?;
        Some(match self.rtcp() {
            Some(rtcp) => SocketAddr::new(rtcp.address.unwrap_or(address), rtcp.port),
            None => SocketAddr::new(address, self.port().checked_add(1).unwrap_or(self.port())),
        })
    }

    /// The first `a=rtpmap` of each payload type, found in one pass: a stranger may write thousands.
    fn maps(&self) -> BTreeMap<u8, Rtpmap> {
        let mut maps = BTreeMap::new();
        for map in self.values("rtpmap").filter_map(Rtpmap::parse) {
            maps.entry(map.pt).or_insert(map);
        }
        maps
    }

    /// The first `a=fmtp` of each payload type.
    fn parameters(&self) -> BTreeMap<u8, String> {
        let mut parameters = BTreeMap::new();
        for fmtp in self.values("fmtp").filter_map(Fmtp::parse) {
            parameters.entry(fmtp.pt).or_insert(fmtp.parameters);
        }
        parameters
    }

    fn value(&self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn values(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes(name)
            .filter_map(|attribute| attribute.value.as_deref())
    }

    fn attributes(&self, name: &'a str) -> impl Iterator<Item = &'a sdp_types::Attribute> {
        self.media
            .attributes
            .iter()
            .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Description;

    /// Runs `look` over the audio stream of a description with these lines behind `t=`.
    fn audio<T>(session: &[&str], media: &[&str], look: impl Fn(Media<'_>) -> T) -> T {
        let mut text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n".to_owned();
        for line in session.iter().chain(media) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        let description = Description::parse(text.as_bytes()).expect("a readable description");
        look(description.audio().expect("an audio stream"))
    }

    fn codecs(media: &[&str]) -> Vec<(u8, Codec)> {
        audio(&[], media, |audio| {
            audio.formats().iter().map(|f| (f.pt, f.codec)).collect()
        })
    }

    #[test]
    fn formats_keep_the_order_of_the_media_line() {
        let media = [
            "m=audio 4000 RTP/AVP 101 8 111 0",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:101 telephone-event/8000",
        ];
        assert_eq!(
            codecs(&media),
            [
                (101, Codec::TelephoneEvent),
                (8, Codec::Pcma),
                (111, Codec::Opus),
                (0, Codec::Pcmu)
            ]
        );
    }

    #[test]
    fn of_thousands_of_mappings_the_first_of_each_number_counts() {
        let mut media = vec!["m=audio 4000 RTP/AVP 111 8 0 126".to_owned()];
        for name in ["opus/48000/2", "telephone-event/8000", "PCMU/8000"] {
            media.extend(
                (96..128)
                    .cycle()
                    .take(2_000)
                    .map(|pt| format!("a=rtpmap:{pt} {name}")),
            );
        }
        media.push("a=rtpmap:8 G722/8000".into());
        let media: Vec<&str> = media.iter().map(String::as_str).collect();
        let opus = |pt| (pt, Codec::Opus);
        assert_eq!(codecs(&media), [opus(111), (0, Codec::Pcmu), opus(126)]);
    }

    #[test]
    fn static_payload_types_need_no_mapping_but_yield_to_one() {
        assert_eq!(
            codecs(&["m=audio 4000 RTP/AVP 0 8 18"]),
            [(0, Codec::Pcmu), (8, Codec::Pcma)]
        );
        assert_eq!(
            codecs(&["m=audio 4000 RTP/AVP 0", "a=rtpmap:0 G722/8000"]),
            []
        );
    }

    #[test]
    fn odd_payload_types_are_passed_over() {
        assert_eq!(
            codecs(&["m=audio 4000 RTP/AVP 8 8 256 x 0"]),
            [(8, Codec::Pcma), (0, Codec::Pcmu)]
        );
    }

    #[test]
    fn parameters_are_found_by_payload_type() {
        let media = [
            "m=audio 4000 RTP/AVP 96 97",
            "a=fmtp:97 0-15",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:97 telephone-event/8000",
        ];
        let fmtp: Vec<_> = audio(&[], &media, |audio| {
            audio.formats().into_iter().map(|f| f.fmtp).collect()
        });
        assert_eq!(fmtp, [None, Some("0-15".to_owned())]);
    }

    #[test]
    fn the_media_level_address_goes_before_the_session_level_one() {
        let line = "m=audio 4000 RTP/AVP 8";
        let session = ["c=IN IP4 192.0.2.7"];
        let at = |session: &[&str], media: &[&str]| {
            audio(session, media, |audio| {
                audio.rtp_target().map(|at| at.to_string())
            })
        };
        assert_eq!(at(&session, &[line]).as_deref(), Some("192.0.2.7:4000"));
        assert_eq!(
            at(&session, &[line, "c=IN IP4 192.0.2.8"]).as_deref(),
            Some("192.0.2.8:4000")
        );
        assert_eq!(
            at(&[], &[line, "c=IN IP6 2001:db8::8"]).as_deref(),
            Some("[2001:db8::8]:4000")
        );
        assert_eq!(at(&[], &[line, "c=IN IP4 pbx.example.com"]), None);
        assert_eq!(at(&[], &[line]), None);
    }

    #[test]
    fn rtcp_goes_one_port_up_unless_told_otherwise() {
        let rtcp = |lines: &[&str]| {
            let mut media = vec!["m=audio 4000 RTP/AVP 8", "c=IN IP4 192.0.2.8"];
            media.extend(lines);
            audio(&[], &media, |audio| {
                audio.rtcp_target().map(|at| at.to_string())
            })
        };
        assert_eq!(rtcp(&[]).as_deref(), Some("192.0.2.8:4001"));
        assert_eq!(rtcp(&["a=rtcp:5000"]).as_deref(), Some("192.0.2.8:5000"));
        assert_eq!(
            rtcp(&["a=rtcp:5000 IN IP4 192.0.2.9"]).as_deref(),
            Some("192.0.2.9:5000")
        );
        assert_eq!(
            rtcp(&["a=rtcp:9 IN IP4 0.0.0.0"]).as_deref(),
            Some("192.0.2.8:4001")
        );
    }

    #[test]
    fn voip_metrics_are_sent_to_who_asks_for_them() {
        let asks = |session: &[&str], media: &[&str]| {
            let media = [&["m=audio 4000 RTP/AVP 8"], media].concat();
            audio(session, &media, |audio| audio.wants_voip_metrics())
        };
        assert!(!asks(&[], &[]));
        assert!(!asks(&[], &["a=rtcp-xr:rcvr-rtt=all:10000"]));
        assert!(asks(&[], &["a=rtcp-xr:rcvr-rtt=all VoIP-metrics"]));
        assert!(asks(&["a=rtcp-xr:voip-metrics"], &[]));
    }

    #[test]
    fn direction_is_inherited_and_defaults_to_both() {
        let line = "m=audio 4000 RTP/AVP 8";
        let direction =
            |session: &[&str], media: &[&str]| audio(session, media, |audio| audio.direction());
        assert_eq!(direction(&[], &[line]), Direction::SendRecv);
        assert_eq!(direction(&["a=inactive"], &[line]), Direction::Inactive);
        assert_eq!(
            direction(&["a=inactive"], &[line, "a=sendonly"]),
            Direction::SendOnly
        );
    }

    #[test]
    fn an_address_of_zeros_means_the_writer_does_not_receive() {
        let meant = |connection: &str, direction: &str| {
            audio(
                &[],
                &["m=audio 4000 RTP/AVP 8", connection, direction],
                |audio| audio.effective_direction(),
            )
        };
        assert_eq!(meant("c=IN IP4 0.0.0.0", "a=sendrecv"), Direction::SendOnly);
        assert_eq!(meant("c=IN IP4 0.0.0.0", "a=recvonly"), Direction::Inactive);
        assert_eq!(meant("c=IN IP6 ::", "a=sendrecv"), Direction::SendOnly);
        assert_eq!(
            meant("c=IN IP4 192.0.2.1", "a=sendrecv"),
            Direction::SendRecv
        );
    }

    #[test]
    fn unusable_crypto_lines_do_not_hide_usable_ones() {
        let key = "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";
        let lines = [
            "m=audio 4000 RTP/SAVP 8".to_owned(),
            format!("a=crypto:1 AEAD_AES_256_GCM inline:{key}"),
            format!("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{key}|2^20|1:4"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tags: Vec<u32> = audio(&[], &lines, |audio| {
            audio.crypto().iter().map(|line| line.tag).collect()
        });
        assert_eq!(tags, [2]);
    }
}
