//! Our registrations with PBXs.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use wa_sbc::doctor::{Verdict, examine};

use super::lab::*;

/// A PBX that takes the registration of whoever knows this password, and answers everybody else 401.
fn registrar(password: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = judged(&buffer[..length], password) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// The same over TLS.
fn secure_registrar(config: Arc<ServerConfig>, password: &'static str) -> SocketAddr {
    use std::io::{Read, Write};
    serve(move |stream| {
        let connection = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            // A PBX is free to answer in pieces.
            for piece in judged(&buffer[..length], password)
                .unwrap_or_default()
                .chunks(100)
            {
                let _ = stream.write_all(piece);
            }
        }
    })
}

fn judged(request: &[u8], password: &str) -> Option<Vec<u8>> {
    let parsed = sip::parse(bytes::Bytes::copy_from_slice(request));
    let Ok(sip::Message::Request(request)) = parsed else {
        return None;
    };
    let given = sip::Credentials::all(&request.headers, &sip::Name::Authorization);
    let right = given
        .first()
        .is_some_and(|given| given.matches(&request.method, password, &[]));
    let status = match request.method {
        sip::Method::Register if !right => 401,
        _ => 200,
    };
    let mut response = sip::Response::to(&request, status, sip::reason_phrase(status));
    if status == 401 {
        let challenge = "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
        response.headers.push(sip::Name::WwwAuthenticate, challenge);
    }
    Some(response.to_bytes().to_vec())
}

#[test]
fn a_registration_the_pbx_would_refuse_is_found_before_calls_are_lost() {
    let lab = Lab::new();
    let register = "\n[trunk.register]\nusername = \"1200\"\npassword = { env = \"PASSWORD\" }\n";
    let examined = |password| {
        examine(
            &lab.patient(meta(lab.server("meta")), registrar(password), |text| {
                text + register
            }),
        )
    };
    let findings = examined("a-password-of-the-lab");
    let fine = findings
        .iter()
        .find(|finding| finding.check == "registrations");
    let fine = fine.expect("looked at");
    assert_eq!(fine.verdict, Verdict::Pass, "{fine}");
    assert!(
        fine.found
            .contains("extension 1200 may register with 127.0.0.1"),
        "{fine}"
    );
    let findings = examined("another");
    fails(&findings, "registrations", "refuses the password");
    assert!(
        findings
            .iter()
            .all(|finding| !finding.to_string().contains("a-password-of"))
    );
}

#[test]
fn a_registration_over_tls_is_tried_as_calls_would_have_it() {
    let lab = Lab::new();
    lab.certificate("pbx", "127.0.0.1", 4_000);
    let pbx = secure_registrar(lab.server("pbx"), "a-password-of-the-lab");
    let ca = lab.path("ca.pem");
    let examined = |register: &str, authority: bool| {
        let mut patient = lab.patient(meta(lab.server("meta")), pbx, |text| {
            let trust = match authority {
                true => format!("extra_ca = \"{}\"\n", ca.display()),
                false => String::new(),
            };
            text.replace("transport=udp", "transport=tls") + &trust + register
        });
        // Meta's authority is told otherwise: here it is that of the trunk that counts.
        patient.settings.authorities.insert(META.into(), ca.clone());
        patient.authority = None;
        let findings = examine(&patient);
        let of = |check: &'static str| {
            let mut all = findings
                .iter()
                .filter(move |finding| finding.check == check);
            all.next()
                .unwrap_or_else(|| panic!("{check}: {findings:#?}"))
                .clone()
        };
        (of("trunks"), of("registrations"))
    };
    let register = |user: &str, password: &str| {
        format!("[trunk.register]\nusername = \"{user}\"\npassword = {{ {password} }}\n")
    };
    let right = register("1200", "env = \"PASSWORD\"");
    let (trunk, registration) = examined(&right, true);
    assert_eq!(trunk.verdict, Verdict::Pass, "{trunk}");
    assert!(trunk.found.contains("answers OPTIONS with 200"), "{trunk}");
    assert_eq!(registration.verdict, Verdict::Pass, "{registration}");

    let wrong = lab.path("wrong");
    std::fs::write(&wrong, "another").expect("writable");
    let (_, refused) = examined(
        &register("1200", &format!("file = \"{}\"", wrong.display())),
        true,
    );
    assert!(refused.found.contains("refuses the password"), "{refused}");

    // Without its authority no call would get through, and no registration.
    let (trunk, registration) = examined(&right, false);
    assert!(trunk.found.contains("no TLS handshake"), "{trunk}");
    assert!(
        registration.found.contains("does not verify"),
        "{registration}"
    );
}
