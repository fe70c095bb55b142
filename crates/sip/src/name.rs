//! Header names: known ones as values, unknown ones as text, compact forms mapped on reading.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::Text;

macro_rules! names {
    ($($variant:ident $long:literal $lower:literal $(| $compact:literal)?,)*) => {
        /// A header name; equality and hashing ignore case (RFC 3261 §7.3.1).
        ///
        /// The compact forms of RFC 3261 §7.3.3 and its extensions read as the long name.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)] // the names are the RFCs' own
        pub enum Name {
            $($variant,)*
            /// Any other name, spelled as it came.
            Other(Text),
        }

        impl Name {
            fn from_lower(lower: &[u8]) -> Option<Name> {
                match lower {
                    $($lower $(| $compact)? => Some(Name::$variant),)*
                    _ => None,
                }
            }

            fn known(&self) -> Option<&'static str> {
                match self {
                    $(Name::$variant => Some($long),)*
                    Name::Other(_) => None,
                }
            }

            /// Every name known by value.
            #[cfg(test)]
            const KNOWN: &[Name] = &[$(Name::$variant,)*];
        }
    };
}

names! {
    Via "Via" b"via" | b"v",
    RecordRoute "Record-Route" b"record-route",
    Route "Route" b"route",
    From "From" b"from" | b"f",
    To "To" b"to" | b"t",
    CallId "Call-ID" b"call-id" | b"i",
    CSeq "CSeq" b"cseq",
    Contact "Contact" b"contact" | b"m",
    MaxForwards "Max-Forwards" b"max-forwards",
    ContentType "Content-Type" b"content-type" | b"c",
    ContentLength "Content-Length" b"content-length" | b"l",
    ContentEncoding "Content-Encoding" b"content-encoding" | b"e",
    ContentDisposition "Content-Disposition" b"content-disposition",
    Accept "Accept" b"accept",
    AcceptEncoding "Accept-Encoding" b"accept-encoding",
    AcceptLanguage "Accept-Language" b"accept-language",
    AlertInfo "Alert-Info" b"alert-info",
    CallInfo "Call-Info" b"call-info",
    Allow "Allow" b"allow",
    AllowEvents "Allow-Events" b"allow-events" | b"u",
    Supported "Supported" b"supported" | b"k",
    Unsupported "Unsupported" b"unsupported",
    Require "Require" b"require",
    ProxyRequire "Proxy-Require" b"proxy-require",
    UserAgent "User-Agent" b"user-agent",
    Server "Server" b"server",
    Subject "Subject" b"subject" | b"s",
    Organization "Organization" b"organization",
    Priority "Priority" b"priority",
    Date "Date" b"date",
    Timestamp "Timestamp" b"timestamp",
    Expires "Expires" b"expires",
    MinExpires "Min-Expires" b"min-expires",
    Warning "Warning" b"warning",
    Reason "Reason" b"reason",
    RetryAfter "Retry-After" b"retry-after",
    ProxyAuthenticate "Proxy-Authenticate" b"proxy-authenticate",
    ProxyAuthorization "Proxy-Authorization" b"proxy-authorization",
    WwwAuthenticate "WWW-Authenticate" b"www-authenticate",
    Authorization "Authorization" b"authorization",
    AuthenticationInfo "Authentication-Info" b"authentication-info",
    PAssertedIdentity "P-Asserted-Identity" b"p-asserted-identity",
    PPreferredIdentity "P-Preferred-Identity" b"p-preferred-identity",
    RemotePartyId "Remote-Party-ID" b"remote-party-id",
    Privacy "Privacy" b"privacy",
    Diversion "Diversion" b"diversion",
    HistoryInfo "History-Info" b"history-info",
    SessionExpires "Session-Expires" b"session-expires" | b"x",
    MinSe "Min-SE" b"min-se",
    RSeq "RSeq" b"rseq",
    RAck "RAck" b"rack",
    ReferTo "Refer-To" b"refer-to" | b"r",
    ReferredBy "Referred-By" b"referred-by" | b"b",
    Replaces "Replaces" b"replaces",
    Event "Event" b"event" | b"o",
    SubscriptionState "Subscription-State" b"subscription-state",
    Path "Path" b"path",
    ServiceRoute "Service-Route" b"service-route",
    InReplyTo "In-Reply-To" b"in-reply-to",
    ReplyTo "Reply-To" b"reply-to",
    MimeVersion "MIME-Version" b"mime-version",
}

/// Longer names are never known ones.
const LONGEST: usize = 24;

impl Name {
    /// The known name with these letters, in any case or compact.
    pub(crate) fn find(name: &[u8]) -> Option<Name> {
        let mut lower = [0u8; LONGEST];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Name::from_lower(lower)
    }

    /// The name as we print it: the RFC's spelling, or the stranger's own.
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Name::Other(text) => text.as_str(),
            known => Cow::Borrowed(known.known().unwrap_or_default()),
        }
    }

    /// The name as we print it.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Name::Other(text) => text.as_bytes(),
            known => known.known().unwrap_or_default().as_bytes(),
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Other(a), Name::Other(b)) => a.eq_ignore_case(b),
            (Name::Other(_), _) | (_, Name::Other(_)) => false,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.as_bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Name {
        Name::find(name.as_bytes()).unwrap_or_else(|| Name::Other(Text::from(name)))
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Name {
        name.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_in_any_case() {
        for name in Name::KNOWN {
            let long = name.as_str();
            assert!(long.len() <= LONGEST, "{long}");
            assert_eq!(&Name::from(&*long), name);
            assert_eq!(&Name::from(&*long.to_uppercase()), name);
            assert!(
                !matches!(Name::from(&*long.to_lowercase()), Name::Other(_)),
                "{long}"
            );
        }
    }

    #[test]
    fn compact_forms_read_as_the_long_name() {
        for (compact, long) in [
            ("v", "Via"),
            ("f", "From"),
            ("t", "To"),
            ("i", "Call-ID"),
            ("m", "Contact"),
            ("c", "Content-Type"),
            ("l", "Content-Length"),
            ("k", "Supported"),
            ("x", "Session-Expires"),
            ("r", "Refer-To"),
            ("b", "Referred-By"),
            ("o", "Event"),
            ("u", "Allow-Events"),
            ("e", "Content-Encoding"),
            ("s", "Subject"),
            ("V", "Via"),
        ] {
            assert_eq!(Name::from(compact), Name::from(long), "{compact}");
            assert_eq!(Name::from(compact).as_str(), long);
        }
    }

    #[test]
    fn unknown_names_compare_without_case_and_keep_their_spelling() {
        let a = Name::from("X-Wa-Thing");
        assert_eq!(a, Name::from("x-wa-thing"));
        assert_ne!(a, Name::from("x-wa-things"));
        assert_eq!(a.as_str(), "X-Wa-Thing");
    }
}
