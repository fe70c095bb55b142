//! Where a secret comes from: never from the configuration file itself.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sip::Secret;

/// `{ env = "NAME" }` or `{ file = "/path" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; a line end at its end does not belong to the secret.
    File(PathBuf),
}

impl SecretSource {
    /// Fetches the secret. The error says what is missing, never what was there.
    pub fn fetch(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Secret<String>, String> {
        let text = match self {
            SecretSource::Env(name) => environment(name)
                .ok_or_else(|| format!("the environment variable {name} is not set"))?,
            SecretSource::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("{self} is empty"));
        }
        Ok(Secret::new(text.to_owned()))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "the environment variable {name}"),
            SecretSource::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// Behind the line break stands the remedy; see `objection.rs`.
const INLINE: &str = "a secret may not stand in the configuration file: the file is read, copied and backed up by many\n\
                      write { env = \"NAME\" } for an environment variable or { file = \"/run/secrets/name\" } for a file";
const SHAPE: &str = "a secret has exactly one source\n\
                     write { env = \"NAME\" } for an environment variable or { file = \"/run/secrets/name\" } for a file";

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"/path\" }")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(INLINE))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom(INLINE))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let source = match map.next_key::<String>()?.as_deref() {
            Some("env") => SecretSource::Env(map.next_value()?),
            Some("file") => SecretSource::File(map.next_value()?),
            _ => return Err(A::Error::custom(SHAPE)),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(A::Error::custom(SHAPE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<SecretSource, toml::de::Error> {
        #[derive(Debug, Deserialize)]
        struct Table {
            password: SecretSource,
        }
        toml::from_str::<Table>(&format!("password = {text}")).map(|table| table.password)
    }

    #[test]
    fn a_secret_written_into_the_file_is_refused_and_not_repeated() {
        for inline in ["\"hunter2hunter2\"", "4711471147114711"] {
            let message = written(inline).expect_err("inline").message().to_owned();
            assert!(
                message.starts_with("a secret may not stand in the configuration file"),
                "{message}"
            );
            assert!(
                !message.contains("hunter2") && !message.contains("4711"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_secret_has_exactly_one_source() {
        assert_eq!(
            written("{ env = \"A\" }").ok(),
            Some(SecretSource::Env("A".into()))
        );
        assert_eq!(
            written("{ file = \"/a\" }").ok(),
            Some(SecretSource::File("/a".into()))
        );
        for wrong in ["{}", "{ env = \"A\", file = \"/a\" }", "{ value = \"x\" }"] {
            assert!(written(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_or_empty_secret_is_named_by_its_source() {
        let source = SecretSource::Env("WA_SIP_PASSWORD".into());
        let fetch = |value: Option<&str>| source.fetch(|_| value.map(str::to_owned)).map(|_| ());
        assert_eq!(
            fetch(None),
            Err("the environment variable WA_SIP_PASSWORD is not set".into())
        );
        assert_eq!(
            fetch(Some("\n")),
            Err("the environment variable WA_SIP_PASSWORD is empty".into())
        );
        assert_eq!(fetch(Some("x\n")), Ok(()));
        let missing = SecretSource::File("/nonexistent/secret".into())
            .fetch(|_| None)
            .map(|_| ());
        assert!(missing.is_err_and(|why| why.contains("/nonexistent/secret")));
    }
}
