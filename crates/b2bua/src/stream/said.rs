//! A session description as it is kept: in parts while a call is being agreed on, printed while it is being talked through. In
//! parts it takes five times the memory, and a call is talked through far longer than it is agreed on.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use sdp::Description;

/// What was said about a stream.
pub(crate) enum Said {
    /// In parts.
    Fresh(Box<Description>),
    /// Printed.
    AtRest(Box<[u8]>),
}

impl Said {
    /// From now on it is rarely needed.
    pub(crate) fn rest(&mut self) {
        if let Said::Fresh(description) = self {
            *self = Said::AtRest(description.to_bytes().into());
        }
    }

    /// The description itself. Whatever could be read can be read again as it is printed: `None` would be a bug.
    pub(crate) fn read(&self) -> Option<Cow<'_, Description>> {
        match self {
            Said::Fresh(description) => Some(Cow::Borrowed(description)),
            Said::AtRest(printed) => Description::parse(printed).ok().map(Cow::Owned),
        }
    }

    /// Whether it says the same.
    pub(crate) fn is(&self, other: &Description) -> bool {
        match self {
            Said::Fresh(description) => **description == *other,
            Said::AtRest(printed) => **printed == *other.to_bytes(),
        }
    }

    /// As it goes out.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Said::Fresh(description) => Bytes::from(description.to_bytes()),
            Said::AtRest(printed) => Bytes::copy_from_slice(printed),
        }
    }
}

impl From<Description> for Said {
    fn from(description: Description) -> Said {
        Said::Fresh(Box::new(description))
    }
}

impl fmt::Debug for Said {
    // Keys stand in it; a description knows how to hide them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.read(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_rest_it_is_the_same_and_hides_the_same() {
        let samples: [&[u8]; 3] = [
            include_bytes!("../../../sim/samples/sip-bic-sdes-answer.sdp"),
            b"v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\n\
              m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n",
            b"v=0\nm=audio 4000 RTP/SAVP 8\nc=IN IP4 10.0.0.20\n\
              a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml\n",
        ];
        for sample in samples {
            let description = Description::parse(sample).expect("a good description");
            let mut said = Said::from(description.clone());
            let (shown, sent) = (format!("{said:?}"), said.to_bytes());
            said.rest();
            assert!(matches!(said, Said::AtRest(_)));
            let read = said.read().expect("what was printed can be read");
            assert_eq!(read.to_bytes(), description.to_bytes());
            assert!(said.is(&description));
            assert_eq!(said.to_bytes(), sent);
            assert_eq!(format!("{said:?}"), shown);
            assert!(!shown.contains("xfQq6S962xk1"), "{shown}");
        }
    }
}
