//! What somebody wants captured, and how much of the disk it may take.

use std::time::Duration;

use b2bua::E164;
use b2bua::event::Facts;
use serde::{Deserialize, Serialize};

use crate::reference;

/// Megabytes of a file, and files, when nobody says otherwise.
const MEGABYTES: u64 = 10;
const FILES: u64 = 10;

/// A wish for a capture.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wish {
    /// Calls with this Call-ID, or this id of Meta's, in full or as the log shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<String>,
    /// Calls of this number, the business' or the user's, and whatever else names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<String>,
    /// Calls by way of this trunk, INVITEs that became none, its OPTIONS and REGISTER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trunk: Option<String>,
    /// Every call, and every message outside calls.
    pub(crate) all: bool,
    /// Files kept: when the last is full, the oldest goes.
    pub(crate) files: u64,
    /// Size of a file.
    pub(crate) megabytes: u64,
    /// Ends by itself after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
    /// Keys and digest answers are not blanked.
    pub(crate) keys: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            call: None,
            number: None,
            trunk: None,
            all: false,
            files: FILES,
            megabytes: MEGABYTES,
            seconds: None,
            keys: false,
        }
    }
}

impl Wish {
    /// What is wrong with it.
    pub(crate) fn objection(&self) -> Option<&'static str> {
        let named = [&self.call, &self.number, &self.trunk];
        let named = named.into_iter().flatten();
        if named.clone().count() + usize::from(self.all) != 1 {
            return Some("say which calls: one of call, number, trunk, all");
        }
        if named.into_iter().any(|name| name.trim().len() < 2) {
            return Some("that name is too short to mean a call");
        }
        if self.files == 0 || self.megabytes == 0 {
            return Some("files and megabytes are at least 1");
        }
        None
    }

    /// The most it may take, in bytes.
    pub(crate) fn most(&self) -> u64 {
        self.files.saturating_mul(self.file_size())
    }

    /// When a file is full, in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.megabytes.saturating_mul(1_000_000)
    }

    /// For how long at most.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// What stands in the messages of wanted calls; `None`: that cannot be told from messages.
    pub(crate) fn word(&self) -> Option<&str> {
        self.call.as_deref().or(self.number.as_deref())
    }

    /// Whether a call is wanted.
    pub(crate) fn wants(&self, facts: &Facts) -> bool {
        let is_call = |call: &String| {
            let ids = [&facts.reference, &facts.carrier_call_id, &facts.pbx_call_id];
            let short = reference::asked(call);
            let is_it = |id: &String| {
                id == call || short.is_some_and(|short| reference::stands_in(short, id.as_bytes()))
            };
            ids.into_iter().flatten().any(is_it)
        };
        let is_number = |number: &String| {
            let number = E164::parse(number).map(|number| number.plus());
            number.is_some_and(|number| number == facts.number.plus() || number == facts.user)
        };
        self.all
            || self.call.as_ref().is_some_and(is_call)
            || self.number.as_ref().is_some_and(is_number)
            || self.trunk.as_deref() == Some(&*facts.trunk)
    }

    /// In words.
    pub(crate) fn about(&self) -> String {
        match (&self.call, &self.number, &self.trunk) {
            (Some(call), ..) => format!("call {call}"),
            (_, Some(number), _) => format!("number {number}"),
            (.., Some(trunk)) => format!("trunk {trunk}"),
            _ => "all calls".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_one_kind_of_call() {
        let of = |text: &str| serde_json::from_str::<Wish>(text).expect("a wish");
        assert_eq!(of(r#"{"all": true}"#).objection(), None);
        assert_eq!(of(r#"{"trunk": "hq", "files": 2}"#).objection(), None);
        for bad in [
            "{}",
            r#"{"all": true, "number": "+17125550259"}"#,
            r#"{"call": " x"}"#,
            r#"{"all": true, "files": 0}"#,
        ] {
            assert!(of(bad).objection().is_some(), "{bad}");
        }
        assert_eq!(
            of(r#"{"all": true, "files": 3, "megabytes": 2}"#).most(),
            6_000_000
        );
    }

    #[test]
    fn a_call_is_wanted_by_its_ids_and_by_what_the_log_shows_of_them() {
        let id = "outgoing:wacid.HBgLMTIxOTU1NTA3MTQVAgASGCA=";
        let facts = Facts {
            id: b2bua::CallId(7),
            direction: b2bua::record::Direction::UserInitiated,
            reference: None,
            carrier_call_id: Some(id.into()),
            pbx_call_id: Some("b-1".into()),
            number: E164::parse("+17125550259").expect("a number"),
            user: "+12195550714".into(),
            trunk: "office".into(),
            started: std::time::UNIX_EPOCH,
            ringing: None,
            answered: None,
        };
        let shown = crate::log::redact(id);
        let short = reference::asked(&shown).expect("shortened");
        for (call, wanted) in [
            (id, true),
            ("b-1", true),
            (&*shown, true),
            (short, true),
            ("wacid~bcdfghjklmnp", false),
            ("b", false),
        ] {
            let wish = Wish {
                call: Some(call.into()),
                ..Wish::default()
            };
            assert_eq!(wish.wants(&facts), wanted, "{call}");
        }
    }
}
