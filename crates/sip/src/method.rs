//! Method names (RFC 3261 §7.1 and its extensions); case-sensitive.

use std::borrow::Cow;
use std::fmt;

use crate::Text;

/// The method of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names are the RFCs' own
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token, spelled as it came.
    Other(Text),
}

impl Method {
    /// The name on the wire, lossy for a method that is not UTF-8 (which no parsed message has).
    pub fn as_str(&self) -> Cow<'_, str> {
        match self.known() {
            Some(name) => Cow::Borrowed(name),
            None => match self {
                Method::Other(text) => text.as_str(),
                _ => Cow::Borrowed(""),
            },
        }
    }

    /// The name on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Method::Other(text) => text.as_bytes(),
            known => known.known().unwrap_or_default().as_bytes(),
        }
    }

    /// Reads a method name that stands in a message.
    pub(crate) fn read(text: Text) -> Method {
        Method::from_known(text.as_bytes()).unwrap_or(Method::Other(text))
    }

    fn from_known(name: &[u8]) -> Option<Method> {
        Some(match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"NOTIFY" => Method::Notify,
            b"SUBSCRIBE" => Method::Subscribe,
            b"MESSAGE" => Method::Message,
            b"PUBLISH" => Method::Publish,
            _ => return None,
        })
    }

    fn known(&self) -> Option<&'static str> {
        Some(match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Notify => "NOTIFY",
            Method::Subscribe => "SUBSCRIBE",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Other(_) => return None,
        })
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Method {
        Method::from_known(name.as_bytes()).unwrap_or_else(|| Method::Other(Text::from(name)))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_back_as_itself() {
        for name in [
            "INVITE",
            "ACK",
            "BYE",
            "CANCEL",
            "OPTIONS",
            "REGISTER",
            "PRACK",
            "UPDATE",
            "INFO",
            "REFER",
            "NOTIFY",
            "SUBSCRIBE",
            "MESSAGE",
            "PUBLISH",
        ] {
            let method = Method::from(name);
            assert!(!matches!(method, Method::Other(_)), "{name}");
            assert_eq!(method.as_str(), name);
        }
    }

    #[test]
    fn method_names_are_case_sensitive() {
        assert_eq!(Method::from("invite"), Method::Other(Text::from("invite")));
    }
}
