//! A PostgreSQL server of our own: a cluster in a directory of its own, on an address of the test, ended with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::certificates::Identity;
use crate::place::{Place, wait_until};
use crate::running::Running;
use crate::tools::find;

/// The user, who may do everything.
pub const USER: &str = "wa_sbc";
/// The password. A lab password; it opens nothing.
pub const PASSWORD: &str = "Vq8sT2mK";

/// A cluster.
pub struct Cluster {
    /// Where it listens.
    pub listen: SocketAddr,
    programs: PathBuf,
    data: PathBuf,
    server: Option<Running>,
}

/// The directory of the newest server's programs, where Debian puts them.
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop()
}

impl Cluster {
    /// Makes a cluster that asks for passwords and speaks TLS with this certificate, and starts it.
    ///
    /// # Panics
    /// When it cannot be made or started.
    pub fn start(place: &Place, listen: SocketAddr, identity: &Identity) -> Cluster {
        let programs = programs().expect("the test asked for it");
        // Out of the workspace, which its user may not enter.
        let home = std::env::temp_dir().join(format!(
            "wa-sbc-postgres-{}-{}",
            std::process::id(),
            listen.ip()
        ));
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a directory");
        let (data, password) = (home.join("data"), home.join("password"));
        std::fs::write(&password, PASSWORD).expect("written");
        for (from, name) in [
            (&identity.certificate, "tls.pem"),
            (&identity.key, "tls.key"),
        ] {
            std::fs::copy(from, home.join(name)).expect("copied");
        }
        run(Command::new("chmod").arg("600").arg(home.join("tls.key")));
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres:postgres"])
                .arg(&home));
        }
        run(as_server(&programs.join("initdb"))
            .args([
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
                "-U",
                USER,
            ])
            .arg("--pwfile")
            .arg(&password)
            .arg("-D")
            .arg(&data));
        let mut cluster = Cluster {
            listen,
            programs,
            data,
            server: None,
        };
        cluster.resume(place);
        cluster
    }

    /// Starts it, again.
    ///
    /// # Panics
    /// When it does not serve within 20 s.
    pub fn resume(&mut self, place: &Place) {
        let home = self.home();
        let mut command = as_server(&self.programs.join("postgres"));
        command.arg("-D").arg(&self.data);
        for setting in [
            format!("listen_addresses={}", self.listen.ip()),
            format!("port={}", self.listen.port()),
            format!("unix_socket_directories={}", home.display()),
            "ssl=on".into(),
            format!("ssl_cert_file={}", home.join("tls.pem").display()),
            format!("ssl_key_file={}", home.join("tls.key").display()),
            "fsync=off".into(),
            "shared_buffers=16MB".into(),
        ] {
            command.arg("-c").arg(setting);
        }
        self.server = Some(Running::start(place, "postgres", &mut command));
        wait_until("PostgreSQL serves", Duration::from_secs(20), || {
            self.ask("SELECT 1").is_ok()
        });
    }

    /// Ends it: connections are cut.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal("INT");
            server.finish(Duration::from_secs(10));
        }
    }

    /// What `psql` prints for a statement, one row a line.
    ///
    /// # Errors
    /// What it complains about.
    pub fn ask(&self, statement: &str) -> Result<Vec<String>, String> {
        let output = Command::new(find("psql").ok_or("no psql")?)
            .args(["-h", &self.listen.ip().to_string()])
            .args(["-p", &self.listen.port().to_string()])
            .args([
                "-U",
                USER,
                "-d",
                "postgres",
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
            ])
            .args(["-c", statement])
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "2")
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                Ok(text.lines().map(str::to_owned).collect())
            }
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn home(&self) -> PathBuf {
        self.data.parent().expect("data stands in it").to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            server.signal("INT");
        }
        self.server = None;
        let _ = std::fs::remove_dir_all(self.home());
    }
}

/// PostgreSQL does not run as root: then as the user Debian makes for it. The program takes the place of
/// `setpriv`, so that signals reach it.
fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--clear-groups",
        ])
        .arg(program)
        .current_dir("/");
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
