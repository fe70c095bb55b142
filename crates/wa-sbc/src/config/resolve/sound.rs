//! How audio is spoken with a trunk: whether its packets are protected, and smoothed.

use b2bua::settings::{Srtp, TrunkMedia};
use sdp::plan::Smoothing;
use toml::Spanned;

use super::Resolver;
use crate::config::file;

impl Resolver<'_, '_> {
    pub(super) fn trunk_media(&mut self, written: &file::Trunk) -> TrunkMedia {
        TrunkMedia {
            srtp: self.srtp(&written.srtp),
            suites: self.suites("trunk.suites", &written.suites),
            smoothing: self.smoothing(&written.jitter_buffer, written.jitter_buffer_least),
        }
    }

    fn smoothing(&mut self, most: &Spanned<u64>, least: u64) -> Option<Smoothing> {
        let ms = *most.get_ref();
        if ms != 0 && !(least.max(20)..=500).contains(&ms) {
            self.object(
                most.span(),
                "trunk.jitter_buffer",
                format!("{ms} ms is not from jitter_buffer_least ({least}) to 500"),
                "write 200, or 0 for none",
            );
        }
        (ms != 0).then(|| Smoothing {
            least: u16::try_from(least).unwrap_or(u16::MAX),
            most: u16::try_from(ms).unwrap_or(u16::MAX),
        })
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
