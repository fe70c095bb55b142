//! Which domain our From may name: Meta compares it with the hostname its settings of the number have (Meta reference 3.1).

use std::fmt;

use crate::facts;

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
pub fn check(configured: &str, domain: &str) -> Result<(), DomainMismatch> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_from_domain_is_the_configured_host_or_above_it() {
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
}
