//! Replay: what the far sides of a capture said is said again to the same core, under the clock of the
//! capture; what the core answers now is compared with what it answered then.
//!
//! ```text
//!   capture ─► taken.rs ─► what came ─► echo.rs (names of then → names of now) ─► stage.rs: b2bua::Core
//!                     └──► what left then ─────────────── compared ◄── what leaves now ──┤   media::Session
//!                                                                                        └─► hear.rs
//! ```
//!
//! The core mints its tags, branches, Call-IDs and nonces anew, so the far sides' words are changed to
//! match; nothing else of them is. Where a digest answer was right, a right one is made.

mod echo;
mod guess;
mod hear;
mod outcome;
mod record;
mod scene;
mod stage;
mod taken;

pub(crate) mod command;

pub use outcome::Outcome;
pub use record::capture;
pub use scene::Scene;

use crate::pcap;

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is no capture.
    #[error(transparent)]
    Capture(#[from] pcap::ReadError),
    /// There is nothing in it for us.
    #[error(
        "no SIP between us and a peer in it: name our addresses with sbc = [\"…\"] in scene.toml, or --sbc"
    )]
    Nothing,
    /// The scene is no scene.
    #[error("scene.toml: {0}")]
    Scene(String),
}

/// The scene a live capture of ours says itself; `None`: the file is none of those.
pub fn told(file: &[u8]) -> Result<Option<Scene>, ReplayError> {
    Ok(guess::guess(&pcap::read(file)?))
}

/// Replays a capture.
pub fn replay(file: &[u8], scene: &Scene) -> Result<Outcome, ReplayError> {
    let taken = taken::read(&pcap::read(file)?, scene);
    if !taken.iter().any(taken::Taken::is_sip) {
        return Err(ReplayError::Nothing);
    }
    Ok(stage::play(&taken, scene))
}
