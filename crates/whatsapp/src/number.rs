//! Numbers, users without numbers, and the addresses of a call to a user (Meta reference 3).
//!
//! ```text
//!                 From                  Request-URI = digest uri            To
//! +1214… @ ours   sip:+1214…@ours       sip:+1219…@wa.meta.vc;transport=tls  sip:+1219…@wa.meta.vc
//!                 digest user name: 1214…
//! ```

use std::fmt;

use b2bua::{E164, Redacted};

use crate::facts;

/// A WhatsApp user, as URIs name him: by number, or by a business-scoped id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum User {
    /// The user's number.
    Number(E164),
    /// The id of a user who hides his number.
    Scoped(Bsuid),
}

impl User {
    /// Reads the user part of a URI, with or without `+`, user parameters (`;…`) ignored.
    /// `None` when it is neither a number nor a BSUID.
    pub fn parse(user_part: &str) -> Option<User> {
        let base = user_base(user_part);
        Bsuid::parse(base)
            .map(User::Scoped)
            .or_else(|| E164::parse(base).map(User::Number))
    }

    /// The user part of a URI towards Meta. Whether a number carries `+` is a switch per trunk
    /// (Meta reference 3.3); a BSUID never does.
    pub fn uri_user(&self, plus: bool) -> String {
        match self {
            User::Number(number) if plus => number.plus(),
            User::Number(number) => number.digits().to_owned(),
            User::Scoped(id) => id.as_str().to_owned(),
        }
    }
}

/// A business-scoped user id: two letters of a country, a dot, letters and digits (Meta reference 1).
///
/// Printed redacted, like a number: it identifies a person.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bsuid(String);

impl Bsuid {
    /// Reads an id. Its spelling is kept: it is compared exactly.
    pub fn parse(text: &str) -> Option<Bsuid> {
        let (country, id) = text.split_once('.')?;
        let valid = country.len() == facts::BSUID_COUNTRY_LETTERS
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && (1..=facts::BSUID_LONGEST).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        valid.then(|| Bsuid(text.to_owned()))
    }

    /// The id as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's country, ISO 3166 alpha-2.
    pub fn country(&self) -> &str {
        self.0.split_once('.').map_or("", |(country, _)| country)
    }
}

impl fmt::Debug for Bsuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Redacted(&self.0))
    }
}

/// The number Meta calls in a Request-URI: its user part up to the first `;`, behind which the
/// configured user parameters stand (Meta reference 3.2, RFC 4904).
pub fn business_number(user_part: &str) -> Option<E164> {
    E164::parse(user_base(user_part))
}

/// The addresses of a call to a user, made from one value so that they cannot contradict each
/// other: Meta compares Request-URI, To and digest uri (Meta reference 4.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The Request-URI, and byte for byte the `uri` of our digest answer.
    pub request_uri: String,
    /// The URI in To: same user and host, no parameters.
    pub to: String,
    /// The URI in From.
    pub from: String,
    /// The digest user name: the digits of the business number.
    pub username: String,
}

impl Addresses {
    /// The addresses of a call from `number`, whose From names the host `domain`, to `user`.
    /// `plus` puts `+` before the digits in URIs, never in the user name.
    pub fn of_call(number: &E164, domain: &str, user: &User, plus: bool) -> Addresses {
        let to = format!("sip:{}@{}", user.uri_user(plus), facts::DOMAIN);
        let business = User::Number(number.clone());
        Addresses {
            request_uri: format!("{to};transport={}", facts::TRANSPORT),
            to,
            from: format!("sip:{}@{domain}", business.uri_user(plus)),
            username: business.uri_user(facts::USERNAME_HAS_PLUS),
        }
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addresses {
            request_uri,
            to,
            from,
            username,
        } = self;
        f.debug_struct("Addresses")
            .field("request_uri", &Redacted(request_uri).to_string())
            .field("to", &Redacted(to).to_string())
            .field("from", &Redacted(from).to_string())
            .field("username", &Redacted(username).to_string())
            .finish()
    }
}

/// Why Meta would refuse the host of our From (403, Meta reference 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainMismatch {
    /// It is an IP address.
    IpAddress,
    /// It is Meta's own domain.
    Metas,
    /// The configured hostname is neither equal to it nor a sub-domain of it.
    Unrelated,
}

impl fmt::Display for DomainMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DomainMismatch::IpAddress => "an IP address is no domain Meta accepts in From",
            DomainMismatch::Metas => "the domain in From must be ours, not Meta's",
            DomainMismatch::Unrelated => {
                "the configured hostname must be equal to the domain in From or below it"
            }
        })
    }
}

impl std::error::Error for DomainMismatch {}

