//! Session descriptions as they are kept: a call is talked through far longer than it is agreed on, and a description takes half
//! a kilobyte printed and five times as much in parts.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use sdp::Description;

/// What we said last.
pub(crate) enum Ours {
    /// An offer: it is composed of what the stream knows, whenever it is wanted.
    Offer,
    /// An answer, printed. What it answered is not kept.
    Answer(Box<[u8]>),
}

impl fmt::Debug for Ours {
    // Keys stand in an answer; a description knows how to hide them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ours::Offer => f.write_str("Offer"),
            Ours::Answer(printed) => fmt::Debug::fmt(&Description::parse(printed), f),
        }
    }
}

/// What the peer said last.
#[derive(Debug)]
pub(crate) enum Theirs {
    /// In parts, while the call is being agreed on.
    Fresh(Box<Description>),
    /// Its digest: all that is asked of it in mid-call is whether the peer says the same again.
    AtRest(u64),
}

impl Theirs {
    /// From now on it is only compared with.
    pub(crate) fn rest(&mut self) {
        *self = Theirs::AtRest(self.digest());
    }

    /// The description itself, as long as the call is being agreed on.
    pub(crate) fn description(&self) -> Option<&Description> {
        match self {
            Theirs::Fresh(description) => Some(description),
            Theirs::AtRest(_) => None,
        }
    }

    /// Whether it says the same. A peer that finds two descriptions of one digest is answered as if it had changed nothing.
    pub(crate) fn is(&self, other: &Description) -> bool {
        self.digest() == digest(other)
    }

    fn digest(&self) -> u64 {
        match self {
            Theirs::Fresh(description) => digest(description),
            Theirs::AtRest(digest) => *digest,
        }
    }
}

impl From<Description> for Theirs {
    fn from(description: Description) -> Theirs {
        Theirs::Fresh(Box::new(description))
    }
}

fn digest(description: &Description) -> u64 {
    let mut hasher = DefaultHasher::new();
    description.to_bytes().hash(&mut hasher);
    hasher.finish()
}

/// An answer of ours, printed.
impl From<&Bytes> for Ours {
    fn from(printed: &Bytes) -> Ours {
        Ours::Answer(printed.as_ref().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYED: &str = "v=0\nm=audio 4000 RTP/SAVP 8\nc=IN IP4 10.0.0.20\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml\n";

    fn read(text: &str) -> Description {
        Description::parse(text.as_bytes()).expect("a good description")
    }

    #[test]
    fn at_rest_it_knows_whether_the_same_is_said_again() {
        let samples = [
            include_str!("../../../sim/samples/sip-bic-sdes-answer.sdp"),
            "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n",
            KEYED,
        ];
        for (at, sample) in samples.into_iter().enumerate() {
            let mut said = Theirs::from(read(sample));
            assert!(said.description().is_some());
            for _ in 0..2 {
                for (other, text) in samples.into_iter().enumerate() {
                    assert_eq!(said.is(&read(text)), at == other);
                }
                assert!(!said.is(&read(&sample.replace("m=audio ", "m=audio 1"))));
                said.rest();
            }
            assert!(said.description().is_none());
        }
    }

    #[test]
    fn no_key_is_shown() {
        let ours = Ours::from(&Bytes::from_static(KEYED.as_bytes()));
        for shown in [
            format!("{ours:?}"),
            format!("{:?}", Theirs::from(read(KEYED))),
        ] {
            assert!(shown.contains("AES_CM_128_HMAC_SHA1_80"), "{shown}");
            assert!(!shown.contains("xfQq6S962xk1"), "{shown}");
        }
    }
}
