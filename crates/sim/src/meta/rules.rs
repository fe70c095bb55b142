//! The media rules Meta enforces on the far side's SDP (Meta reference 10), by a reader of our own.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What an acceptable description says.
#[derive(Clone, Debug, PartialEq)]
pub struct Theirs {
    /// Where they receive RTP.
    pub rtp: SocketAddr,
    /// Where they receive RTCP.
    pub rtcp: SocketAddr,
    /// RTP and RTCP on one port.
    pub mux: bool,
    /// Audio payload types with their `a=rtpmap` value, lower case, in order of preference.
    pub audio: Vec<(u8, String)>,
    /// Payload type of telephone-event/8000.
    pub dtmf: Option<u8>,
    /// Tag and suite of the crypto line to use.
    pub crypto: (String, String),
    /// Their 30 bytes of key and salt.
    pub key: [u8; 30],
    /// The SSRC they announced.
    pub ssrc: Option<u32>,
}

/// What we offered, when the description is an answer.
#[derive(Clone, Debug)]
pub struct Offered<'a> {
    /// Payload types and meanings.
    pub formats: &'a [(u8, &'static str)],
    /// Tag and suite.
    pub crypto: &'a (String, String),
    /// Our key, which must not come back.
    pub key: &'a str,
}

/// Checks an offer (`offered` is `None`) or an answer; all broken rules, in words.
pub fn check(
    body: &[u8],
    g711: bool,
    offered: Option<&Offered<'_>>,
) -> Result<Theirs, Vec<String>> {
    let mut broken = Vec::new();
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(_) => return Err(vec!["SDP is not UTF-8".into()]),
    };
    if !text.starts_with("v=0\r\n") {
        broken.push("SDP does not start with v=0 and CRLF".into());
    }
    if text
        .split("\r\n")
        .any(|line| line.contains('\n') || line.contains('\r'))
        || !text.ends_with("\r\n")
    {
        broken.push("SDP lines do not all end in CRLF".into());
    }
    let lines: Vec<&str> = text.lines().collect();
    let order: String = lines
        .iter()
        .filter_map(|line| line.chars().next())
        .collect();
    let (Some(o), Some(s), Some(t)) = (order.find('o'), order.find('s'), order.find('t')) else {
        broken.push("SDP lacks o=, s= or t=".into());
        return Err(broken);
    };
    if !(o == 1 && s == 2 && t > s) {
        broken.push("SDP lines are out of order".into());
    }
    let media: Vec<usize> = (0..lines.len())
        .filter(|i| lines[*i].starts_with("m="))
        .collect();
    let Some(&first) = media.first() else {
        broken.push("SDP has no m= line".into());
        return Err(broken);
    };
    if media.len() > 1 {
        broken.push("SDP has more than one m= line".into());
    }
    let end = media.get(1).copied().unwrap_or(lines.len());
    let section = &lines[first..end];
    let attribute = |name: &str| -> Vec<&str> {
        section
            .iter()
            .filter_map(|line| {
                line.strip_prefix("a=")?
                    .strip_prefix(name)?
                    .strip_prefix(':')
            })
            .collect()
    };
    let flag = |name: &str| {
        section
            .iter()
            .any(|line| line.strip_prefix("a=") == Some(name))
    };
    let m: Vec<&str> = section[0][2..].split(' ').collect();
    if m.len() < 4 || m[0] != "audio" {
        broken.push(format!("first m= line is no audio: {}", section[0]));
        return Err(broken);
    }
    let port = m[1].parse::<u16>().unwrap_or(0);
    if port == 0 {
        broken.push("audio port is 0 or no number".into());
    }
    if m[2] != "RTP/SAVP" {
        broken.push(format!("profile {} is not RTP/SAVP", m[2]));
    }
    let address = address_of(&lines[..first], section);
    if address.is_none_or(|ip| ip.is_unspecified()) {
        broken.push("no usable c= address".into());
    }
    for name in ["fingerprint", "candidate", "ice-ufrag", "setup"] {
        if !attribute(name).is_empty() {
            broken.push(format!("a={name} in a description keyed by SDES"));
        }
    }
    if flag("sendonly") || flag("recvonly") || flag("inactive") {
        broken.push("direction is not sendrecv".into());
    }
    for name in ["ptime", "maxptime"] {
        if attribute(name).iter().any(|value| value.trim() != "20") {
            broken.push(format!("a={name} is not 20"));
        }
    }
    let (audio, dtmf) = formats(&m[3..], &attribute("rtpmap"), g711, offered, &mut broken);
    let crypto = crypto(&attribute("crypto"), offered, &mut broken);
    let mut ssrcs: Vec<u32> = attribute("ssrc")
        .iter()
        .filter_map(|value| value.split(' ').next()?.parse().ok())
        .collect();
    ssrcs.dedup();
    if ssrcs.len() > 1 {
        broken.push("more than one SSRC announced".into());
    }
    let mux = flag("rtcp-mux");
    let (Some(ip), Some((crypto, key)), true) = (address, crypto, broken.is_empty()) else {
        return Err(broken);
    };
    let rtcp_port = attribute("rtcp")
        .first()
        .and_then(|value| value.split(' ').next()?.parse().ok());
    let rtp = SocketAddr::new(ip, port);
    let rtcp = if mux {
        rtp
    } else {
        SocketAddr::new(ip, rtcp_port.unwrap_or(port.wrapping_add(1)))
    };
    Ok(Theirs {
        rtp,
        rtcp,
        mux,
        audio,
        dtmf,
        crypto,
        key,
        ssrc: ssrcs.first().copied(),
    })
}

