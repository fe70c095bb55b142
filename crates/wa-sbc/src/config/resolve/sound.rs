//! How audio is spoken with a trunk: whether its packets are protected, and smoothed.

use b2bua::settings::{Srtp, TrunkMedia};
use sdp::plan::{Gain, Smoothing};
use toml::Spanned;

use super::Resolver;
use crate::config::file;

impl Resolver<'_, '_> {
    pub(super) fn trunk_media(&mut self, written: &file::Trunk) -> TrunkMedia {
        TrunkMedia {
            srtp: self.srtp(&written.srtp),
            suites: self.suites("trunk.suites", &written.suites),
            smoothing: self.smoothing(&written.jitter_buffer, written.jitter_buffer_least),
            gain: Gain {
                heard: self.gain("trunk.gain_to_meta", &written.gain_to_meta),
                said: self.gain("trunk.gain_to_pbx", &written.gain_to_pbx),
            },
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

    fn gain(&mut self, key: &str, written: &Spanned<i64>) -> i8 {
        let (decibels, most) = (*written.get_ref(), Gain::MOST);
        let within = i8::try_from(decibels)
            .ok()
            .filter(|gain| gain.abs() <= most);
        within.unwrap_or_else(|| {
            self.object(
                written.span(),
                key,
                format!("{decibels} dB is not from -{most} to {most}"),
                "write 6 for twice as loud, -6 for half, 0 for as it comes",
            );
            0
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
