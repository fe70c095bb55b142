//! How sides want to be treated: the profile of a trunk's PBX, as its table says it, and what of Meta's is left to
//! the operator.

use std::collections::HashMap;
use std::time::Duration;

use b2bua::profile::{Digits, Nat, PBX, PeerProfile};
use b2bua::settings;
use sip::Transport;
use toml::Spanned;

use super::Resolver;
use crate::config::file;

/// Meta, with what the operator says of it.
pub(super) fn meta_profile(written: &file::Meta) -> PeerProfile {
    PeerProfile {
        inactivity: patience(written.inactivity),
        ..whatsapp::profile::META
    }
}

/// How long a leg may be silent; 0 seconds: for ever.
fn patience(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

impl Resolver<'_, '_> {
    /// An ordinary PBX, with what its trunk says of it.
    pub(super) fn trunk_profile(&mut self, written: &file::Trunk) -> PeerProfile {
        let mut profile = PBX;
        profile.inactivity = patience(written.inactivity);
        profile.extensions.session_timer = Some(self.session_policy(written));
        profile.extensions.transfer = self.transfer(&written.transfer);
        profile.nat = self.nat(&written.nat);
        profile.digits = self.digits(&written.dtmf);
        profile
    }

    /// Whether we carry out its REFER.
    fn transfer(&mut self, written: &Spanned<String>) -> bool {
        match written.get_ref().as_str() {
            "handle" => true,
            "refuse" => false,
            other => {
                self.object(
                    written.span(),
                    "trunk.transfer",
                    format!("`{other}` is nothing we could do with a REFER"),
                    "write \"handle\" or \"refuse\"",
                );
                true
            }
        }
    }

    /// How it is told that the user pressed a key.
    fn digits(&mut self, written: &Spanned<String>) -> Digits {
        match written.get_ref().as_str() {
            "rfc4733" => Digits::Events,
            "info" => Digits::Info,
            "inband" => Digits::Tones,
            other => {
                self.object(
                    written.span(),
                    "trunk.dtmf",
                    format!("`{other}` is no way to tell a digit"),
                    "write \"rfc4733\" for telephone events, \"info\" for INFO requests, or \"inband\" for tones in its audio",
                );
                PBX.digits
            }
        }
    }

    fn nat(&mut self, written: &Spanned<String>) -> Nat {
        match written.get_ref().as_str() {
            "auto" => Nat::Seen,
            "always" => Nat::Always,
            "never" => Nat::Never,
            other => {
                self.object(
                    written.span(),
                    "trunk.nat",
                    format!("`{other}` says nothing about where requests go"),
                    "write \"auto\", \"always\" or \"never\"",
                );
                PBX.nat
            }
        }
    }
}

/// How long the connections to each host of the trunks may be silent before they are pinged.
pub(super) fn keep_alives(
    trunks: &[settings::Trunk],
    written: &[Spanned<file::Trunk>],
) -> HashMap<String, Duration> {
    let mut all = HashMap::new();
    for (trunk, written) in trunks.iter().zip(written) {
        let seconds = written.get_ref().keep_alive;
        let streams = trunk
            .destinations()
            .filter(|target| target.transport != Transport::Udp && seconds > 0);
        for target in streams {
            let host = target.host.to_ascii_lowercase();
            let every = Duration::from_secs(seconds);
            // Of two trunks at one host, the more anxious one.
            let least = all
                .get(&host)
                .map_or(every, |other: &Duration| every.min(*other));
            all.insert(host, least);
        }
    }
    all
}
