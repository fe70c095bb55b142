//! Replaces: the dialog an INVITE wants to take the place of (RFC 3891 §6.1).
//!
//! ```text
//! 425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only
//! └──────────┬─────────────┘        └┬─┘          └┬─┘
//!         Call-ID              whoever is asked   the other one
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use crate::scan::{self, Params};
use crate::{DialogId, Text};

/// The value of a Replaces header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The dialog, as whoever receives the header knows it: the to-tag is its own.
    pub dialog: DialogId,
    /// Only a dialog that is not confirmed yet may be replaced.
    pub early_only: bool,
}

impl Replaces {
    /// Reads a value; `None` if it names no dialog.
    pub fn read(value: &Text) -> Option<Replaces> {
        let bytes = value.as_bytes();
        let call_id = scan::trim(scan::split_outside(bytes, b';').0);
        let tag = |name: &str| {
            let tag = scan::trim(Params::of(bytes).find(name)?);
            // A tag of 0 stands for none (RFC 3891 §6.1): the peers of RFC 2543 have none.
            let tag = if tag == b"0" { &[][..] } else { tag };
            Some(Text::from(std::str::from_utf8(tag).ok()?.to_owned()))
        };
        let (local_tag, remote_tag) = (tag("to-tag")?, tag("from-tag")?);
        if call_id.is_empty() || local_tag.is_empty() {
            return None;
        }
        Some(Replaces {
            dialog: DialogId {
                call_id: Text::from(std::str::from_utf8(call_id).ok()?.to_owned()),
                local_tag,
                remote_tag,
            },
            early_only: Params::of(bytes).find("early-only").is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String, String, bool)> {
        let replaces = Replaces::read(&Text::from(value))?;
        let DialogId {
            call_id,
            local_tag,
            remote_tag,
        } = replaces.dialog;
        let text = |text: Text| text.to_string();
        let early = replaces.early_only;
        Some((text(call_id), text(local_tag), text(remote_tag), early))
    }

    #[test]
    fn call_id_and_tags_are_read_in_any_order() {
        let of = |early| Some(("9@h".into(), "mine".into(), "its".into(), early));
        assert_eq!(read("9@h;to-tag=mine;from-tag=its"), of(false));
        assert_eq!(
            read(" 9@h ; from-tag=its;EARLY-ONLY; To-Tag = mine"),
            of(true)
        );
    }

    #[test]
    fn a_tag_of_zero_is_none_and_one_of_ours_there_has_to_be() {
        let none = read("9@h;to-tag=mine;from-tag=0").unwrap();
        assert_eq!(none.2, "");
        for bad in [
            "",
            "9@h",
            "9@h;to-tag=a",
            "9@h;from-tag=a",
            ";to-tag=a;from-tag=b",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read("9@h;to-tag=0;from-tag=b"), None);
    }
}
