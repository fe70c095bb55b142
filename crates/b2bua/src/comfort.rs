//! What the people of a trunk hear of us while nobody speaks to them.

use sdp::plan::Sound;

/// How a trunk's calls are made bearable before, between and behind the talk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comfort {
    /// What the PBX that calls a user gets when the far side is slow to say that it rings.
    pub ringback: Ringback,
    /// Whether a user's call is answered before the PBX answers it.
    pub early_answer: EarlyAnswer,
    /// What a user on hold hears while the PBX plays nothing; `None`: silence.
    pub hold_music: Option<Sound>,
}

/// What a PBX that calls gets when the far side has our call and says nothing of ringing for 3 s.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ringback {
    /// Nothing.
    Off,
    /// 180: the PBX makes the tone.
    #[default]
    Ringing,
    /// 183 with SDP, and this tone in RTP.
    Tone(Sound),
}

/// When a user's call is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyAnswer {
    /// When the PBX answers.
    #[default]
    Never,
    /// When the PBX has early media: a 18x with SDP. The user hears it.
    EarlyMedia,
    /// At once, before the PBX is even called.
    AtOnce,
}

impl Ringback {
    /// The tone, where there is one.
    pub(crate) fn tone(&self) -> Option<&Sound> {
        match self {
            Ringback::Tone(sound) => Some(sound),
            Ringback::Off | Ringback::Ringing => None,
        }
    }
}
