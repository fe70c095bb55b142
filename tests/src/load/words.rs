//! What Meta and the PBX say, as they say it, and the little that has to be read of what wa-sbc says.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::sbc::{HOST, PASSWORD};
use md5::{Digest, Md5};
use sdp::Crypto;

/// Meta's own key in every call.
const CRYPTO: &str = "1 AES_CM_128_HMAC_SHA1_80 inline:xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";
/// Whose audio Meta's is.
pub(crate) const SSRC: u32 = 215_879_358;

/// What Meta seals its audio with.
pub(crate) fn crypto() -> Crypto {
    Crypto::parse(CRYPTO).expect("a documented line")
}

/// The value of the first header of this name.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim())
        })
}

/// Status, number and method of CSeq of a response.
pub(crate) fn response(message: &str) -> Option<(u16, u32, &str)> {
    let status = message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    let (number, method) = header(message, "CSeq")?.split_once(' ')?;
    Some((status, number.parse().ok()?, method))
}

/// Which call a message of Meta's side belongs to.
pub(crate) fn call_of(message: &str) -> Option<u32> {
    let id = header(message, "Call-ID")?.strip_prefix("outgoing:wacid.bench-")?;
    id.parse().ok()
}

/// Which call a message of the PBX' side belongs to: its caller has a number of his own.
pub(crate) fn caller_of(message: &str) -> Option<u32> {
    let from = header(message, "From")?;
    let user = from.split_once("sip:+1219")?.1.get(..7)?;
    user.parse().ok()
}

/// The headers every request of Meta's has.
fn request(call: u32, method: &str, uri: &str, cseq: u32, to: &str) -> String {
    let mut text = String::with_capacity(2500);
    let _ = write!(
        text,
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/TLS 31.13.66.215:5061;rport;branch=z9hG4bKPj1e6c665db16b3ecacf32cadb{call:08x}{cseq}{first};alias\r\n\
         Record-Route: <sip:wa.meta.vc;transport=tls;lr>\r\n\
         Record-Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>\r\n\
         Via: SIP/2.0/TLS [2803:6080:f948:9597:7253:922a:400:0]:5061;branch=z9hG4bKPj1e6c665db16b3ecacf32cadb{call:08x}{cseq}{first}\r\n\
         Via: SIP/2.0/TLS [2803:6080:f8bc:9272:e488:9927:400:0]:58279;rport=58279;received=2803:6080:f8bc:9272:e488:9927:400:0;branch=z9hG4bKPjr33j97A1mx5J8HWHEy2z{call:08x}{cseq}{first};alias\r\n\
         Max-Forwards: 69\r\n\
         From: \"1219{call:07}\" <sip:+1219{call:07}@wa.meta.vc>;tag=ece2da15-39e7-4983-ac65-{call:012x}\r\n\
         To: {to}\r\n\
         Contact: <sip:+1219{call:07}@wa.meta.vc;transport=tls;ob>;isfocus\r\n\
         Call-ID: outgoing:wacid.bench-{call}\r\n\
         CSeq: {cseq} {method}\r\n\
         User-Agent: Facebook SipGateway\r\n",
        first = method.chars().next().unwrap_or('X'),
    );
    text
}

/// The business' URI as Meta writes it.
fn business(number: &str) -> String {
    format!("sip:{number}@{HOST};transport=tls")
}

