//! Pebble, the ACME server Let's Encrypt is tested with, and the name server it asks. It verifies signatures, nonces and
//! challenges with code of its own, and refuses every twentieth nonce for practice. Every name has to be proven anew.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::certificates::Authority;
use crate::place::Place;
use crate::running::Running;
use crate::sipp::wait_listening;
use crate::tools::find;

/// A running Pebble.
pub struct Pebble {
    _names: Running,
    /// The program.
    pub running: Running,
    /// The URL of its directory.
    pub directory: String,
    management: SocketAddr,
    authority: PathBuf,
}

impl Pebble {
    /// Starts it. Every name has the address of `challenged`, whose port it asks for challenges; its certificates last for
    /// so many seconds.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(
        place: &Place,
        authority: &Authority,
        challenged: SocketAddr,
        seconds: u32,
    ) -> Pebble {
        let at = place.address(71);
        let [listen, management, dns] =
            [14_000, 15_000, 8_053].map(|port| SocketAddr::new(at, port));
        let host = at.to_string();
        let identity = authority.identity(place, &[&host]);
        let settings = serde_json::json!({ "pebble": {
            "listenAddress": listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": identity.certificate.display().to_string(),
            "privateKey": identity.key.display().to_string(),
            "httpPort": challenged.port(),
            "tlsPort": 5001,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": seconds,
        }});
        let file = place.write("pebble.json", settings.to_string());
        let mut names = Command::new(find("pebble-challtestsrv").expect("the test asked for it"));
        names
            .args([
                "-defaultIPv4",
                &challenged.ip().to_string(),
                "-defaultIPv6",
                "",
            ])
            .args([
                "-dns01",
                &dns.to_string(),
                "-management",
                &format!("{at}:8055"),
            ])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let names = Running::start(place, "names", &mut names);
        wait_listening(dns, false);
        let mut pebble = Command::new(find("pebble").expect("the test asked for it"));
        pebble
            .args(["-dnsserver", &dns.to_string(), "-config"])
            .arg(file)
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_VA_NOSLEEP", "1");
        let running = Running::start(place, "pebble", &mut pebble);
        wait_listening(listen, true);
        Pebble {
            _names: names,
            running,
            directory: format!("https://{listen}/dir"),
            management,
            authority: authority.certificate.clone(),
        }
    }

    /// The certificate all of its chains end at, PEM.
    ///
    /// # Panics
    /// When it does not say.
    pub fn root(&self) -> String {
        let output = Command::new(find("curl").expect("the test asked for it"))
            .args(["--silent", "--fail", "--max-time"])
            .arg(Duration::from_secs(10).as_secs().to_string())
            .arg("--cacert")
            .arg(&self.authority)
            .arg(format!("https://{}/roots/0", self.management))
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("PEM")
    }
}
