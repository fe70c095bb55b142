//! The shortest whole calls through [`b2bua::Core`], message by message, from published samples.

mod bench;
mod destinations;
mod memory;
mod names;

use std::time::Duration;

use b2bua::MediaCommand;
use sip::Transport;

use bench::{
    Bench, INVITE, PBX_ANSWER, carrier_answer, carrier_flow, carrier_request, flow, header,
    pbx_flow, response, user_called,
};

#[test]
fn a_user_calls_the_desk_phone_answers_the_user_hangs_up() {
    let mut bench = Bench::new();
    let (invite, ok) = user_called(&mut bench);
    assert_eq!(
        header(&invite, "X-WA-Call-Id"),
        header(INVITE, "x-wa-meta-wacid")
    );
    assert_eq!(header(&invite, "x-wa-meta-country-code"), "US");
    let routes = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|l| l.starts_with("Record-Route"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(routes(&ok), routes(INVITE));
    assert!(ok.contains("m=audio 20000 RTP/SAVP 111 126"));
    assert!(ok.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"));
    let [
        MediaCommand::Open { .. },
        MediaCommand::Start { plans },
        MediaCommand::OpenGate(_),
    ] = &bench.media[..]
    else {
        panic!("{:?}", bench.media);
    };
    // For the user's app the first packet is the answer, so none leaves before the 200 has.
    assert_eq!(plans[0].gate, sdp::plan::Gate::Shut);

    bench.receive(carrier_flow(), &carrier_request("ACK", &ok, 9989));
    bench.pass(Duration::from_secs(56));
    assert!(
        bench.sent.is_empty(),
        "nothing is repeated after the ACK: {:?}",
        bench.sent
    );
    // The BYE comes on another connection.
    bench.receive(
        flow(6, Transport::Tls, "31.13.66.99:1234"),
        &carrier_request("BYE", &ok, 9991),
    );
    bench.take("SIP/2.0 200");
    let (_, bye) = bench.take("BYE sip:agent@10.0.0.20:5060");
    bench.receive(
        pbx_flow(),
        &response(&bye, "200 OK", "p", "", "").replacen(";tag=p", "", 1),
    );
    let record = bench.records.pop().expect("a record");
    assert_eq!(record.cause.label(), "normal");
    assert_eq!(record.duration, Duration::from_secs(56));
    assert_eq!(record.carrier_duration, Some(56));
    assert_eq!(
        record.reference.as_deref(),
        Some(header(INVITE, "x-wa-meta-wacid"))
    );
    assert_eq!(bench.core.calls(), 0);
    bench.pass(Duration::from_secs(64));
    assert!(bench.core.is_idle());
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call_after_32_seconds() {
    let mut bench = Bench::new();
    user_called(&mut bench);
    bench.pass(Duration::from_secs(31));
    let repeats = bench
        .sent
        .iter()
        .filter(|(_, text)| text.starts_with("SIP/2.0 200"))
        .count();
    assert_eq!(repeats, 9, "at 0.5, 1.5, 3.5, 7.5 and then every 4 s");
    assert!(bench.records.is_empty());
    bench.pass(Duration::from_secs(2));
    let (_, bye) = bench.take("BYE sip:+12195550714@wa.meta.vc;transport=tls;ob SIP/2.0");
    let route: Vec<_> = bye
        .lines()
        .filter(|line| line.starts_with("Route:"))
        .collect();
    assert_eq!(
        route,
        [
            "Route: <sip:wa.meta.vc;transport=tls;lr>",
            "Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>",
        ]
    );
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.records.pop().unwrap().cause.label(), "no_ack");
    assert!(bench.core.is_idle());
}

#[test]
fn nobody_answers_for_25_seconds() {
    let mut bench = Bench::new();
    bench.receive(carrier_flow(), INVITE);
    let (_, invite) = bench.take("INVITE sip:+12145551869@10.0.0.20");
    bench.receive(pbx_flow(), &response(&invite, "180 Ringing", "p", "", ""));
    bench.pass(Duration::from_millis(24_900));
    assert!(
        !bench
            .sent
            .iter()
            .any(|(_, text)| text.starts_with("CANCEL"))
    );
    bench.pass(Duration::from_millis(200));
    bench.take("CANCEL sip:+12145551869@10.0.0.20");
    bench.take("SIP/2.0 480");
    bench.receive(
        pbx_flow(),
        &response(&invite, "487 Request Terminated", "p", "", ""),
    );
    assert_eq!(bench.records.pop().unwrap().cause.label(), "no_answer");
}

#[test]
fn a_pbx_that_leaves_the_offer_to_us_is_heard_from_its_ack_on() {
    let mut bench = Bench::new();
    bench.receive(
        pbx_flow(),
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         From: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\nContent-Length: 0\r\n\r\n",
    );
    let (first, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc");
    let contact = "Contact: <sip:+12195550714@wa.meta.vc;transport=tls;ob>;isfocus\r\n";
    let meta = flow(first.0, Transport::Tls, "157.240.19.130:5061");
    bench.receive(
        meta,
        &response(&invite, "200 OK", "m", contact, &carrier_answer()),
    );
    let (_, ok) = bench.take("SIP/2.0 200");
    assert!(ok.contains("RTP/AVP 8 101"), "our offer is in the 200");
    assert!(
        !bench
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::Start { .. }))
    );
    bench.receive(
        pbx_flow(),
        &format!(
            "ACK sip:+12195550714@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKpa\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: pbx-1\r\nCSeq: 1 ACK\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{PBX_ANSWER}",
            header(&ok, "From"),
            header(&ok, "To"),
            PBX_ANSWER.len(),
        ),
    );
    assert!(
        bench
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::Start { .. }))
    );
}

