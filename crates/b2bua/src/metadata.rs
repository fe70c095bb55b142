//! Facts the carrier tells about a call in headers of its own: into the record, and on to the PBX.

use std::collections::BTreeMap;

use sip::{Headers, Name, Request, Text};

use crate::profile::MetadataNames;
use crate::settings::MetadataPass;

/// The most facts kept of one call, and the most characters of each.
const MOST: usize = 32;
const LONGEST: usize = 1_024;

/// What the carrier told about one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    names: Option<&'static MetadataNames>,
    /// Lower-case header name and value, in the order of the names. A handful: a map of them would be mostly empty room.
    facts: Vec<(Box<str>, Box<str>)>,
    /// The reference hidden in a Call-ID, where no header told one.
    hidden: Option<Box<str>>,
}

impl Metadata {
    pub(crate) fn new(names: Option<&'static MetadataNames>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Takes the carrier's INVITE: its headers, and the reference hidden in its Call-ID.
    pub(crate) fn invited(&mut self, invite: &Request) {
        self.learn(&invite.headers);
        if let (None, Some(names), Some(call_id)) = (self.reference(), self.names, invite.call_id())
        {
            let call_id = call_id.as_str();
            let reference = call_id.strip_prefix(names.reference_call_id_prefix);
            self.hidden = reference.map(|text| text.chars().take(LONGEST).collect());
        }
    }

    /// Takes the facts of any message of the carrier. What is known already is not forgotten.
    pub(crate) fn learn(&mut self, headers: &Headers) {
        let Some(names) = self.names else { return };
        for (name, value) in headers.iter() {
            let name = folded(name);
            if !name.starts_with(names.prefix) || self.facts.len() >= MOST {
                continue;
            }
            let value = value
                .as_str()
                .chars()
                .filter(|c| !c.is_control())
                .take(LONGEST)
                .collect();
            match self.place(&name) {
                Ok(at) => self.facts[at].1 = value,
                Err(at) => self.facts.insert(at, (name.into(), value)),
            }
        }
        self.facts.shrink_to_fit();
    }

    /// Where the fact of this name is, or is to be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.facts
            .binary_search_by(|(known, _)| (**known).cmp(name))
    }

    fn fact(&self, name: &str) -> Option<&str> {
        let at = self.place(name).ok()?;
        Some(&self.facts[at].1)
    }

    /// The carrier's reference of the call.
    pub(crate) fn reference(&self) -> Option<&str> {
        let told = self.names.and_then(|names| self.fact(names.reference));
        told.or(self.hidden.as_deref())
    }

    /// The duration of the call in seconds by the carrier's clock.
    pub(crate) fn duration(&self) -> Option<u64> {
        self.fact(self.names?.duration)?.trim().parse().ok()
    }

    /// All facts: lower-case header name to value.
    pub(crate) fn facts(&self) -> BTreeMap<String, String> {
        let facts = self.facts.iter();
        facts
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    /// The headers that tell them to the PBX.
    pub(crate) fn headers_for(&self, pass: &MetadataPass) -> Vec<(Name, Text)> {
        if !pass.enabled {
            return Vec::new();
        }
        let prefix = self.names.map_or("", |names| names.prefix);
        let header = |name: &str, value: &str| (Name::from(name), Text::from(value));
        let facts = self.facts.iter().map(|(name, value)| {
            let rest = name.strip_prefix(prefix).unwrap_or(name);
            header(&format!("{}{rest}", pass.prefix), value)
        });
        let reference = self.reference().map(|value| header(&pass.reference, value));
        facts.chain(reference).collect()
    }
}

/// Lower case, `_` as `-`: names are spelled both ways (Meta reference 5.6).
fn folded(name: &Name) -> String {
    name.to_string().to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMES: MetadataNames = MetadataNames {
        prefix: "x-peer-",
        reference: "x-peer-ref",
        reference_call_id_prefix: "out:",
        duration: "x-peer-seconds",
    };

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in pairs {
            headers.push(Name::from(*name), Text::from(*value));
        }
        headers
    }

    fn pass() -> MetadataPass {
        MetadataPass {
            enabled: true,
            prefix: "X-WA-".into(),
            reference: "X-Ref".into(),
        }
    }

    #[test]
    fn spelling_of_names_does_not_matter() {
        let mut metadata = Metadata::new(Some(&NAMES));
        metadata.learn(&headers(&[
            ("X-PEER_User-Id", "US.1"),
            ("Subject", "no"),
            ("x-peer-ref", "r"),
        ]));
        assert_eq!(
            metadata.facts().into_keys().collect::<Vec<_>>(),
            ["x-peer-ref", "x-peer-user-id"]
        );
        assert_eq!(metadata.reference(), Some("r"));
    }

    #[test]
    fn the_pbx_is_told_under_the_configured_names() {
        let mut metadata = Metadata::new(Some(&NAMES));
        metadata.learn(&headers(&[("x-peer-ref", "r"), ("x-peer-country", "US")]));
        let told: Vec<_> = metadata
            .headers_for(&pass())
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str()))
            .collect();
        assert_eq!(told, ["X-WA-country: US", "X-WA-ref: r", "X-Ref: r"]);
        assert!(
            metadata
                .headers_for(&MetadataPass {
                    enabled: false,
                    ..pass()
                })
                .is_empty()
        );
    }

    #[test]
    fn a_flood_of_facts_is_cut() {
        let mut metadata = Metadata::new(Some(&NAMES));
        let many: Vec<_> = (0..99)
            .map(|i| (format!("x-peer-{i}"), "v".repeat(5_000)))
            .collect();
        let pairs: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        metadata.learn(&headers(&pairs));
        assert_eq!(metadata.facts().len(), MOST);
        assert!(
            metadata
                .facts()
                .values()
                .all(|value| value.len() == LONGEST)
        );
    }

    #[test]
    fn the_duration_is_in_the_bye() {
        let mut metadata = Metadata::new(Some(&NAMES));
        metadata.learn(&headers(&[("x-peer-seconds", "56")]));
        assert_eq!(metadata.duration(), Some(56));
    }
}
