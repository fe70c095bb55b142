//! What people hear of us on a trunk's calls: tones are made and files are read here, once.

use b2bua::comfort::{Comfort, EarlyAnswer, Ringback};
use media::source;
use sdp::plan::Sound;
use toml::Spanned;

use super::Resolver;
use crate::config::file;

/// The name of the melody that needs no file.
const MELODY: &str = "melody";

impl Resolver<'_, '_> {
    pub(super) fn comfort(&mut self, written: &file::Trunk) -> Comfort {
        Comfort {
            ringback: self.ringback(&written.ringback),
            early_answer: self.early_answer(&written.early_answer),
            hold_music: written
                .hold_music
                .as_ref()
                .and_then(|name| self.hold_music(name)),
        }
    }

    fn ringback(&mut self, written: &Spanned<String>) -> Ringback {
        match written.get_ref().as_str() {
            "off" => Ringback::Off,
            "180" => Ringback::Ringing,
            country => source::ringback(country).map_or_else(
                || {
                    self.object(
                        written.span(),
                        "trunk.ringback",
                        format!("`{country}` is no country whose tone we know"),
                        format!("write \"180\", \"off\", or one of: {}", source::COUNTRIES),
                    );
                    Ringback::default()
                },
                Ringback::Tone,
            ),
        }
    }

    fn early_answer(&mut self, written: &Spanned<String>) -> EarlyAnswer {
        match written.get_ref().as_str() {
            "never" => EarlyAnswer::Never,
            "early-media" => EarlyAnswer::EarlyMedia,
            "at-once" => EarlyAnswer::AtOnce,
            other => {
                self.object(
                    written.span(),
                    "trunk.early_answer",
                    format!("`{other}` is no moment to answer"),
                    "write \"never\", \"early-media\" or \"at-once\"",
                );
                EarlyAnswer::default()
            }
        }
    }

    fn hold_music(&mut self, written: &Spanned<String>) -> Option<Sound> {
        let name = written.get_ref();
        if name == MELODY {
            return Some(source::melody());
        }
        let read = std::fs::read(name).map_err(|error| error.to_string());
        match read.and_then(|bytes| source::wav(&bytes).map_err(|error| error.to_string())) {
            Ok(sound) => Some(sound),
            Err(problem) => {
                self.object(
                    written.span(),
                    "trunk.hold_music",
                    format!("{name}: {problem}"),
                    "write \"melody\", or the path of a WAV file: PCM of 16 bits, one channel, 8000 or 16000 Hz",
                );
                None
            }
        }
    }
}
