//! How audio is spoken with a trunk: whether its packets are protected.

use b2bua::settings::{Srtp, TrunkMedia};
use toml::Spanned;

use super::Resolver;
use crate::config::file;

impl Resolver<'_, '_> {
    pub(super) fn trunk_media(&mut self, written: &file::Trunk) -> TrunkMedia {
        TrunkMedia {
            srtp: self.srtp(&written.srtp),
            suites: self.suites("trunk.suites", &written.suites),
        }
    }

    fn srtp(&mut self, written: &Spanned<String>) -> Srtp {
        match written.get_ref().as_str() {
            "off" => Srtp::Off,
            "allowed" => Srtp::Allowed,
            "required" => Srtp::Required,
            other => {
                self.object(
                    written.span(),
                    "trunk.srtp",
                    format!("`{other}` says nothing about SRTP"),
                    "write \"off\", \"allowed\" or \"required\"",
                );
                Srtp::Off
            }
        }
    }
}