#[test]
fn the_business_calls_a_user_through_a_challenge() {
    let mut bench = Bench::new();
    let offer = PBX_ANSWER;
    let from_pbx = format!(
        "INVITE sip:+12195550714@10.0.0.5 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+12145551869@10.0.0.20>;tag=pf\r\nTo: <sip:+12195550714@10.0.0.5>\r\n\
         Call-ID: pbx-1\r\nCSeq: 1 INVITE\r\nContact: <sip:agent@10.0.0.20:5060>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        offer.len()
    );
    bench.receive(pbx_flow(), &from_pbx);
    let (first, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc;transport=tls SIP/2.0");
    assert!(header(&invite, "From").starts_with("<sip:+12145551869@meta-voip.example.com>;tag="));
    assert_eq!(header(&invite, "To"), "<sip:+12195550714@wa.meta.vc>");
    let meta = |id| flow(id, Transport::Tls, "157.240.19.130:5061");
    let challenges = "Proxy-Authenticate: Digest realm=\"wa.meta.vc\",nonce=\"a\",opaque=\"b\",algorithm=SHA-256,qop=\"auth\"\r\n\
        Proxy-Authenticate: Digest realm=\"wa.meta.vc\",nonce=\"c\",opaque=\"d\",algorithm=MD5,qop=\"auth\"\r\n";
    let challenge = response(
        &invite,
        "407 Proxy Authentication Required",
        "t",
        challenges,
        "",
    );
    bench.receive(meta(first.0), &challenge);
    bench.take("ACK sip:+12195550714@wa.meta.vc;transport=tls");
    let (again, invite) = bench.take("INVITE sip:+12195550714@wa.meta.vc;transport=tls");
    assert_eq!(again, first, "the retry stays on the connection");
    let credentials = header(&invite, "Proxy-Authorization");
    assert!(credentials.contains("algorithm=SHA-256") && credentials.contains("nonce=\"a\""));
    assert!(credentials.contains("username=\"12145551869\""));
    assert!(credentials.contains("uri=\"sip:+12195550714@wa.meta.vc;transport=tls\""));
    bench.receive(
        meta(first.0),
        &response(&invite, "180 Ringing", "m", "", ""),
    );
    bench.take("SIP/2.0 180");
    let extra = "Record-Route: <sip:onevc-sip-proxy.fbinfra.net:8191;transport=tls;lr>\r\n\
        Record-Route: <sip:wa.meta.vc;transport=tls;lr>\r\n\
        Contact: <sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b>;isfocus\r\n";
    bench.receive(
        meta(first.0),
        &response(&invite, "200 OK", "m", extra, &carrier_answer()),
    );
    let (_, ack) = bench
        .take("ACK sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b SIP/2.0");
    assert!(ack.find("Route: <sip:wa.meta.vc").unwrap() < ack.find("Route: <sip:onevc").unwrap());
    let (_, ok) = bench.take("SIP/2.0 200");
    assert!(ok.contains("RTP/AVP 8 101"));
    let in_dialog = |method: &str, cseq| {
        format!(
            "{method} sip:+12195550714@10.0.0.5:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5060;branch=z9hG4bKp{method}\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: pbx-1\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            header(&ok, "From"),
            header(&ok, "To"),
        )
    };
    bench.receive(pbx_flow(), &in_dialog("ACK", 1));
    bench.pass(Duration::from_secs(13));
    bench.receive(pbx_flow(), &in_dialog("BYE", 2));
    bench.take("SIP/2.0 200");
    let (_, bye) =
        bench.take("BYE sip:+12195550714@wa.meta.vc;transport=tls;ob;X-FB-Sip-Smc-Tier=a.b");
    assert_eq!(
        header(&bye, "Reason"),
        "Q.850;cause=16;text=\"NORMAL_CLEARING\""
    );
    bench.receive(
        meta(first.0),
        &response(&bye, "200 OK", "m", "", "").replacen(";tag=m", "", 1),
    );
    let record = bench.records.pop().expect("a record");
    assert_eq!((record.cause.label(), record.pulses), ("normal", Some(3)));
}