/// The connection address: of the media section, else of the session.
fn address_of(session: &[&str], section: &[&str]) -> Option<IpAddr> {
    let read = |lines: &[&str]| {
        lines.iter().find_map(|line| {
            let words: Vec<&str> = line.strip_prefix("c=")?.split(' ').collect();
            match words[..] {
                ["IN", "IP4" | "IP6", ip] => ip.parse().ok(),
                _ => None,
            }
        })
    };
    read(section).or_else(|| read(session))
}

/// Audio and event payload types, and the rules about them.
fn formats(
    list: &[&str],
    maps: &[&str],
    g711: bool,
    offered: Option<&Offered<'_>>,
    broken: &mut Vec<String>,
) -> (Vec<(u8, String)>, Option<u8>) {
    let (mut audio, mut dtmf) = (Vec::new(), None);
    for text in list {
        let Some(pt) = text.parse::<u8>().ok().filter(|pt| *pt < 128) else {
            broken.push(format!("payload type {text} is none"));
            continue;
        };
        let mapped = maps.iter().find_map(|map| {
            let (number, meaning) = map.split_once(' ')?;
            (number == *text).then(|| meaning.to_ascii_lowercase())
        });
        let meaning = match (mapped, pt) {
            (Some(meaning), _) => meaning,
            (None, 0) => "pcmu/8000".into(),
            (None, 8) => "pcma/8000".into(),
            (None, _) => {
                broken.push(format!("payload type {pt} has no a=rtpmap"));
                continue;
            }
        };
        if let Some(offered) = offered {
            let same = offered
                .formats
                .iter()
                .any(|(number, map)| *number == pt && map.eq_ignore_ascii_case(&meaning));
            if !same {
                broken.push(format!("answered {pt} {meaning}, which was not offered"));
            }
        }
        match meaning.as_str() {
            "opus/48000/2" => audio.push((pt, meaning)),
            "pcma/8000" | "pcma/8000/1" | "pcmu/8000" | "pcmu/8000/1" if g711 => {
                audio.push((pt, meaning))
            }
            "telephone-event/8000" => dtmf = dtmf.or(Some(pt)),
            "telephone-event/48000" if offered.is_none() => {}
            other if other.starts_with("opus/") => broken.push(format!("Opus printed as {other}")),
            other if offered.is_some() => broken.push(format!("codec {other} is not enabled")),
            _ => {}
        }
    }
    if audio.is_empty() {
        broken.push("no codec we may use".into());
    }
    if offered.is_some() && audio.len() > 1 {
        broken.push("an answer with more than one audio codec".into());
    }
    (audio, dtmf)
}

