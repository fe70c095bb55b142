//! Where the two ends of one call send and what they expect: all the load generator has to know of a call,
//! however it was set up.

use std::net::SocketAddr;

use base64::Engine as _;
use sdp::{Codec, Crypto, SrtpKey, Suite};

/// Meta's key, and the one towards Meta, wherever nobody negotiates others.
pub(crate) const KEYS: [[u8; 30]; 2] = [[0x4d; 30], [0x53; 30]];

/// One call, as its far ends see it.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Meta's end.
    pub(crate) meta: End,
    /// The PBX's end.
    pub(crate) pbx: End,
}

/// One end of a call.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// Where what it says goes.
    pub(crate) remote: SocketAddr,
    /// The payload type it says it with.
    pub(crate) pt: u8,
    /// What it sends under; plain RTP without.
    pub(crate) seals: Option<[u8; 30]>,
    /// What it receives under.
    pub(crate) opens: Option<[u8; 30]>,
    /// What tells apart what it hears, where all calls come from one port.
    pub(crate) hears: Option<u32>,
}

/// The payload type of a codec on either leg.
pub(crate) fn payload_type(codec: Codec) -> u8 {
    if codec == Codec::Opus { 111 } else { 8 }
}

/// A key as `media` takes it.
pub(crate) fn crypto(key: [u8; 30]) -> Crypto {
    Crypto {
        tag: 1,
        suite: Suite::AesCm128HmacSha1_80,
        key: SrtpKey::new(key),
        lifetime: None,
        mki: None,
    }
}

/// What an SDP says about audio: as much of it as a load generator needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Where RTP is expected.
    pub(crate) rtp: SocketAddr,
    /// The first payload type.
    pub(crate) pt: u8,
    /// The first key of AES_CM_128_HMAC_SHA1_80.
    pub(crate) key: Option<[u8; 30]>,
    /// The SSRC announced.
    pub(crate) ssrc: Option<u32>,
}

impl Described {
    /// Reads a description; `None` when there is no audio in it.
    pub(crate) fn read(sdp: &str) -> Option<Described> {
        let line =
            |start: &'static str| sdp.lines().filter_map(move |line| line.strip_prefix(start));
        let address = line("c=IN IP4 ").next_back()?.trim().parse().ok()?;
        let mut media = line("m=audio ").next()?.split_whitespace();
        let port = media.next()?.parse().ok()?;
        let pt = media.nth(1)?.parse().ok()?;
        let key = line("a=crypto:")
            .find_map(|line| line.split_once("AES_CM_128_HMAC_SHA1_80 inline:"))
            .and_then(|(_, key)| {
                let key = key.split(['|', ' ']).next()?.trim();
                let bytes = base64::engine::general_purpose::STANDARD.decode(key).ok()?;
                bytes.try_into().ok()
            });
        let ssrc = line("a=ssrc:").find_map(|line| line.split(' ').next()?.trim().parse().ok());
        Some(Described {
            rtp: SocketAddr::new(address, port),
            pt,
            key,
            ssrc,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_port_payload_type_and_key_are_found() {
        let key = base64::engine::general_purpose::STANDARD.encode([7; 30]);
        let sdp = format!(
            "v=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4000 RTP/SAVP 111 126\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\na=ssrc:7 cname:x\r\n"
        );
        let expected = Described {
            rtp: "127.0.0.9:4000".parse().expect("an address"),
            pt: 111,
            key: Some([7; 30]),
            ssrc: Some(7),
        };
        assert_eq!(Described::read(&sdp), Some(expected));
        assert_eq!(Described::read("v=0\r\n"), None);
    }
}
