//! Meta's SDP (Meta reference 10.2): its offer and its answer, print only.

use std::net::SocketAddr;

/// What Meta's description of one call needs.
#[derive(Clone, Debug)]
pub struct Words {
    /// `o=` session id: unix milliseconds.
    pub session: u64,
    /// UUID of the stream.
    pub stream: String,
    /// Where Meta receives.
    pub address: SocketAddr,
    /// Payload types of the `m=` line, in order, with what they mean.
    pub formats: Vec<(u8, &'static str)>,
    /// `a=crypto` tag and suite.
    pub crypto: (String, String),
    /// The 40 characters after `inline:`.
    pub key: String,
    /// The one SSRC.
    pub ssrc: u32,
}

/// Opus as an `a=rtpmap` value.
pub const OPUS: &str = "opus/48000/2";
/// A-law as an `a=rtpmap` value.
pub const PCMA: &str = "PCMA/8000";
/// µ-law as an `a=rtpmap` value.
pub const PCMU: &str = "PCMU/8000";
/// Telephone events as an `a=rtpmap` value.
pub const EVENTS: &str = "telephone-event/8000";

/// Prints a description, line for line as Meta does.
pub fn print(words: &Words) -> String {
    let Words {
        session,
        stream,
        address,
        formats,
        crypto,
        key,
        ssrc,
    } = words;
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let list: Vec<String> = formats.iter().map(|(pt, _)| pt.to_string()).collect();
    let mut text = format!(
        "v=0\r\no=- {session} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\n\
         a=msid-semantic: WMS {stream}\r\nm=audio {port} RTP/SAVP {list}\r\nc=IN {family} {ip}\r\n\
         a=rtcp:9 IN IP4 0.0.0.0\r\na=mid:audio\r\na=sendrecv\r\na=msid:{stream} WhatsAppTrack1\r\na=rtcp-mux\r\n\
         a=crypto:{tag} {suite} inline:{key}\r\n",
        port = address.port(),
        ip = address.ip(),
        list = list.join(" "),
        tag = crypto.0,
        suite = crypto.1,
    );
    for (pt, map) in formats {
        text.push_str(&format!("a=rtpmap:{pt} {map}\r\n"));
        if *map == OPUS {
            text.push_str(&format!(
                "a=fmtp:{pt} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;\
                 sprop-maxcapturerate=16000;useinbandfec=1\r\n"
            ));
        }
    }
    text.push_str(&format!(
        "a=maxptime:20\r\na=ptime:20\r\na=ssrc:{ssrc} cname:WhatsAppAudioStream1\r\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_the_documented_one_byte_for_byte() {
        let words = Words {
            session: 1_750_716_867_913,
            stream: "4e37b099-8aef-45d0-be4f-1cde2ca5a37d".into(),
            address: "57.144.219.49:3480".parse().unwrap(),
            formats: vec![(111, OPUS), (126, EVENTS)],
            crypto: ("1".into(), "AES_CM_128_HMAC_SHA1_80".into()),
            key: "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml".into(),
            ssrc: 215_879_358,
        };
        assert_eq!(
            print(&words),
            include_str!("../../samples/sip-uic-sdes-offer.sdp")
        );
    }

    #[test]
    fn the_offer_with_g711_is_the_expected_one() {
        let words = Words {
            session: 1_750_716_867_913,
            stream: "4e37b099-8aef-45d0-be4f-1cde2ca5a37d".into(),
            address: "57.144.219.49:3480".parse().unwrap(),
            formats: vec![(111, OPUS), (8, PCMA), (0, PCMU), (126, EVENTS)],
            crypto: ("1".into(), "AES_CM_128_HMAC_SHA1_80".into()),
            key: "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml".into(),
            ssrc: 215_879_358,
        };
        assert_eq!(
            print(&words),
            include_str!("../../samples/meta-uic-sdes-g711-enabled-offer.sdp")
        );
    }
}
