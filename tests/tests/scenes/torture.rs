//! The torture messages of RFC 4475 section 3, told by the neighbouring PBX over UDP: what the parser says of each, and what
//! is answered. Each message has what its section describes; none of them rings a telephone.

use std::net::SocketAddr;

use bytes::Bytes;
use sim::scene::*;
use sim::world::Party::{Meta, Sbc};
use sip::Transport;

/// Somebody at the PBX' address: heard, not a stranger.
fn neighbour() -> SocketAddr {
    "10.0.0.20:5062".parse().expect("an address")
}

/// A request with the headers every one has, CSeq 42 of `method`, and then `lines`; what stands in `start` and in the usual
/// headers can be replaced by the caller.
fn told(start: &str, method: &str, lines: &str, body: &str) -> String {
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.20:5062;branch=z9hG4bKt\r\nMax-Forwards: 70\r\n\
         From: \"T\" <sip:t@10.0.0.20>;tag=torture\r\nTo: <sip:u@10.0.0.5>\r\nCall-ID: torture\r\n\
         CSeq: 42 {method}\r\nContact: <sip:t@10.0.0.20:5062>\r\n{lines}\r\n{body}"
    )
}

fn options(lines: &str) -> String {
    told("OPTIONS sip:u@10.0.0.5 SIP/2.0", "OPTIONS", lines, "")
}

/// Tells the core as the shell does: what cannot be read is answered from its own bytes. The status lines that came back.
fn answers(text: &str) -> Vec<String> {
    let mut world = silent_world();
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let answers = match sip::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Err(malformed) => {
            let reply = malformed
                .reply()
                .map(|reply| first_line(&String::from_utf8_lossy(&reply)));
            reply.into_iter().collect()
        }
        Ok(_) => {
            world.stranger_says(Transport::Udp, neighbour(), text);
            world.pass(secs(1));
            let finals = world.told_strangers.iter().map(|text| first_line(text));
            let mut finals: Vec<String> = finals
                .filter(|line| !line.starts_with("SIP/2.0 1"))
                .collect();
            finals.dedup();
            finals
        }
    };
    let story = world.story(secs(200));
    assert!(
        story.messages(Sbc, Meta, "").is_empty(),
        "nothing of it reaches Meta:\n{text}"
    );
    answers
}

/// `""`: nothing is answered.
fn each_is_answered(table: &[(&str, String, &str)]) {
    for (section, text, expected) in table {
        let told = answers(text);
        let right = match *expected {
            "" => told.is_empty(),
            status => told.len() == 1 && told[0].starts_with(&format!("SIP/2.0 {status}")),
        };
        assert!(
            right,
            "{section}: expected {expected:?}, got {told:?} for\n{text}"
        );
    }
}

