//! # sim: the other side of a call
//!
//! A strict Meta ([`meta`]) and a PBX ([`pbx`]), both values that take messages, packets and the
//! time ([`peer::Peer`]). They run in virtual time and on real sockets; what they see they tell as
//! [`report::Report`].
//!
//! | does | does not |
//! |------|----------|
//! | Meta's answers, texts, spelling and strictness (Meta reference, 15) | WebRTC media, Graph API |
//! | digest, routes, SDP and media rules by code of its own | trust the code it judges |
//! | whole calls in virtual time: core, peers, media, links ([`World`]) | real clocks in there |
//! | speech: tones, digits, silence, and a verdict on what was heard | echo, speech quality |

mod alarm;
pub mod cli;
mod dice;
pub mod ladder;
pub mod meta;
pub mod net;
pub mod pbx;
pub mod peer;
pub mod report;
mod run;
pub mod scene;
pub mod voice;
pub mod world;

pub use dice::Dice;
pub use meta::MetaPeer;
pub use pbx::PbxPeer;
pub use run::{run_meta, run_pbx};
pub use world::World;