/// Checks the host of our From against the hostname configured at Meta for the number
/// (Meta reference 3.1). Case does not matter.
///
/// # Errors
///
/// [`DomainMismatch`] for what Meta answers with 403.
pub fn check_domain(configured: &str, domain: &str) -> Result<(), DomainMismatch> {
    let fold = |host: &str| host.trim_end_matches('.').to_ascii_lowercase();
    let (configured, domain) = (fold(configured), fold(domain));
    if domain
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok()
    {
        return Err(DomainMismatch::IpAddress);
    }
    if domain == facts::DOMAIN {
        return Err(DomainMismatch::Metas);
    }
    let below = configured
        .strip_suffix(&domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match below && !domain.is_empty() {
        true => Ok(()),
        false => Err(DomainMismatch::Unrelated),
    }
}

/// The user part without its parameters.
fn user_base(user_part: &str) -> &str {
    user_part
        .split_once(';')
        .map_or(user_part, |(base, _)| base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> E164 {
        E164::parse(text).expect("a number")
    }

    #[test]
    fn a_user_is_a_number_or_a_scoped_id() {
        assert_eq!(
            User::parse("+12195550714"),
            Some(User::Number(number("12195550714")))
        );
        assert_eq!(
            User::parse("12195550714;ob=1"),
            Some(User::Number(number("12195550714")))
        );
        let scoped = User::parse("US.13491208655302741918").expect("a user");
        assert_eq!(scoped.uri_user(true), "US.13491208655302741918");
        let User::Scoped(id) = scoped else {
            panic!("not a scoped id")
        };
        assert_eq!(id.country(), "US");
    }

    #[test]
    fn what_is_neither_is_no_user() {
        let long = format!("US.{}", "1".repeat(129));
        for text in [
            "",
            "anonymous",
            "us.1349",
            "USA.1349",
            "U1.1349",
            "US.",
            "US.13 49",
            "US.a@b",
            &long,
        ] {
            assert_eq!(User::parse(text), None, "{text}");
        }
        let longest = format!("BR.{}", "a".repeat(128));
        assert!(User::parse(&longest).is_some());
    }

    #[test]
    fn the_called_number_ends_at_the_first_semicolon() {
        let called = "+1234567890;tgrp=wacall;trunk-context=byoc.example.com";
        assert_eq!(business_number(called), Some(number("+1234567890")));
        assert_eq!(business_number("+12145551869"), Some(number("12145551869")));
        assert_eq!(business_number("alice"), None);
    }

    #[test]
    fn request_uri_to_and_digest_uri_name_the_same_user() {
        let user = User::parse("12195550714").expect("a user");
        let call = Addresses::of_call(&number("12145551869"), "meta-voip.example.com", &user, true);
        assert_eq!(
            call.request_uri,
            "sip:+12195550714@wa.meta.vc;transport=tls"
        );
        assert_eq!(call.to, "sip:+12195550714@wa.meta.vc");
        assert_eq!(call.from, "sip:+12145551869@meta-voip.example.com");
        assert_eq!(call.username, "12145551869");
    }

    #[test]
    fn the_plus_can_be_switched_off_and_a_scoped_id_never_has_one() {
        let business = number("12145551869");
        let user = User::parse("+12195550714").expect("a user");
        let call = Addresses::of_call(&business, "sip.example.com", &user, false);
        assert_eq!(call.request_uri, "sip:12195550714@wa.meta.vc;transport=tls");
        assert_eq!(call.from, "sip:12145551869@sip.example.com");
        let scoped = User::parse("US.13491208655302741918").expect("a user");
        let call = Addresses::of_call(&business, "sip.example.com", &scoped, true);
        assert_eq!(call.to, "sip:US.13491208655302741918@wa.meta.vc");
    }

    #[test]
    fn the_from_domain_is_the_configured_host_or_above_it() {
        let check = |configured, domain| check_domain(configured, domain);
        assert_eq!(check("sip.example.com", "sip.example.com"), Ok(()));
        assert_eq!(check("SIP.Example.com.", "sip.example.COM"), Ok(()));
        assert_eq!(check("bar.foo.com", "foo.com"), Ok(()));
        assert_eq!(
            check("foo.com", "bar.foo.com"),
            Err(DomainMismatch::Unrelated)
        );
        assert_eq!(
            check("barfoo.com", "foo.com"),
            Err(DomainMismatch::Unrelated)
        );
        assert_eq!(check("sip.example.com", ""), Err(DomainMismatch::Unrelated));
        assert_eq!(
            check("sip.example.com", "wa.meta.vc"),
            Err(DomainMismatch::Metas)
        );
        assert_eq!(
            check("sip.example.com", "192.0.2.1"),
            Err(DomainMismatch::IpAddress)
        );
        assert_eq!(
            check("sip.example.com", "[2001:db8::1]"),
            Err(DomainMismatch::IpAddress)
        );
    }

    #[test]
    fn nobody_is_printed_whole() {
        let user = User::parse("+12195550714").expect("a user");
        let scoped = User::parse("US.13491208655302741918").expect("a user");
        let call = Addresses::of_call(&number("12145551869"), "sip.example.com", &user, true);
        let shown = format!("{user:?} {scoped:?} {call:?}");
        for person in [
            "12195550714",
            "2195550714",
            "13491208655302741918",
            "12145551869",
        ] {
            assert!(!shown.contains(person), "{shown}");
        }
    }
}
