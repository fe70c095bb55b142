//! Certificates from Pebble, Let's Encrypt's test authority: the first one, after failures too, and the next one in time and
//! under a call.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::certificates::Authority;
use tests::http::Client;
use tests::pebble::Pebble;
use tests::place::{Place, wait_until};
use tests::running::Running;
use tests::sbc::{HOST, PASSWORD, Sbc, Setup, binary};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};
use tests::sipp::wait_listening;
use tests::tools::present;

const LIMIT: Duration = Duration::from_secs(30);
/// Seconds a certificate lasts: renewed when two thirds of them are over.
const LIFE: u32 = 15;

/// The serial number of the certificate served, once OpenSSL has verified chain, dates and name.
fn served(address: SocketAddr, root: &Path) -> Result<String, String> {
    let mut openssl = Command::new("openssl")
        .args([
            "s_client",
            "-verify_return_error",
            "-verify_hostname",
            HOST,
            "-servername",
            HOST,
        ])
        .args(["-connect", &address.to_string(), "-CAfile"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    drop(openssl.stdin.take());
    let output = openssl.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !text.contains("Verify return code: 0 (ok)") {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut reader = Command::new("openssl")
        .args(["x509", "-noout", "-serial"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let input = reader.stdin.take();
    input
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("it reads");
    let output = reader.wait_with_output().expect("it ends");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The usual SBC, with an authority in place of a certificate.
struct Ordering {
    configuration: PathBuf,
    tls: SocketAddr,
    sip: SocketAddr,
    http: Client,
    /// Where the authority asks.
    challenged: SocketAddr,
    key: PathBuf,
    account: PathBuf,
}

impl Ordering {
    /// Nothing runs yet, and none of the files is there.
    fn new(place: &Place, authority: &Authority, directory: &str) -> Ordering {
        let challenged = SocketAddr::new(place.address(1), 5002);
        let setup = Setup::new(meta_address(place), pbx_address(place));
        let usual = Sbc::start(place, authority, &setup);
        let text = std::fs::read_to_string(&usual.configuration).expect("a configuration");
        let (tls, sip) = (usual.tls, usual.sip);
        drop(usual);
        let [certificate, key, account] =
            ["acme/sbc.pem", "acme/sbc.key", "acme/account.json"].map(|name| place.path(name));
        let shown = |path: &Path| path.display().to_string();
        let text = text
            .replace(
                &shown(&place.path(&format!("{HOST}.pem"))),
                &shown(&certificate),
            )
            .replace(&shown(&place.path(&format!("{HOST}.key"))), &shown(&key));
        let http = SocketAddr::new(place.address(1), 9090);
        let configuration = place.write(
            "acme.toml",
            format!(
                "{text}\n[acme]\ndirectory = \"{directory}\"\nagree = true\ncontact = [\"mailto:sip@example.com\"]\n\
                 listen = \"{challenged}\"\naccount = \"{}\"\nca = \"{}\"\n[http]\nlisten = \"{http}\"\n",
                account.display(),
                authority.certificate.display(),
            ),
        );
        let token = String::new();
        Ordering {
            configuration,
            tls,
            sip,
            http: Client {
                address: http,
                token,
            },
            challenged,
            key,
            account,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(words)
            .arg("--config")
            .arg(&self.configuration)
            .env("WA_SBC_TEST_PASSWORD", PASSWORD);
        command
    }

    fn start(&self, place: &Place) -> Running {
        Running::start(place, "wa-sbc-acme", &mut self.command(&["run"]))
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> Option<f64> {
        let text = self.http.get("/metrics").body;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok())
    }
}

/// Lines of the doctor about one check.
fn about<'a>(said: &'a str, check: &str) -> Vec<&'a str> {
    let of = |line: &&str| line.split_whitespace().nth(1) == Some(check);
    said.lines().filter(of).collect()
}

#[test]
fn a_first_order_that_fails_keeps_meta_out_and_nobody_else_and_everybody_says_so() {
    let place = Place::new("acme-refused");
    let authority = Authority::new(&place);
    let nobody = format!("https://{}:14000/dir", place.address(71));
    let ordering = Ordering::new(&place, &authority, &nobody);

    // Before the start, nothing is wrong yet.
    let check = ordering.says(&["check"]);
    assert!(
        check.contains("CAUTION there is no certificate for")
            && check.contains("it is ordered at the start"),
        "{check}"
    );
    assert!(!check.contains("PROBLEM cannot read"), "{check}");
    let doctor = ordering.says(&["doctor", "--patience", "1"]);
    for check in ["acme", "certificate"] {
        let lines = about(&doctor, check);
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("WARN") && line.contains("ordered at the start"))
                || lines
                    .iter()
                    .any(|line| line.contains("orders it at the start")),
            "{doctor}"
        );
        assert!(
            lines.iter().all(|line| !line.starts_with("FAIL")),
            "{doctor}"
        );
    }

    // The order fails; every port is open all the same.
    let mut sbc = ordering.start(&place);
    sbc.wait_for("listening", LIMIT);
    sbc.wait_for("there is no certificate yet: Meta cannot connect", LIMIT);
    sbc.wait_for("the authority gave no certificate", LIMIT);
    wait_listening(ordering.sip, false);
    wait_listening(ordering.tls, true);
    let ready = ordering.http.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.body);
    let orders = ready.json()["certificate_orders"].clone();
    assert_eq!(orders["failures_in_a_row"], 1, "{orders}");
    assert!(
        orders["next_order"]
            .as_u64()
            .is_some_and(|at| at > 1_700_000_000),
        "{orders}"
    );
    assert_eq!(ordering.metric("wa_sbc_acme_failures_in_a_row"), Some(1.0));
    let failed = ordering.metric("wa_sbc_acme_orders_total{outcome=\"failed\"}");
    assert_eq!(failed, Some(1.0), "one order, then a pause");
    let doctor = ordering.says(&["doctor", "--patience", "1"]);
    let fails = about(&doctor, "acme");
    assert!(
        fails.iter().any(|line| line.starts_with("FAIL")
            && line.contains("gave no certificate 1 time(s) in a row")),
        "{doctor}"
    );
    let port = about(&doctor, "port");
    assert!(
        port.iter().any(|line| line.starts_with("WARN")
            && line.contains("no certificate is there to be shown yet")),
        "{doctor}"
    );
    sbc.terminate();
}

#[test]
fn a_reload_asks_at_once_for_what_failed_and_the_port_shows_what_came() {
    if !present(
        "acme/late",
        &["pebble", "pebble-challtestsrv", "openssl", "curl"],
    ) {
        return;
    }
    let place = Place::new("acme-late");
    let authority = Authority::new(&place);
    let directory = format!("https://{}:14000/dir", place.address(71));
    let ordering = Ordering::new(&place, &authority, &directory);
    // What is left of a trial with another directory of that authority.
    let tried = r#"{"id": "x", "key_pkcs8": "AA", "directory": "https://staging.invalid/dir"}"#;
    place.write("acme/account.json", tried);
    let mut sbc = ordering.start(&place);
    sbc.wait_for("the authority gave no certificate", LIMIT);
    let pebble = Pebble::start(&place, &authority, ordering.challenged, 3600);
    assert_eq!(pebble.directory, directory);
    let root = place.write("root.pem", pebble.root());
    assert!(
        served(ordering.tls, &root).is_err(),
        "there is nothing to be shown"
    );
    // The next order of its own would come in two minutes.
    sbc.signal("HUP");
    sbc.wait_for("the new certificate is shown", LIMIT);
    let aside = std::fs::read_to_string(ordering.account.with_extension("old.json"));
    assert_eq!(aside.expect("put aside"), tried);
    served(ordering.tls, &root).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(ordering.metric("wa_sbc_acme_failures_in_a_row"), Some(0.0));
    assert_eq!(
        ordering.http.get("/readyz").json()["certificate_orders"]["failures_in_a_row"],
        0
    );
    let doctor = ordering.says(&["doctor", "--patience", "1"]);
    assert!(
        about(&doctor, "acme")
            .iter()
            .all(|line| line.starts_with("pass")),
        "{doctor}"
    );
    sbc.terminate();
}

#[test]
fn the_certificate_is_obtained_before_the_first_call_and_renewed_under_one() {
    if !present(
        "acme/pebble",
        &["pebble", "pebble-challtestsrv", "openssl", "curl"],
    ) {
        return;
    }
    let place = Place::new("acme");
    let authority = Authority::new(&place);
    let challenged = SocketAddr::new(place.address(1), 5002);
    let pebble = Pebble::start(&place, &authority, challenged, LIFE);
    let ordering = Ordering::new(&place, &authority, &pebble.directory);
    let (tls, sip) = (ordering.tls, ordering.sip);
    let root = place.write("root.pem", pebble.root());
    // Whoever calls believes both authorities.
    let both = std::fs::read_to_string(&authority.certificate).expect("PEM") + &pebble.root();
    std::fs::write(&authority.certificate, both).expect("written");
    let mut sbc = ordering.start(&place);
    sbc.wait_for("a new certificate is here", LIMIT);
    sbc.wait_for("the new certificate is shown", LIMIT);
    wait_listening(tls, true);
    wait_listening(sip, false);
    let first = served(tls, &root).unwrap_or_else(|why| panic!("{why}"));
    for secret in [&ordering.key, &ordering.account] {
        let mode = std::fs::metadata(secret)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
    }

    let words = |own: [String; 4], more: &[&str]| -> Vec<String> {
        own.into_iter()
            .chain(more.iter().map(|one| (*one).to_owned()))
            .collect()
    };
    let pbx = words(agent_speaks(), &["--exit-after", "1", "--at-most", "25"]);
    let meta = words(
        user_speaks(),
        &["--calls", "1", "--hang-up-after", "13", "--at-most", "25"],
    );
    let list = |all: &[String]| all.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let (pbx, meta) = (list(&pbx), list(&meta));
    let mut desk = Simulated::pbx(&place, "pbx", &pbx.split(' ').collect::<Vec<_>>());
    let mut user = Simulated::meta(
        &place,
        &authority,
        "meta",
        &meta.split(' ').collect::<Vec<_>>(),
    );
    user.wait_for("answered", 1, LIMIT);
    // Somebody is in the middle of changing the configuration: the certificate is shown all the same.
    std::fs::write(&ordering.configuration, "[sip\n").expect("writable");
    sbc.wait_for_times("a new certificate is here", 2, LIMIT);
    wait_until("the next certificate is served", LIMIT, || {
        served(tls, &root).is_ok_and(|next| next != first)
    });
    assert!(
        user.events("ended").is_empty(),
        "the call goes on meanwhile"
    );
    user.wait_for("ended", 1, LIMIT);
    desk.wait_for("ended", 1, LIMIT);
    let ended = &user.events("ended")[0];
    assert!(
        ended["by"] == "us" && ended["confirmed"] == true,
        "nobody but the user ended it: {ended}"
    );

    // One account for both orders, and what is served is what was issued.
    let said = pebble.running.log();
    assert!(
        said.contains("There are now 1 accounts") && !said.contains("There are now 2 accounts")
    );
    let serial = first.trim_start_matches("serial=").trim_start_matches('0');
    let issued = format!("Issued certificate serial {}", serial.to_ascii_lowercase());
    assert!(said.contains(&issued), "{issued} in {said}");
    // Nobody listens for challenges any more.
    assert!(std::net::TcpStream::connect(challenged).is_err());
}
