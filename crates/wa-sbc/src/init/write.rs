//! The files `wa-sbc init` leaves behind.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::InitError;
use crate::config::Settings;

/// Everything that was asked.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) number: String,
    pub(super) host: String,
    pub(super) certificate: String,
    pub(super) key: String,
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
{plain}
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
