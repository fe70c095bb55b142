//! openssl s_client at our TLS port: the very command Meta gives to its partners, and what Meta does not say.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::certificates::Authority;
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{HOST, Sbc, Setup};
use tests::tools::{find, present};

struct Lab {
    authority: Authority,
    sbc: Sbc,
}

fn lab(story: &str) -> Option<Lab> {
    if !present(story, &["openssl"]) {
        return None;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let nobody = SocketAddr::new(place.address(9), 9);
    let sbc = Sbc::start(&place, &authority, &Setup::new(nobody, nobody));
    Some(Lab { authority, sbc })
}

// What s_client says, and whether it ended well.
fn s_client(lab: &Lab, arguments: &[&str]) -> (String, bool) {
    let mut child = Command::new(find("openssl").expect("the test asked for openssl"))
        .args([
            "s_client",
            "-connect",
            &lab.sbc.tls.to_string(),
            "-verify_return_error",
            "-CAfile",
        ])
        .arg(&lab.authority.certificate)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    // An end of input ends s_client once the handshake is over.
    // One that has ended before it reads has said what it had to say, and is judged by that.
    let _ = child.stdin.take().expect("piped").write_all(b"Q\n");
    let output = child.wait_with_output().expect("our own child");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (text, output.status.success())
}

#[test]
fn our_certificate_is_for_the_name_meta_calls() {
    let Some(lab) = lab("openssl-name") else {
        return;
    };
    let (said, well) = s_client(&lab, &["-verify_hostname", HOST, "-servername", HOST]);
    assert!(
        well && said.contains("Verify return code: 0 (ok)"),
        "{said}"
    );
    assert!(
        said.contains(&format!("Verified peername: {HOST}")),
        "{said}"
    );
    let (said, _) = s_client(
        &lab,
        &["-verify_hostname", "other.example.com", "-servername", HOST],
    );
    assert!(
        said.contains("hostname mismatch"),
        "another name must not pass: {said}"
    );
}

#[test]
fn no_client_certificate_is_asked_for() {
    let Some(lab) = lab("openssl-client-certificate") else {
        return;
    };
    let (said, well) = s_client(&lab, &["-servername", HOST]);
    assert!(
        well && said.contains("No client certificate CA names sent"),
        "{said}"
    );
    assert!(
        !said.contains("Requested Signature Algorithms")
            && !said.contains("Acceptable client certificate"),
        "{said}"
    );
}

#[test]
fn tls_1_2_and_1_3_without_sni_and_with_any_alpn() {
    let Some(lab) = lab("openssl-versions") else {
        return;
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let (said, well) = s_client(&lab, &[version, "-noservername", "-verify_hostname", HOST]);
        assert!(
            well && said.contains("Verify return code: 0 (ok)"),
            "{version}: {said}"
        );
    }
    let (said, well) = s_client(&lab, &["-alpn", "sip", "-servername", HOST]);
    assert!(
        well && said.contains("No ALPN negotiated"),
        "a client's ALPN is ignored, not refused: {said}"
    );
    let (said, well) = s_client(&lab, &["-tls1_1", "-servername", HOST]);
    assert!(!well, "TLS 1.1 is refused: {said}");
}

#[test]
fn a_far_side_with_the_wrong_name_never_gets_our_invite() {
    let story = "openssl-server";
    if !present(story, &["openssl"]) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let meta = SocketAddr::new(place.address(21), 5061);
    let pbx = SocketAddr::new(place.address(31), 5060);
    // The right authority, the wrong name.
    let identity = authority.identity(&place, &["wa.meta.example"]);
    let mut server = Running::start(
        &place,
        "s_server",
        Command::new(find("openssl").expect("the test asked for openssl"))
            .args(["s_server", "-accept", &meta.to_string(), "-quiet", "-cert"])
            .arg(&identity.certificate)
            .arg("-key")
            .arg(&identity.key),
    );
    tests::sipp::wait_listening(meta, true);
    let sbc = Sbc::start(&place, &authority, &Setup::new(meta, pbx));

    let desk = std::net::UdpSocket::bind(pbx).expect("the PBX's port");
    desk.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout above zero");
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n",
        pbx.ip()
    );
    let invite = format!(
        "INVITE sip:+12195550714@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKopenssl;rport\r\n\
         From: <sip:{number}@{pbx}>;tag=a\r\nTo: <sip:+12195550714@{sip}>\r\nCall-ID: openssl@{pbx}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:desk@{pbx}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}",
        sip = sbc.sip,
        number = tests::sbc::NUMBER,
        length = body.len(),
    );
    desk.send_to(invite.as_bytes(), sbc.sip).expect("loopback");
    let mut buffer = [0; 4096];
    let answer = loop {
        let (count, _) = desk.recv_from(&mut buffer).expect("an answer to the desk");
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if !text.starts_with("SIP/2.0 1") {
            break text;
        }
    };
    assert!(answer.starts_with("SIP/2.0 503"), "{answer}");
    assert!(
        !server.log().contains("INVITE"),
        "nothing is said to a stranger: {}",
        server.log()
    );
    server.terminate();
}
