//! The PBX's SDP, printed and read with our own few lines.

use std::net::{IpAddr, SocketAddr};

use sdp::{Codec, Crypto};

use super::secrecy;

/// What the far side's description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Far {
    /// Where they receive RTP.
    pub(crate) rtp: SocketAddr,
    /// Where they receive RTCP.
    pub(crate) rtcp: SocketAddr,
    /// RTP and RTCP on one port.
    pub(crate) mux: bool,
    /// Audio formats in order.
    pub(crate) audio: Vec<(u8, Codec)>,
    /// Payload type of telephone-event/8000.
    pub(crate) events: Option<u8>,
    /// The usable `a=crypto` lines; SRTP (`RTP/SAVP`) has at least one.
    pub(crate) crypto: Vec<Crypto>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub(crate) direction: String,
}

/// Reads a description of plain RTP, or of SRTP; what is wrong with it otherwise.
pub(crate) fn read(body: &[u8], secured: bool) -> Result<Far, String> {
    let text = std::str::from_utf8(body).map_err(|_| "SDP is not UTF-8".to_owned())?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let media = lines
        .iter()
        .find(|line| line.starts_with("m=audio "))
        .ok_or("SDP without audio")?;
    let words: Vec<&str> = media[2..].split(' ').collect();
    let [_, port, profile, formats @ ..] = &words[..] else {
        return Err("m= line is incomplete".into());
    };
    let wanted = if secured { "RTP/SAVP" } else { "RTP/AVP" };
    if *profile != wanted {
        return Err(format!("profile {profile} is not {wanted}"));
    }
    let crypto: Vec<Crypto> = lines
        .iter()
        .filter_map(|line| secrecy::read(line.strip_prefix("a=crypto:")?))
        .collect();
    if secured == crypto.is_empty() {
        return Err(format!("{profile} with {} crypto lines", crypto.len()));
    }
    let port: u16 = port.parse().map_err(|_| format!("port {port} is none"))?;
    if port == 0 {
        return Err("audio was refused with port 0".into());
    }
    let address = lines
        .iter()
        .rev()
        .find_map(|line| {
            line.strip_prefix("c=IN IP4 ")
                .or(line.strip_prefix("c=IN IP6 "))
        })
        .and_then(|ip| ip.parse::<IpAddr>().ok())
        .ok_or("SDP without a c= address")?;
    let map = |pt: &str| {
        lines.iter().find_map(|line| {
            let (number, meaning) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            (number == pt).then(|| meaning.to_ascii_lowercase())
        })
    };
    let (mut audio, mut events) = (Vec::new(), None);
    for text in formats {
        let Ok(pt) = text.parse::<u8>() else {
            return Err(format!("payload type {text} is none"));
        };
        let codec = match (map(text).as_deref(), pt) {
            (Some("opus/48000/2"), _) => Codec::Opus,
            (Some("pcma/8000" | "pcma/8000/1"), _) | (None, 8) => Codec::Pcma,
            (Some("pcmu/8000" | "pcmu/8000/1"), _) | (None, 0) => Codec::Pcmu,
            (Some("telephone-event/8000"), _) => {
                events = events.or(Some(pt));
                continue;
            }
            _ => continue,
        };
        audio.push((pt, codec));
    }
    let direction = ["sendonly", "recvonly", "inactive"]
        .into_iter()
        .find(|d| lines.iter().any(|line| line.strip_prefix("a=") == Some(*d)))
        .unwrap_or("sendrecv");
    let mux = lines.contains(&"a=rtcp-mux");
    let rtp = SocketAddr::new(address, port);
    let rtcp_port = lines
        .iter()
        .find_map(|line| {
            line.strip_prefix("a=rtcp:")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(port.wrapping_add(1));
    let rtcp = if mux {
        rtp
    } else {
        SocketAddr::new(address, rtcp_port)
    };
    Ok(Far {
        rtp,
        rtcp,
        mux,
        audio,
        events,
        crypto,
        direction: direction.into(),
    })
}

/// Prints a description.
pub(crate) fn print(
    address: SocketAddr,
    session: u32,
    version: u32,
    formats: &[(u8, Codec)],
    events: Option<u8>,
    (ptime, direction): (u8, &str),
) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let ip = address.ip();
    let mut list: Vec<String> = formats.iter().map(|(pt, _)| pt.to_string()).collect();
    list.extend(events.map(|pt| pt.to_string()));
    let mut text = format!(
        "v=0\r\no=pbx {session} {version} IN {family} {ip}\r\ns=call\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {}\r\n",
        address.port(),
        list.join(" ")
    );
    for (pt, codec) in formats {
        let channels = if *codec == Codec::Opus { "/2" } else { "" };
        text.push_str(&format!(
            "a=rtpmap:{pt} {}/{}{channels}\r\n",
            codec.name(),
            codec.clock()
        ));
    }
    if let Some(pt) = events {
        text.push_str(&format!(
            "a=rtpmap:{pt} telephone-event/8000\r\na=fmtp:{pt} 0-15\r\n"
        ));
    }
    text.push_str(&format!("a=ptime:{ptime}\r\na={direction}\r\n"));
    text
}

/// The payload type we give a codec.
pub(crate) const fn pt_of(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 96,
        Codec::Pcma => 8,
        Codec::Pcmu => 0,
        Codec::TelephoneEvent => 101,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let address = "127.0.0.1:4000".parse().unwrap();
        let formats = [(8, Codec::Pcma), (96, Codec::Opus)];
        let far = read(
            print(address, 1, 1, &formats, Some(101), (20, "sendonly")).as_bytes(),
            false,
        )
        .unwrap();
        assert_eq!(far.audio, formats);
        assert_eq!(
            (far.rtp, far.rtcp.port(), far.events, far.direction.as_str()),
            (address, 4001, Some(101), "sendonly")
        );
    }

    #[test]
    fn keys_and_profile_have_to_fit() {
        let text = print(
            "127.0.0.1:4000".parse().unwrap(),
            1,
            1,
            &[(8, Codec::Pcma)],
            None,
            (20, "sendrecv"),
        );
        assert!(read(text.replace("RTP/AVP", "RTP/SAVP").as_bytes(), false).is_err());
        assert!(read(text.replace("RTP/AVP", "RTP/SAVP").as_bytes(), true).is_err());
        assert!(read(text.as_bytes(), true).is_err());
        assert!(read(text.replace("audio 4000", "audio 0").as_bytes(), false).is_err());
    }
}