/// Meta's INVITE; with the answer to a challenge the second time.
pub(crate) fn invite(
    call: u32,
    number: &str,
    challenge: Option<&str>,
    media: SocketAddr,
) -> String {
    let cseq = if challenge.is_some() { 2 } else { 1 };
    let to = format!("<sip:{number}@{HOST}>");
    let mut text = request(call, "INVITE", &business(number), cseq, &to);
    text.push_str(
        "X-FB-External-Domain: wa.meta.vc\r\nAllow: INVITE, ACK, BYE, CANCEL, NOTIFY, OPTIONS\r\n",
    );
    let _ = write!(
        text,
        "x-wa-meta-wacid: wacid.bench-{call}\r\nx-wa-meta-phone-number-id: 106540352242922\r\n"
    );
    text.push_str("x-wa-meta-country-code: US\r\nx-wa-meta-user-id: US.13491208655302741918\r\n");
    text.push_str("x-wa-meta-cta-payload: order=ON-12853&src=button\r\n");
    if let Some(challenge) = challenge {
        let _ = write!(
            text,
            "Proxy-Authorization: {}\r\n",
            credentials(number, challenge)
        );
    }
    let body = format!(
        "v=0\r\no=- 1750716867913 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\n\
         a=msid-semantic: WMS 4e37b099-8aef-45d0-be4f-1cde2ca5a37d\r\nm=audio {port} RTP/SAVP 111 8 0 126\r\n\
         c=IN IP4 {ip}\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=mid:audio\r\na=sendrecv\r\n\
         a=msid:4e37b099-8aef-45d0-be4f-1cde2ca5a37d WhatsAppTrack1\r\na=rtcp-mux\r\n\
         a=crypto:{CRYPTO}\r\n\
         a=rtpmap:111 opus/48000/2\r\n\
         a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:126 telephone-event/8000\r\na=maxptime:20\r\na=ptime:20\r\na=ssrc:{SSRC} cname:WhatsAppAudioStream1\r\n",
        port = media.port(),
        ip = media.ip(),
    );
    let _ = write!(
        text,
        "Content-Type: application/sdp\r\nContent-Length:   {}\r\n\r\n{body}",
        body.len()
    );
    text
}

/// A request of Meta's without a body.
pub(crate) fn plain(call: u32, method: &str, uri: &str, cseq: u32, to: &str) -> String {
    request(call, method, uri, cseq, to) + "Content-Length:  0\r\n\r\n"
}

/// The ACK that ends a refused INVITE.
pub(crate) fn ack_refusal(call: u32, number: &str, cseq: u32, to: &str) -> String {
    // Same branch as the INVITE.
    plain(call, "ACK", &business(number), cseq, to)
        .replace(&format!("{call:08x}{cseq}A"), &format!("{call:08x}{cseq}I"))
}

/// The URI of a response's Contact.
pub(crate) fn contact(message: &str) -> Option<&str> {
    header(message, "Contact")?
        .split_once('<')?
        .1
        .split_once('>')
        .map(|(uri, _)| uri)
}

fn credentials(number: &str, challenge: &str) -> String {
    let part = |name: &str| {
        let from = challenge
            .find(&format!("{name}=\""))
            .map_or(0, |at| at + name.len() + 2);
        challenge[from..].split('"').next().unwrap_or_default()
    };
    let username = number.trim_start_matches('+');
    let (realm, nonce, uri) = (part("realm"), part("nonce"), format!("sip:{number}@{HOST}"));
    let md5 = |text: String| -> String {
        Md5::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let ha1 = md5(format!("{username}:{realm}:{PASSWORD}"));
    let ha2 = md5(format!("INVITE:{uri}"));
    let response = md5(format!(
        "{ha1}:{nonce}:00000001:TY2SszvYCKitUCBlVLpGiPKMQfmBbj:auth:{ha2}"
    ));
    format!(
        "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm=MD5, cnonce=\"TY2SszvYCKitUCBlVLpGiPKMQfmBbj\", qop=auth, nc=00000001"
    )
}

/// The PBX' answer to a request of wa-sbc.
pub(crate) fn answer(
    request: &str,
    status: &str,
    own: SocketAddr,
    media: Option<SocketAddr>,
) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty())
    {
        let copied = ["Via:", "From:", "Call-ID:", "CSeq:"]
            .iter()
            .any(|name| line.starts_with(name));
        if copied {
            text.push_str(line);
            text.push_str("\r\n");
        } else if line.starts_with("To:") {
            let tag = if line.contains(";tag=") {
                ""
            } else {
                ";tag=pbx"
            };
            let _ = write!(text, "{line}{tag}\r\n");
        }
    }
    let _ = write!(text, "Contact: <sip:agent@{own}>\r\n");
    let body = media.map_or_else(String::new, |media| {
        format!(
            "v=0\r\no=pbx 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n",
            ip = media.ip(),
            port = media.port()
        )
    });
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// Where the audio of a description is awaited.
pub(crate) fn audio_of(message: &str) -> Option<SocketAddr> {
    let (_, body) = message.split_once("\r\n\r\n")?;
    let line = |start: &str| body.lines().find_map(|line| line.strip_prefix(start));
    let ip = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}