#[test]
fn valid_messages_of_strange_looks_are_understood() {
    let star = "RE%47IST%45R sip:10.0.0.5 SIP/2.0";
    let odd = "!interesting-Method0123456789_*+`.%indeed'~";
    let long = "x".repeat(3000);
    each_is_answered(&[
        (
            "3.1.1.1 a short tortuous INVITE (wsinv)",
            told("INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0", "INVITE", "", "")
                .replace("To: <", "TO :\r\n <")
                .replace("Max-Forwards: 70", "MaX-fOrWaRdS: 0068")
                .replace("CSeq: 42 INVITE", "cseq: 0009\r\n  INVITE")
                .replace("Via: SIP/2.0/UDP", "v:  SIP  / 2.0  / UDP  ")
                .replace("Contact:", "s :\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\nm:"),
            "404",
        ),
        (
            "3.1.1.2 a wide range of valid characters (intmeth)",
            told(&format!("{odd} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1@10.0.0.5 SIP/2.0"), odd, "", ""),
            "405",
        ),
        ("3.1.1.3 valid use of % escaping (esc01)", told("INVITE sip:sips%3Auser%40example.com@10.0.0.5 SIP/2.0", "INVITE", "", ""), "404"),
        ("3.1.1.4 escaped nulls in URIs (escnull)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "m: <sip:null-%00-null@h>\r\n", ""), "403"),
        ("3.1.1.5 a % that is no escape (esc02)", told(star, "RE%47IST%45R", "", ""), "405"),
        ("3.1.1.6 no blank before < (lwsdisp)", options("").replace("\"T\" <", "caller<"), "200"),
        ("3.1.1.7 long values (longreq)", told("INVITE sip:u@10.0.0.5 SIP/2.0", "INVITE", &format!("X-Long: {long}\r\nm: <sip:{long}@h;p={long}>\r\n"), ""), "404"),
        ("3.1.1.8 extra octets behind the body (dblreq)", options("l: 0\r\n") + "INVITE sip:joe@10.0.0.5 SIP/2.0\r\n", "200"),
        ("3.1.1.9 semicolons in the user part (semiuri)", told("OPTIONS sip:user;par=u%40example.net@10.0.0.5 SIP/2.0", "OPTIONS", "", ""), "200"),
        ("3.1.1.10 varied and unknown transports (transports)", options("Via: SIP/2.0/SCTP h;branch=z9hG4bK2\r\nVia: SIP/2.0/UNKNOWN h;branch=z9hG4bK3\r\n"), "200"),
        ("3.1.1.11 a multipart MESSAGE (mpart01)", told("MESSAGE sip:u@10.0.0.5 SIP/2.0", "MESSAGE", "Content-Type: multipart/mixed;boundary=7a9c\r\nl: 12\r\n", "--7a9c\r\n\r\nhi"), "405"),
        ("3.1.1.12 an unusual reason phrase (unreason)", "SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\ni: c\r\nCSeq: 35 INVITE\r\n\r\n".to_owned(), ""),
        ("3.1.1.13 an empty reason phrase (noreason)", "SIP/2.0 100 \r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\ni: c\r\nCSeq: 35 INVITE\r\n\r\n".to_owned(), ""),
    ]);
}

#[test]
fn broken_messages_are_answered_400_or_not_at_all() {
    let response = |status: &str, cseq: &str| {
        format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\ni: c\r\nCSeq: {cseq}\r\n\r\n"
        )
    };
    let request_line = |line: &str| told(line, "OPTIONS", "", "");
    each_is_answered(&[
        (
            "3.1.2.1 extraneous separators (badinv01), read all the same",
            options("").replace(
                "Contact: <sip:t@10.0.0.20:5062>",
                "Contact: \"Joe\" <sip:joe@example.org>;;;;",
            ),
            "200",
        ),
        (
            "3.1.2.2 a length larger than the message (clerr)",
            options("l: 9999\r\n") + "short",
            "400",
        ),
        (
            "3.1.2.3 a negative length (ncl)",
            options("l: -999\r\n"),
            "400",
        ),
        (
            "3.1.2.4 numbers out of range in a request (scalar02)",
            options("").replace("CSeq: 42", "CSeq: 36893488147419103232"),
            "400",
        ),
        (
            "3.1.2.5 numbers out of range in a response (scalarlg)",
            response("503 Service Unavailable", "9292394834772304023312 OPTIONS"),
            "",
        ),
        (
            "3.1.2.6 an unclosed quote (quotbal)",
            options("").replace("\"T\" <", "\"T <"),
            "400",
        ),
        (
            "3.1.2.7 angle brackets around the Request-URI (ltgtruri)",
            request_line("OPTIONS <sip:u@10.0.0.5> SIP/2.0"),
            "400",
        ),
        (
            "3.1.2.8 blanks in the Request-URI (lwsruri)",
            request_line("OPTIONS sip:u@10.0.0.5; lr SIP/2.0"),
            "400",
        ),
        (
            "3.1.2.9 several blanks in the start line (lwsstart)",
            request_line("OPTIONS  sip:u@10.0.0.5  SIP/2.0"),
            "400",
        ),
        (
            "3.1.2.10 blanks at the end of the start line (trws)",
            request_line("OPTIONS sip:u@10.0.0.5 SIP/2.0  "),
            "400",
        ),
        (
            "3.1.2.11 escaped headers in the Request-URI (escruri), not applied",
            request_line("OPTIONS sip:u@10.0.0.5?Route=%3Csip:example.com%3E SIP/2.0"),
            "200",
        ),
        (
            "3.1.2.12 an invalid time zone in Date (baddate), of no matter here",
            options("Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"),
            "200",
        ),
        (
            "3.1.2.13 a URI with headers and no brackets (regbadct)",
            told(
                "REGISTER sip:10.0.0.5 SIP/2.0",
                "REGISTER",
                "m: sip:user@example.com?Route=%3Csip:sip.example.com%3E\r\n",
                "",
            ),
            "403",
        ),
        (
            "3.1.2.14 a blank inside an address (badaspec)",
            options("").replace(
                "<sip:u@10.0.0.5>",
                "\"Watson, Thomas\" < sip:t.watson@example.org >",
            ),
            "400",
        ),
        (
            "3.1.2.15 no token and no quotes as a display name (baddn)",
            options("").replace("\"T\" <", "Bell, Alexander <"),
            "200",
        ),
        (
            "3.1.2.16 an unknown version (badvers)",
            request_line("OPTIONS sip:u@10.0.0.5 SIP/7.0"),
            "505",
        ),
        (
            "3.1.2.17 the method of CSeq is another (mismatch01)",
            told("OPTIONS sip:u@10.0.0.5 SIP/2.0", "INVITE", "", ""),
            "400",
        ),
        (
            "3.1.2.18 the same with an unknown method (mismatch02)",
            told("NEWMETHOD sip:u@10.0.0.5 SIP/2.0", "INVITE", "", ""),
            "400",
        ),
        (
            "3.1.2.19 an overlarge status code (bigcode)",
            response("4294967301 better not break the receiver", "1 INVITE"),
            "",
        ),
    ]);
}

