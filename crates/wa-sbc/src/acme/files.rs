//! Files that are whole or not there, and readable for nobody else.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::config::AcmeSettings;

/// A certificate as it came, with the key it was made for.
pub(super) struct Issued {
    /// PEM, ours first.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: String,
}

/// Puts key and chain in the place of the old ones. Killed in between, the next start finds that they do
/// not fit and asks again.
pub(super) fn write(settings: &AcmeSettings, issued: &Issued) -> Result<(), String> {
    let AcmeSettings {
        certificate, key, ..
    } = settings;
    let failed = |path: &Path, why: io::Error| format!("cannot write {}: {why}", path.display());
    write_secret(key, &issued.key).map_err(|why| failed(key, why))?;
    replace(certificate, &issued.chain, 0o644).map_err(|why| failed(certificate, why))
}

/// Writes a file only its owner may read.
pub(super) fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text, 0o600)
}

/// The account, if there is one.
pub(super) fn read_account(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let _ = std::fs::remove_file(&new);
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_its_owners_and_replaces_what_was_there() {
        let directory = std::env::temp_dir().join(format!("wa-sbc-acme-{}", std::process::id()));
        let path = directory.join("deep/account.json");
        assert_eq!(read_account(&path), Ok(None));
        write_secret(&path, "one").expect("written");
        write_secret(&path, "two").expect("written again");
        assert_eq!(read_account(&path), Ok(Some("two".into())));
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let others = std::fs::read_dir(path.parent().expect("a directory")).expect("there");
        assert_eq!(others.count(), 1, "nothing half written is left");
        let _ = std::fs::remove_dir_all(&directory);
    }
}
