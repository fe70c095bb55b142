//! Privacy: what a caller does not want to be known (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10).
//!
//! | wish | towards a PBX | towards the carrier |
//! |---|---|---|
//! | `id` | From is anonymous; P-Asserted-Identity only where the trunk is trusted with it | no identity of the PBX ever leaves |
//! | `user` | From is anonymous | cannot be: the business number is who calls |
//! | `header` | Via, Contact and Record-Route are ours, and the Contact names nobody | they are ours |
//! | `session` | the SDP is ours | the SDP is ours |
//! | `history` | no History-Info passes | no History-Info passes |
//! | `none` | nothing is hidden | nothing is hidden |
//!
//! What cannot be had is done without; with `critical` among the wishes the call is refused instead
//! (500, RFC 3323 §5).

use sip::{Headers, Name};

/// What a caller does not want to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privacy {
    id: bool,
    user: bool,
    header: bool,
    /// Rather no call than one without all that.
    critical: bool,
    /// Something we have never heard of.
    unknown: bool,
}

impl Privacy {
    /// The wishes in these headers.
    pub(crate) fn of(headers: &Headers) -> Privacy {
        let mut privacy = Privacy::default();
        let mut none = false;
        for value in headers.all(&Name::Privacy) {
            let value = value.as_str().to_ascii_lowercase();
            // RFC 3323 separates by semicolons; some write commas.
            for wish in value.split([';', ',']).map(str::trim) {
                match wish {
                    "id" => privacy.id = true,
                    "user" => privacy.user = true,
                    "header" => privacy.header = true,
                    "critical" => privacy.critical = true,
                    "none" => none = true,
                    "session" | "history" | "" => {}
                    _ => privacy.unknown = true,
                }
            }
        }
        match none {
            // RFC 3323 §4.2: it overrides whatever else anybody would add.
            true => Privacy::default(),
            false => privacy,
        }
    }

    /// From may not name the caller.
    pub(crate) fn hides_caller(&self) -> bool {
        self.id || self.user || self.header
    }

    /// Contact may not either.
    pub(crate) fn hides_contact(&self) -> bool {
        self.user || self.header
    }

    /// Whether the call is to be refused because somebody would learn what nobody may. `names_caller`:
    /// the called side is told who calls, whatever the caller wants.
    pub(crate) fn is_out_of_reach(&self, names_caller: bool) -> bool {
        self.critical && (self.unknown || self.user && names_caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishing(value: &str) -> Privacy {
        let mut headers = Headers::new();
        headers.push(Name::Privacy, value.to_owned());
        Privacy::of(&headers)
    }

    #[test]
    fn what_is_hidden_follows_from_the_wishes() {
        for (wishes, caller, contact) in [
            ("id", true, false),
            ("user", true, true),
            ("Header", true, true),
            ("id;critical", true, false),
            ("session", false, false),
            ("history;session", false, false),
            ("none", false, false),
            ("none;id", false, false),
            ("", false, false),
        ] {
            let privacy = wishing(wishes);
            assert_eq!(
                (privacy.hides_caller(), privacy.hides_contact()),
                (caller, contact),
                "{wishes}"
            );
        }
    }

    #[test]
    fn only_what_is_critical_and_cannot_be_had_is_out_of_reach() {
        for (wishes, to_pbx, to_carrier) in [
            ("id;critical", false, false),
            ("header;session;critical", false, false),
            ("user;critical", false, true),
            ("user", false, false),
            ("critical;teleport", true, true),
            ("teleport", false, false),
        ] {
            let privacy = wishing(wishes);
            assert_eq!(privacy.is_out_of_reach(false), to_pbx, "{wishes}");
            assert_eq!(privacy.is_out_of_reach(true), to_carrier, "{wishes}");
        }
    }
}
