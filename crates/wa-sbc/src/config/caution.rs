//! What works as it is written, but not as safely as it could.

use b2bua::settings::{Srtp, Trunk};
use sip::Transport;

use super::Settings;

impl Settings {
    /// What the operator should know though nothing is wrong with what he wrote, a sentence each.
    pub fn cautions(&self) -> Vec<String> {
        let trunks = self.core.trunks.iter();
        trunks.filter_map(|trunk| readable_keys(trunk)).collect()
    }
}

/// SRTP keys in SIP that is not encrypted (RFC 4568 §7.3: as secret as what carries them).
fn readable_keys(trunk: &Trunk) -> Option<String> {
    let transport = trunk.target.transport;
    (transport != Transport::Tls && trunk.media.srtp != Srtp::Off).then(|| {
        format!(
            "trunk \"{}\": its SRTP keys travel in SIP over {}, for everybody on the way to read; write transport=tls in its peer",
            trunk.name,
            transport.param().to_ascii_uppercase(),
        )
    })
}
