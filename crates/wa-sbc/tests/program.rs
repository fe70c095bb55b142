//! The running program on loopback: ports, answers, reload, the end.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Authority, Scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use wa_sbc::{Error, Running, Settings, run};

const HOST: &str = "sbc.example.com";

fn configuration(scratch: &Scratch, more: &str) -> String {
    let path = |name: &str| scratch.path(name).display().to_string();
    format!(
        r#"[sip]
host = "{HOST}"
tls = {{ listen = "127.0.0.1:0", certificate = "{}", key = "{}" }}
udp = {{ listen = "127.0.0.1:0" }}
tcp = {{ listen = "127.0.0.1:0" }}
[media]
public = "127.0.0.1"
private = "127.0.0.1"
ports = "42000-42099"
[[number]]
e164 = "+17125550259"
password = {{ env = "WA_SIP_PASSWORD" }}
trunk = "office"
[[trunk]]
name = "office"
peer = "sip:127.0.0.1:9;transport=udp"
[records]
file = "{}"
{more}"#,
        path("cert.pem"),
        path("key.pem"),
        path("records.jsonl"),
    )
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let authority = Authority::new();
    authority.write(&scratch.path("ca.pem"));
    authority.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
    scratch
}

fn settings(text: &str) -> Settings {
    Settings::read(Path::new("test.toml"), text, |_| Some("s3cret".into()))
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn start(scratch: &Scratch) -> Running {
    run(settings(&configuration(scratch, "")))
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn options(transport: &str, local: std::net::SocketAddr) -> String {
    format!(
        "OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{transport}\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: 1-{transport}@example.com\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

async fn answer<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut buffer = [0; 4096];
    let length = timeout(Duration::from_secs(3), stream.read(&mut buffer))
        .await
        .expect("in time")
        .expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_port_answers_on_the_flow_the_request_came_on() {
    let scratch = scratch();
    let running = start(&scratch).await;
    let bound = running.bound().clone();

    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let local = udp.local_addr().expect("bound");
    udp.send_to(options("UDP", local).as_bytes(), bound.udp.expect("bound"))
        .await
        .expect("sent");
    let mut buffer = [0; 4096];
    let received = timeout(Duration::from_secs(3), udp.recv_from(&mut buffer))
        .await
        .expect("in time");
    let (length, from) = received.expect("an answer");
    assert_eq!(Some(from), bound.udp);
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(text.starts_with("SIP/2.0 200 "), "{text}");

    let mut tcp = TcpStream::connect(bound.tcp.expect("bound"))
        .await
        .expect("a connection");
    let request = options("TCP", tcp.local_addr().expect("bound"));
    tcp.write_all(request.as_bytes()).await.expect("written");
    let text = answer(&mut tcp).await;
    assert!(text.starts_with("SIP/2.0 200 "), "{text}");

    let stream = TcpStream::connect(bound.tls.expect("bound"))
        .await
        .expect("a connection");
    let request = options("TLS", stream.local_addr().expect("bound"));
    let client = wa_sbc::net::tls::client(Some(&scratch.path("ca.pem"))).expect("a client");
    let name = rustls::pki_types::ServerName::try_from(HOST).expect("a name");
    let mut tls = tokio_rustls::TlsConnector::from(client)
        .connect(name, stream)
        .await
        .expect("a handshake");
    tls.write_all(request.as_bytes()).await.expect("written");
    let text = answer(&mut tls).await;
    assert!(text.starts_with("SIP/2.0 200 "), "{text}");

    running.stop(Duration::from_secs(1)).await;
    assert_eq!(
        tls.read(&mut buffer).await.unwrap_or(0),
        0,
        "connections are closed at the end"
    );
    UdpSocket::bind(bound.udp.expect("bound"))
        .await
        .expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sbc_without_calls_ends_at_once() {
    let scratch = scratch();
    let running = start(&scratch).await;
    let start = Instant::now();
    running.stop(Duration::from_secs(30)).await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_served_after_a_reload() {
    let scratch = scratch();
    let mut running = start(&scratch).await;
    let renewed = Authority::new();
    renewed.write(&scratch.path("ca2.pem"));
    renewed.issue(HOST, &scratch.path("cert.pem"), &scratch.path("key.pem"));
    let address = running.bound().tls.expect("bound");
    let handshake = |ca: &'static str| {
        let client = wa_sbc::net::tls::client(Some(&scratch.path(ca))).expect("a client");
        async move {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let name = rustls::pki_types::ServerName::try_from(HOST).expect("a name");
            tokio_rustls::TlsConnector::from(client)
                .connect(name, stream)
                .await
                .is_ok()
        }
    };
    assert!(handshake("ca.pem").await && !handshake("ca2.pem").await);
    running
        .reload(&settings(&configuration(&scratch, "")))
        .await
        .expect("a good certificate");
    assert!(!handshake("ca.pem").await && handshake("ca2.pem").await);

    std::fs::write(scratch.path("cert.pem"), "nonsense").expect("a file");
    let error = running
        .reload(&settings(&configuration(&scratch, "")))
        .await
        .expect_err("no certificate");
    assert!(error.to_string().contains("cert.pem"), "{error}");
    assert!(
        handshake("ca2.pem").await,
        "a bad certificate changes nothing"
    );
    running.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named_with_its_transport() {
    let scratch = scratch();
    let taken = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let text = configuration(&scratch, "").replace(
        "udp = { listen = \"127.0.0.1:0\"",
        &format!("udp = {{ listen = \"{address}\""),
    );
    let error = run(settings(&text)).await.expect_err("the port is taken");
    assert!(
        matches!(
            error,
            Error::Bind {
                transport: "UDP",
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains(&address), "{error}");
}

/// The program itself, with a configuration file of this text.
fn program(scratch: &Scratch, text: &str, arguments: &[&str]) -> Command {
    std::fs::write(scratch.path("wa-sbc.toml"), text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wa-sbc"));
    command
        .args(arguments)
        .env("WA_SBC_CONFIG", scratch.path("wa-sbc.toml"))
        .env("WA_SIP_PASSWORD", "s3cret");
    command
}

#[test]
fn check_says_what_meta_would_complain_about_and_fails() {
    let scratch = scratch();
    let output = program(&scratch, &configuration(&scratch, ""), &["check"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("ok      certificate and key fit together"),
        "{text}"
    );
    assert!(text.contains("PROBLEM the chain does not verify"), "{text}");
    assert!(
        text.contains("Meta would never send an INVITE to sbc.example.com"),
        "{text}"
    );
}

#[test]
fn check_names_a_mistake_by_file_and_line() {
    let scratch = scratch();
    let text = configuration(&scratch, "").replace("trunk = \"office\"", "trunk = \"offfice\"");
    let output = program(&scratch, &text, &["check"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success());
    assert!(
        text.contains("wa-sbc.toml:13: number.trunk: there is no trunk \"offfice\""),
        "{text}"
    );
}

#[test]
fn print_config_shows_every_default_and_no_secret() {
    let scratch = scratch();
    let output = program(&scratch, &configuration(&scratch, ""), &["print-config"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for expected in ["no_answer = 25", "opus_complexity = 5", "WA_SIP_PASSWORD"] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}

/// A child that does not outlive a failed test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_number_file_that_changes_is_read_by_itself_and_a_bad_one_changes_nothing() {
    let scratch = scratch();
    let list = |e164: &str| {
        let text = format!(
            "[[number]]\ne164 = \"{e164}\"\npassword = {{ env = \"WA_SIP_PASSWORD\" }}\ntrunk = \"office\"\n"
        );
        std::fs::write(scratch.path("more.toml"), text).expect("a file");
    };
    list("+4930123456");
    let text = format!(
        "number_files = [\"*more.toml\"]\n{}",
        configuration(&scratch, "[reload]\nwatch = true\nevery = 1\n")
    );
    let child = program(&scratch, &text, &["run"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut child = Ended(child);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.0.stderr.take().expect("piped"),
    ));
    let mut until = |word: &str| {
        lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(word))
            .expect(word)
    };
    until("listening");
    list("4930123456");
    let line = until("not reloaded");
    let place = format!(
        "{}:2: number.e164: `4930…56`",
        scratch.path("more.toml").display()
    );
    assert!(line.contains(&place), "{line}");
    std::fs::remove_file(scratch.path("more.toml")).expect("it was there");
    let line = until("configuration reloaded");
    assert!(line.contains("numbers") && line.contains("=1"), "{line}");
    // A file that is new is found as well.
    list("+4930123457");
    std::fs::rename(scratch.path("more.toml"), scratch.path("evenmore.toml")).expect("renamed");
    let line = until("configuration reloaded");
    assert!(line.contains("=2"), "{line}");
}

#[test]
fn sigterm_ends_the_program_and_sighup_does_not() {
    let scratch = scratch();
    let child = program(
        &scratch,
        &configuration(&scratch, ""),
        &["run", "--log-format", "json"],
    )
    .stderr(Stdio::piped())
    .spawn()
    .expect("it runs");
    let mut child = Ended(child);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.0.stderr.take().expect("piped"),
    ));
    let mut until = |word: &str| {
        lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains(word))
    };
    let listening = until("listening").expect("it says so");
    assert!(listening.starts_with('{'), "{listening}");
    let signal = |name: &str| {
        Command::new("kill")
            .args([name, &child.0.id().to_string()])
            .status()
            .expect("kill")
    };
    signal("-HUP");
    assert!(until("configuration reloaded").is_some());
    signal("-TERM");
    assert!(until("stopped").is_some());
    assert!(child.0.wait().expect("it ends").success());
}