/// The crypto line to use, and the rules about it.
fn crypto(
    lines: &[&str],
    offered: Option<&Offered<'_>>,
    broken: &mut Vec<String>,
) -> Option<((String, String), [u8; 30])> {
    if lines.is_empty() {
        broken.push("no a=crypto line".into());
        return None;
    }
    if offered.is_some() && lines.len() != 1 {
        broken.push("an answer with more than one a=crypto line".into());
    }
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [tag, suite, inline, ..] = words[..] else {
            broken.push("a=crypto line is incomplete".into());
            continue;
        };
        if suite != "AES_CM_128_HMAC_SHA1_80" && suite != "AES_CM_128_HMAC_SHA1_32" {
            continue;
        }
        let text = inline.strip_prefix("inline:").unwrap_or_default();
        let text = text.split('|').next().unwrap_or_default();
        let Some(key) = STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| <[u8; 30]>::try_from(bytes).ok())
        else {
            broken.push("a=crypto key is not 40 characters of base64".into());
            continue;
        };
        if let Some(offered) = offered {
            if tag != offered.crypto.0 || suite != offered.crypto.1 {
                broken.push(format!(
                    "answered crypto {tag} {suite}, offered {} {}",
                    offered.crypto.0, offered.crypto.1
                ));
            }
            if text == offered.key {
                broken.push("the answer repeats our own SRTP key".into());
            }
        }
        return Some(((tag.to_owned(), suite.to_owned()), key));
    }
    broken.push("no SRTP suite we know".into());
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = include_str!("../../samples/sbc-bic-sdes-offer.sdp");

    fn offered() -> (Vec<(u8, &'static str)>, (String, String)) {
        (
            vec![(111, "opus/48000/2"), (126, "telephone-event/8000")],
            ("1".into(), "AES_CM_128_HMAC_SHA1_80".into()),
        )
    }

    #[test]
    fn documented_offers_pass() {
        let theirs = check(OFFER.as_bytes(), false, None).unwrap();
        assert_eq!(theirs.rtp, "203.0.113.20:31002".parse().unwrap());
        assert_eq!(
            (theirs.mux, theirs.dtmf, theirs.ssrc),
            (true, Some(126), Some(305_419_897))
        );
        let partner = include_str!("../../samples/sip-bic-sdes-offer.sdp");
        let theirs = check(partner.as_bytes(), false, None).unwrap();
        assert_eq!(theirs.audio, [(107, "opus/48000/2".to_owned())]);
        assert_eq!(
            (theirs.mux, theirs.rtcp.port()),
            (false, theirs.rtp.port() + 1)
        );
    }

    #[test]
    fn every_rule_has_a_description_that_breaks_it() {
        let cases: &[(&str, &str, &str)] = &[
            ("RTP/SAVP", "RTP/AVP", "profile RTP/AVP"),
            ("a=ptime:20", "a=ptime:40", "ptime is not 20"),
            ("opus/48000/2", "opus/48000 2", "Opus printed as"),
            ("a=sendrecv", "a=sendonly", "direction"),
            ("inline:iivX", "inline:X", "40 characters"),
            ("m=audio 31002", "m=audio 0", "port is 0"),
            (
                "AES_CM_128_HMAC_SHA1_80",
                "F8_128_HMAC_SHA1_80",
                "no SRTP suite",
            ),
            ("c=IN IP4 203.0.113.20", "c=IN IP4 0.0.0.0", "c= address"),
            ("a=rtcp-mux", "a=fingerprint:sha-256 AA", "a=fingerprint"),
            ("a=rtcp-mux\r\n", "a=rtcp-mux\n", "CRLF"),
        ];
        for (good, bad, rule) in cases {
            let text = OFFER.replace(good, bad);
            assert_ne!(text, OFFER);
            let broken = check(text.as_bytes(), false, None).unwrap_err();
            assert!(
                broken.iter().any(|b| b.contains(rule)),
                "{rule}: {broken:?}"
            );
        }
    }

    #[test]
    fn an_answer_is_held_to_the_offer() {
        let (formats, crypto) = offered();
        let ours = Offered {
            formats: &formats,
            crypto: &crypto,
            key: "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml",
        };
        assert!(check(OFFER.as_bytes(), false, Some(&ours)).is_ok());
        for (bad, rule) in [
            (OFFER.replace("crypto:1", "crypto:2"), "answered crypto 2"),
            (OFFER.replace("111", "107"), "answered 107"),
            (
                OFFER.replace("iivXCvHjUYeySCWt/2VqteobMhOcviJHPiXD+4VU", ours.key),
                "our own SRTP key",
            ),
        ] {
            let broken = check(bad.as_bytes(), false, Some(&ours)).unwrap_err();
            assert!(
                broken.iter().any(|b| b.contains(rule)),
                "{rule}: {broken:?}"
            );
        }
    }
}
