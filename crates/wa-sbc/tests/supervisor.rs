//! What systemd hears of the program: on a socket of the test, in place of systemd.

mod support;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Authority, Scratch};

const HOST: &str = "sbc.example.com";

/// Ends the program whatever becomes of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configuration(scratch: &Scratch, udp: &str) -> String {
    let path = |name: &str| scratch.path(name).display().to_string();
    format!(
        r#"[sip]
host = "{HOST}"
drain = 1
tls = {{ listen = "127.0.0.1:0", certificate = "{}", key = "{}" }}
udp = {{ listen = "{udp}" }}
[media]
public = "127.0.0.1"
private = "127.0.0.1"
ports = "42100-42199"
[[number]]
e164 = "+17125550259"
password = {{ env = "WA_SIP_PASSWORD" }}
trunk = "office"
[[trunk]]
name = "office"
peer = "sip:127.0.0.1:9;transport=udp"
[control]
socket = ""
"#,
        path("cert.pem"),
        path("key.pem"),
    )
}

#[test]
fn the_service_manager_hears_that_ports_are_bound_that_the_core_lives_of_reloads_and_of_the_end() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    authority.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
    let manager = UnixDatagram::bind(scratch.path("notify")).expect("a socket");
    manager
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("it can");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let udp = free.local_addr().expect("bound").to_string();
    drop(free);
    let file = scratch.path("wa-sbc.toml");
    let right = configuration(&scratch, &udp);
    std::fs::write(&file, &right).expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_wa-sbc"))
        .arg("run")
        .env("WA_SBC_CONFIG", &file)
        .env("WA_SIP_PASSWORD", "s3cret")
        .env("NOTIFY_SOCKET", scratch.path("notify"))
        .env("WATCHDOG_USEC", "2000000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut child = Ended(child);
    let next = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("told within 20 s");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // Signs of life may come between any two others.
    let until = |word: &str| {
        std::iter::repeat_with(next)
            .inspect(|said| {
                let known = said.starts_with("WATCHDOG=1") || said.starts_with(word);
                assert!(known, "{said:?} where {word:?} was due");
            })
            .find(|said| said.starts_with(word))
            .expect("an endless iterator")
    };
    let signal = |child: &Ended, name: &str| {
        let pid = child.0.id().to_string();
        Command::new("kill")
            .args([name, &pid])
            .status()
            .expect("kill")
    };

    assert_eq!(until("READY=1"), "READY=1\nSTATUS=1 numbers, 1 trunks");
    assert!(
        UdpSocket::bind(&udp).is_err(),
        "ready, so the port is bound"
    );

    until("WATCHDOG=1");
    let beat = Instant::now();
    until("WATCHDOG=1");
    assert!(
        beat.elapsed() > Duration::from_millis(500),
        "as often as wanted"
    );

    signal(&child, "-HUP");
    until("RELOADING=1");
    assert!(until("READY=1").contains("1 numbers"));

    std::fs::write(&file, right.replace("\"office\"\n[[", "\"nobody\"\n[[")).expect("a file");
    signal(&child, "-HUP");
    until("RELOADING=1");
    let status = until("READY=1");
    assert!(status.contains("not reloaded"), "{status}");

    signal(&child, "-TERM");
    // A second of [sip] drain, and half a minute for goodbyes and records.
    let status = until("STOPPING=1");
    assert!(
        status.contains("\nEXTEND_TIMEOUT_USEC=31000000\n"),
        "{status}"
    );
    assert!(child.0.wait().expect("it ends").success());
}

#[test]
fn a_program_that_cannot_bind_its_ports_never_says_that_it_is_ready() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    authority.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
    let manager = UnixDatagram::bind(scratch.path("notify")).expect("a socket");
    manager.set_nonblocking(true).expect("it can");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let text = configuration(&scratch, &taken.local_addr().expect("bound").to_string());
    std::fs::write(scratch.path("wa-sbc.toml"), text).expect("a file");
    let status = Command::new(env!("CARGO_BIN_EXE_wa-sbc"))
        .arg("run")
        .env("WA_SBC_CONFIG", scratch.path("wa-sbc.toml"))
        .env("WA_SIP_PASSWORD", "s3cret")
        .env("NOTIFY_SOCKET", scratch.path("notify"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it runs");
    assert!(!status.success());
    assert!(manager.recv(&mut [0; 16]).is_err(), "nothing was said");
}

#[test]
fn the_service_manager_hears_that_a_certificate_is_still_to_come() {
    let scratch = Scratch::new();
    let manager = UnixDatagram::bind(scratch.path("notify")).expect("a socket");
    let limit = Some(Duration::from_secs(20));
    manager.set_read_timeout(limit).expect("it can");
    // Nobody listens there, so that the order fails.
    let text = configuration(&scratch, "127.0.0.1:0")
        + "[acme]\ndirectory = \"https://127.0.0.1:9/dir\"\nagree = true\nlisten = \"127.0.0.1:0\"\naccount = \""
        + &scratch.path("account.json").display().to_string()
        + "\"\n";
    std::fs::write(scratch.path("wa-sbc.toml"), text).expect("a file");
    let child = Command::new(env!("CARGO_BIN_EXE_wa-sbc"))
        .arg("run")
        .env("WA_SBC_CONFIG", scratch.path("wa-sbc.toml"))
        .env("WA_SIP_PASSWORD", "s3cret")
        .env("NOTIFY_SOCKET", scratch.path("notify"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let _child = Ended(child);
    let mut buffer = [0; 512];
    let length = manager.recv(&mut buffer).expect("told within 20 s");
    let said = String::from_utf8_lossy(&buffer[..length]);
    assert!(
        said.starts_with("READY=1\n") && said.contains("no certificate yet"),
        "{said}"
    );
}
