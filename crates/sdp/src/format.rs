//! Codecs and payload formats (RFC 3551, RFC 7587, RFC 4733).

/// What a payload can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Opus, RFC 7587: `opus/48000/2`, always, whatever the audio bandwidth.
    Opus,
    /// G.711 A-law, RFC 3551: `PCMA/8000`, static payload type 8.
    Pcma,
    /// G.711 µ-law, RFC 3551: `PCMU/8000`, static payload type 0.
    Pcmu,
    /// Named telephone events, RFC 4733, at 8000 Hz (the only clock Meta accepts).
    TelephoneEvent,
}

impl Codec {
    /// The RTP clock rate in Hz: 48 000 for Opus, 8 000 for the others.
    pub const fn clock(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            Codec::Pcma | Codec::Pcmu | Codec::TelephoneEvent => 8_000,
        }
    }

    /// The encoding name as an `a=rtpmap` line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Opus => "opus",
            Codec::Pcma => "PCMA",
            Codec::Pcmu => "PCMU",
            Codec::TelephoneEvent => "telephone-event",
        }
    }

    /// Whether this is audio (a call needs one), as opposed to events beside it.
    pub const fn is_audio(self) -> bool {
        !matches!(self, Codec::TelephoneEvent)
    }
}

/// One payload format of an SDP: a payload type and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// RTP payload type, 0 to 127.
    pub pt: u8,
    /// What the payload holds.
    pub codec: Codec,
    /// The value of `a=fmtp` behind the payload type, where there is one.
    pub fmtp: Option<String>,
}
