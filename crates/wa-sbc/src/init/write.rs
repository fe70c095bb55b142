//! The files `wa-sbc init` leaves behind.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::InitError;
use crate::config::Settings;

/// The authority most people ask.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Everything that was asked.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) number: String,
    pub(super) host: String,
    pub(super) certificate: String,
    pub(super) key: String,
    /// Whom the authority writes to that gives the certificate.
    pub(super) acme: Option<String>,
    pub(super) public: String,
    pub(super) private: String,
    pub(super) pbx: String,
    pub(super) transport: String,
    /// Where the password goes.
    pub(super) secret: PathBuf,
    /// Where records and traces go.
    pub(super) state: PathBuf,
}

/// Writes both files, the secret first; a configuration that would be refused is not written. The mode
/// of the secret.
pub(super) fn write(
    config: &Path,
    answers: &Answers,
    password: &str,
    force: bool,
) -> Result<u32, InitError> {
    for path in [config, &answers.secret] {
        if path.exists() && !force && !(path == config && says_nothing(path)) {
            return Err(InitError::Exists(path.display().to_string()));
        }
    }
    let directory = config.parent().filter(|path| !path.as_os_str().is_empty());
    if let Some(directory) = directory {
        fs::create_dir_all(directory).map_err(|error| unwritable(directory, error))?;
    }
    let text = text(answers);
    let mode = put(&answers.secret, &format!("{password}\n"), 0o600)?;
    if let Err(wrong) = Settings::read(config, &text, |_| None) {
        let _ = fs::remove_file(&answers.secret);
        return Err(InitError::Wrong(wrong));
    }
    put(config, &text, 0o644)?;
    Ok(mode)
}

/// Whether a configuration is one of comments only, as a package installs it.
fn says_nothing(path: &Path) -> bool {
    let blank = |line: &str| line.trim().is_empty() || line.starts_with('#');
    fs::read_to_string(path).is_ok_and(|text| text.lines().all(blank))
}

/// Writes a file anew, and gives it to the group of its directory where the directory says so (setgid).
fn put(path: &Path, text: &str, mode: u32) -> Result<u32, InitError> {
    let written = || -> io::Result<u32> {
        // Anew: the mode of a file that exists would stay as it is.
        let _ = fs::remove_file(path);
        let mut options = OpenOptions::new();
        let mut file = options.create_new(true).write(true).mode(mode).open(path)?;
        let mut mode = mode;
        if file.metadata()?.gid() != rustix::process::getegid().as_raw() {
            mode |= 0o040;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.write_all(text.as_bytes())?;
        Ok(mode)
    };
    written().map_err(|error| unwritable(path, error))
}

fn unwritable(path: &Path, source: io::Error) -> InitError {
    let path = path.display().to_string();
    InitError::Unwritable { path, source }
}

/// The configuration. Only what has no good default is written; etc/wa-sbc.toml shows the rest.
fn text(answers: &Answers) -> String {
    // A TOML string needs the same escapes as a JSON one.
    let quoted = |text: &str| serde_json::to_string(text).expect("text can always be written");
    let with_brackets = |address: &str| match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    };
    let private = with_brackets(&answers.private);
    let listen = quoted(&format!("{private}:5060"));
    let plain = match answers.transport.as_str() {
        "tls" => String::new(),
        transport => format!("\n[sip.{transport}]\nlisten = {listen}\n"),
    };
    let acme = answers.acme.as_ref().map(|mail| {
        format!(
            "\n[acme]\ndirectory = \"{LETS_ENCRYPT}\"\nagree = true\ncontact = [{}]\naccount = {}\n",
            quoted(&format!("mailto:{mail}")),
            quoted(&answers.state.join("acme-account.json").display().to_string()),
        )
    });
    let peer = quoted(&format!(
        "sip:{};transport={}",
        answers.pbx, answers.transport
    ));
    format!(
        r#"# Written by wa-sbc init. Every other key: wa-sbc.toml(5), wa-sbc print-config.

[sip]
host = {host}

[sip.tls]
listen = "0.0.0.0:5061"
certificate = {certificate}
key = {key}
{acme}{plain}
[media]
public = {public}
private = {private}

[[number]]
e164 = {number}
password = {{ file = {secret} }}
trunk = "pbx"

[[trunk]]
name = "pbx"
peer = {peer}

[records]
sqlite = {records}

[trace]
dir = {traces}
"#,
        acme = acme.unwrap_or_default(),
        host = quoted(&answers.host),
        certificate = quoted(&answers.certificate),
        key = quoted(&answers.key),
        public = quoted(&answers.public),
        private = quoted(&answers.private),
        number = quoted(&answers.number),
        secret = quoted(&answers.secret.display().to_string()),
        records = quoted(&answers.state.join("calls.db").display().to_string()),
        traces = quoted(&answers.state.join("traces").display().to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_an_authority_the_certificate_is_ordered_for_the_host_into_the_state() {
        let mut answers = Answers {
            number: "+17125550259".into(),
            host: "sbc.example.com".into(),
            certificate: "/var/lib/wa-sbc/fullchain.pem".into(),
            key: "/var/lib/wa-sbc/key.pem".into(),
            acme: Some("sip@example.com".into()),
            public: "203.0.113.7".into(),
            private: "10.0.0.5".into(),
            pbx: "10.0.0.20".into(),
            transport: "udp".into(),
            secret: "/etc/wa-sbc/sip-password".into(),
            state: "/var/lib/wa-sbc".into(),
        };
        let read = |answers: &Answers| {
            // A password that is there on every machine.
            let text = text(answers).replace("/etc/wa-sbc/sip-password", "/etc/hostname");
            Settings::read(Path::new("wa-sbc.toml"), &text, |_| None)
                .unwrap_or_else(|wrong| panic!("{wrong}"))
        };
        let acme = read(&answers).acme.expect("an authority");
        assert_eq!(
            (acme.directory.as_str(), acme.names),
            (LETS_ENCRYPT, vec!["sbc.example.com".to_owned()])
        );
        assert_eq!(acme.contact, ["mailto:sip@example.com"]);
        assert!(
            acme.account.starts_with(&answers.state)
                && acme.certificate.starts_with(&answers.state)
        );
        answers.acme = None;
        assert!(read(&answers).acme.is_none(), "off unless asked for");
    }
}