#[test]
fn transactions_and_applications_are_asked_strange_things() {
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let invite = |lines: &str, body: &str| {
        told(
            "INVITE sip:+12145550100@10.0.0.5 SIP/2.0",
            "INVITE",
            lines,
            body,
        )
    };
    each_is_answered(&[
        ("3.2.1 no transaction identifier (badbranch)", options("").replace("branch=z9hG4bKt", "branch=z9hG4bK"), "200"),
        ("3.3.1 missing header fields (insuf)", "INVITE sip:u@10.0.0.5 SIP/2.0\r\nCSeq: 193942 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKk\r\nl: 0\r\n\r\n".to_owned(), ""),
        ("3.3.2 an unknown scheme (unkscm)", told("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", "OPTIONS", "", ""), "416"),
        ("3.3.3 a known scheme that is not SIP (novelsc)", told("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", "OPTIONS", "", ""), "416"),
        ("3.3.4 unknown schemes in other headers (unksm2)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "m: <name:John_Smith>\r\n", "").replace("<sip:u@10.0.0.5>", "isbn:2983792873"), "403"),
        ("3.3.5 an unknown extension required (bext01)", options("Require: nothingSupportsThis\r\nProxy-Require: noProxiesSupportThis\r\n"), "420"),
        ("3.3.6 an unknown Content-Type (invut)", invite("Content-Type: application/unknownformat\r\nl: 4\r\n", "<x/>"), "415"),
        ("3.3.7 an unknown authorization scheme (regaut01)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "Authorization: NoOneKnowsThisScheme opaque-data=here\r\n", ""), "403"),
        ("3.3.8 several values where one is meant (multi01)", options("CSeq: 59 OPTIONS\r\nCall-ID: another\r\n"), "400"),
        ("3.3.9 several Content-Lengths (mcl01)", options("l: 13\r\nContent-Length: 5\r\n") + "There's no way", "400"),
        ("3.3.10 a 200 with broadcast in Via (bcast)", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2\r\nf: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\ni: c\r\nCSeq: 1 INVITE\r\n\r\n".to_owned(), ""),
        ("3.3.11 Max-Forwards of zero (zeromf), asked ourselves", options("").replace("Max-Forwards: 70", "Max-Forwards: 0"), "200"),
        ("3.3.12 a REGISTER with a parameter in Contact (cparam01)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "m: sip:+19725552222@gw1.example.net;unknownparam\r\n", ""), "403"),
        ("3.3.13 the same inside the brackets (cparam02)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "m: <sip:+19725552222@gw1.example.net;unknownparam>\r\n", ""), "403"),
        ("3.3.14 an escaped header in a Contact (regescrt)", told("REGISTER sip:10.0.0.5 SIP/2.0", "REGISTER", "m: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\r\n", ""), "403"),
        ("3.3.15 an Accept that excludes SDP (sdp01)", invite("Accept: text/nobodyKnowsThis\r\nContent-Type: application/sdp\r\n", sdp), "406"),
    ]);
}

#[test]
fn s3_4_1_a_telephone_that_only_knows_rfc_2543_may_call() {
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let text = told(
        &format!("INVITE sip:{USER}@10.0.0.5 SIP/2.0"),
        "INVITE",
        "Content-Type: application/sdp\r\n",
        sdp,
    );
    // No branch, no tag, no Content-Length.
    let text = text
        .replace(";branch=z9hG4bKt", "")
        .replace(";tag=torture", "");
    let mut world = silent_world();
    world.stranger_says(Transport::Udp, neighbour(), &text);
    world.pass(secs(2));
    assert!(!world.messages(Sbc, Meta, "INVITE").is_empty());
    let told = &world.told_strangers;
    let is_going_well =
        |text: &String| text.starts_with("SIP/2.0 1") || text.starts_with("SIP/2.0 2");
    assert!(
        !told.is_empty() && told.iter().all(is_going_well),
        "{told:?}"
    );
}
