//! `[media] meta_port`: which ports Meta sends to.

use super::settings::MediaSettings;
use crate::media::PortRange;

/// Which of our ports Meta's media comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaPort {
    /// Every call has a pair of its own.
    #[default]
    PerCall,
    /// All calls of a media thread share one pair: the first pairs of `[media] ports`.
    Single,
}

impl MetaPort {
    /// As it is written; `None`: it is not.
    pub(super) fn read(written: &str) -> Option<MetaPort> {
        match written {
            "per-call" => Some(MetaPort::PerCall),
            "single" => Some(MetaPort::Single),
            _ => None,
        }
    }
}

impl MediaSettings {
    /// The pairs all calls share towards Meta, one for each thread, and the range calls lease from.
    pub fn divided(&self) -> (Vec<u16>, PortRange) {
        match self.meta_port {
            MetaPort::PerCall => (Vec::new(), self.ports),
            // Settings with fewer pairs than that are refused before.
            MetaPort::Single => self
                .ports
                .set_aside(self.threads)
                .unwrap_or((Vec::new(), self.ports)),
        }
    }
}
