//! Certificates from Pebble, Let's Encrypt's test authority: the first one before a port is open, the next one in time and
//! under a call.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::certificates::Authority;
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
    // The usual configuration, with files that are not there yet.
    let setup = Setup::new(meta_address(&place), pbx_address(&place));
    let usual = Sbc::start(&place, &authority, &setup);
    let text = std::fs::read_to_string(&usual.configuration).expect("a configuration");
    let (tls, sip) = (usual.tls, usual.sip);
    drop(usual);
    let [certificate, key, account] =
        ["acme/sbc.pem", "acme/sbc.key", "acme/account.json"].map(|name| place.path(name));
    let text = text
        .replace(
            &place.path(&format!("{HOST}.pem")).display().to_string(),
            &certificate.display().to_string(),
        )
        .replace(
            &place.path(&format!("{HOST}.key")).display().to_string(),
            &key.display().to_string(),
        );
    let configuration = place.write(
        "acme.toml",
        format!(
            "{text}\n[acme]\ndirectory = \"{}\"\nagree = true\ncontact = [\"mailto:sip@example.com\"]\n\
             listen = \"{challenged}\"\naccount = \"{}\"\nca = \"{}\"\n[http]\nlisten = \"{}:9090\"\n",
            pebble.directory,
            account.display(),
            authority.certificate.display(),
            place.address(1),
        ),
    );
    let root = place.write("root.pem", pebble.root());
    // Whoever calls believes both authorities.
    let both = std::fs::read_to_string(&authority.certificate).expect("PEM") + &pebble.root();
    std::fs::write(&authority.certificate, both).expect("written");
    let mut sbc = Running::start(
        &place,
        "wa-sbc-acme",
        Command::new(binary())
            .args(["run", "--config"])
            .arg(&configuration)
            .env("WA_SBC_TEST_PASSWORD", PASSWORD),
    );
    sbc.wait_for("a new certificate is here", LIMIT);
    sbc.wait_for("listening", LIMIT);
    wait_listening(tls, true);
    wait_listening(sip, false);
    let first = served(tls, &root).unwrap_or_else(|why| panic!("{why}"));
    for secret in [&key, &account] {
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
