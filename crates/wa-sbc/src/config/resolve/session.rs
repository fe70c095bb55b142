//! Session timers of a trunk: `session_expires`, `min_session_expires` (RFC 4028).

use b2bua::profile::SessionPolicy;
use toml::Spanned;

use super::Resolver;
use crate::config::file;

/// The shortest interval RFC 4028 §5 allows, in seconds.
const LEAST: u32 = 90;
/// A day: longer sessions are no use to anybody.
const LONGEST: u32 = 86_400;

impl Resolver<'_, '_> {
    pub(super) fn session_policy(&mut self, written: &file::Trunk) -> SessionPolicy {
        let least = *written.min_session_expires.get_ref();
        let asked = *written.session_expires.get_ref();
        if !(LEAST..=LONGEST).contains(&least) {
            self.object_seconds(
                &written.min_session_expires,
                "trunk.min_session_expires",
                "it is 90 to 86400 seconds",
                "write 90 unless refreshes of the PBX are too many",
            );
        }
        if asked != 0 && !(least..=LONGEST).contains(&asked) {
            self.object_seconds(
                &written.session_expires,
                "trunk.session_expires",
                "it is 0, or min_session_expires to 86400 seconds",
                "write 1800, or 0 to leave it to the PBX",
            );
        }
        SessionPolicy {
            ask: (asked != 0).then_some(asked),
            least,
        }
    }

    fn object_seconds(&mut self, key: &Spanned<u32>, name: &str, problem: &str, remedy: &str) {
        self.object(key.span(), name, problem, remedy);
    }
}
