//! Meta's own headers: `x-wa-meta-*` (Meta reference 5.6).

use std::collections::BTreeMap;
use std::time::Duration;

use b2bua::profile::MetadataNames;

use crate::facts;

/// The names the core learns these headers by.
pub const NAMES: MetadataNames = MetadataNames {
    prefix: facts::METADATA_PREFIX,
    reference: facts::WACID_HEADER,
    reference_call_id_prefix: facts::CALL_ID_PREFIX,
    duration: facts::DURATION_HEADER,
};

/// The most characters kept of a value. Payloads are documented with up to 512.
const LONGEST: usize = 1_024;

/// What Meta told about a call, sorted by meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// The call id, `wacid.…`, opaque.
    pub wacid: Option<String>,
    /// The duration of the call by Meta's clock, in whole seconds.
    pub duration: Option<Duration>,
    /// The user's business-scoped id.
    pub user_id: Option<String>,
    /// The user's parent id, of no known form.
    pub parent_user_id: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// The user's country, ISO 3166 alpha-2.
    pub country: Option<String>,
    /// The id of the business number in the Graph API.
    pub phone_number_id: Option<String>,
    /// The payload of the call button the user pressed.
    pub cta_payload: Option<String>,
    /// The payload of the deep link the user followed.
    pub deeplink_payload: Option<String>,
    /// Headers of Meta without a known meaning, by folded name.
    pub others: BTreeMap<String, String>,
}

impl CallFacts {
    /// Sorts headers, given as name and value: those of a message, or the metadata of a record.
    /// Names in any spelling, values cut to 1,024 characters; of repeated headers the last counts.
    pub fn of<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> CallFacts {
        let mut facts = CallFacts::default();
        for (name, value) in headers {
            let name = fold(name);
            if let Some(short) = name.strip_prefix(facts::METADATA_PREFIX) {
                facts.learn(short, &name, value.trim());
            }
        }
        facts
    }

    fn learn(&mut self, short: &str, name: &str, value: &str) {
        let text = || Some(value.chars().take(LONGEST).collect::<String>());
        match short {
            "wacid" => self.wacid = text(),
            "call-duration" => self.duration = value.parse().ok().map(Duration::from_secs),
            "user-id" => self.user_id = text(),
            "parent-user-id" => self.parent_user_id = text(),
            // The documentation prints both.
            "user-name" | "username" => self.user_name = text(),
            "country-code" | "user-country-code" => self.country = text(),
            "phone-number-id" => self.phone_number_id = text(),
            "cta-payload" => self.cta_payload = text(),
            "deeplink-payload" => self.deeplink_payload = text(),
            _ => {
                let value = text().unwrap_or_default();
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

/// A header name without its freedom of spelling: lower case, `_` as `-`.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_headers_are_sorted_in_every_spelling() {
        let facts = CallFacts::of([
            ("X-WA-Meta-Wacid", "wacid.HBgL=="),
            ("x_wa_meta_call_duration", " 56 "),
            ("x-wa-meta-user-id", "US.1349"),
            ("x-wa_meta-parent-user-id", "P-1"),
            ("x-wa-meta-username", "Zo\u{eb}"),
            ("x-wa-meta-user-country-code", "US"),
            ("x-wa-meta-phone-number-id", "106540352242922"),
            ("x-wa-meta-cta-payload", "order=ON-12853&src=button"),
            ("x-wa-meta-deeplink-payload", "summer"),
            ("x-wa-meta-mood", "fine"),
            ("X-FB-External-Domain", "wa.meta.vc"),
            ("Subject", "x-wa-meta-wacid"),
        ]);
        insta::assert_debug_snapshot!(facts);
    }

    #[test]
    fn both_spellings_of_name_and_country_are_read() {
        let facts = CallFacts::of([
            ("x-wa-meta-user-name", "Zoe"),
            ("x-wa-meta-country-code", "BR"),
        ]);
        assert_eq!(
            (facts.user_name.as_deref(), facts.country.as_deref()),
            (Some("Zoe"), Some("BR"))
        );
    }

    #[test]
    fn a_duration_that_is_no_number_is_not_known() {
        for value in ["", "-1", "1.5", "56s"] {
            assert_eq!(
                CallFacts::of([("x-wa-meta-call-duration", value)]).duration,
                None,
                "{value}"
            );
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let facts = CallFacts::of([("x-wa-meta-cta-payload", "\u{e9}".repeat(5_000).as_str())]);
        assert_eq!(
            facts.cta_payload.map(|text| text.chars().count()),
            Some(LONGEST)
        );
    }
}
