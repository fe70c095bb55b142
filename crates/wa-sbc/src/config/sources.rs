//! The files a configuration is made of, and whether one of them changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use toml::Spanned;

use super::file::File;
use super::lists;
use super::secret::SecretSource;

/// The files a configuration was read from or points to.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    configuration: PathBuf,
    patterns: Vec<String>,
    others: Vec<PathBuf>,
}

/// What can be seen of the files from outside; equal while nobody wrote one.
#[derive(Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Sources {
    pub(super) fn of(configuration: &Path, file: &File, lists: &[lists::NumberList]) -> Self {
        let mut others: Vec<PathBuf> = Vec::new();
        let sip = &file.sip;
        if let Some(tls) = sip.tls.as_ref().map(|tls| tls.get_ref()) {
            others.extend([tls.certificate.clone(), tls.key.clone()]);
            for pair in &tls.certificates {
                others.extend([pair.certificate.clone(), pair.key.clone()]);
            }
        }
        for listener in file.listener.iter().map(|listener| listener.get_ref()) {
            others.extend(listener.certificate.clone());
            others.extend(listener.key.clone());
            others.extend(listener.client_ca.clone());
            for pair in &listener.certificates {
                others.extend([pair.certificate.clone(), pair.key.clone()]);
            }
        }
        for trunk in file.trunk.iter().map(|trunk| trunk.get_ref()) {
            others.extend(trunk.certificate.clone());
            others.extend(trunk.key.clone());
            others.extend(trunk.extra_ca.as_ref().map(|path| path.get_ref().clone()));
            others.extend(file_of(trunk.password.as_ref()));
            others.extend(file_of(trunk.register.password.as_ref()));
            // "melody" is no file, and stays none.
            others.extend(trunk.hold_music.as_ref().map(|name| name.get_ref().into()));
        }
        let meta = &file.meta;
        let of_meta = [&meta.extra_ca, &meta.networks_file].into_iter().flatten();
        others.extend(of_meta.map(|path| path.get_ref().clone()));
        let numbers = file
            .number
            .iter()
            .chain(lists.iter().flat_map(|list| &list.numbers));
        others.extend(numbers.filter_map(|number| file_of(number.get_ref().password.as_ref())));
        others.sort();
        others.dedup();
        Self {
            configuration: configuration.into(),
            patterns: file.number_files.clone(),
            others,
        }
    }

    /// Looks at every file.
    pub fn fingerprint(&self) -> Fingerprint {
        let lists = self
            .patterns
            .iter()
            .flat_map(|pattern| lists::matching(&self.configuration, pattern));
        let all = std::iter::once(self.configuration.clone())
            .chain(lists)
            .chain(self.others.iter().cloned());
        Fingerprint(all.map(|path| (path.clone(), seen(&path))).collect())
    }
}

fn seen(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The file a secret stands in, if it stands in one.
fn file_of(secret: Option<&Spanned<SecretSource>>) -> Option<PathBuf> {
    match secret?.get_ref() {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Env(_) => None,
    }
}
