//! What is a trunk's before there is a call: the addresses it speaks from, the hosts it is called at, the
//! numbers it serves. With it a capture of a trunk has the calls that were refused at the door, and OPTIONS
//! and REGISTER.

use std::net::IpAddr;

use b2bua::settings::{Settings, Trunk};
use ipnet::IpNet;

use super::seen::Wanted;

/// What is a trunk's.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    networks: Vec<IpNet>,
    /// Networks of the other trunks.
    others: Vec<IpNet>,
    /// Hosts of Request-URIs.
    hosts: Vec<String>,
    /// Numbers whose calls may go to it; whether they go nowhere else.
    numbers: Vec<(Wanted, bool)>,
}

/// Whether a message is a trunk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    No,
    /// It may be another trunk's as well.
    Maybe,
    Surely,
}

impl Reach {
    /// What is the trunk's of this name; `None`: there is none.
    pub(crate) fn of(name: &str, settings: &Settings) -> Option<Reach> {
        let (mine, others): (Vec<_>, Vec<_>) = settings
            .trunks
            .iter()
            .partition(|trunk| &*trunk.name == name);
        let trunk = mine.first()?;
        let targets = trunk.destinations().chain(trunk.registrars());
        let mut hosts: Vec<String> = targets.map(|target| target.host.clone()).collect();
        hosts.push(trunk.domain.clone());
        hosts.extend(trunk.access.upstream.iter().map(|up| up.domain.clone()));
        let numbers = settings.numbers.iter().filter_map(|number| {
            let goes = || {
                number
                    .destinations()
                    .map(|to| Goes::of(to, trunk, settings))
            };
            let wanted = Wanted::of(&number.e164.plus());
            let sole = goes().all(|goes| goes == Goes::Always);
            goes()
                .any(|goes| goes != Goes::Never)
                .then_some((wanted, sole))
        });
        Some(Reach {
            networks: reached(trunk).collect(),
            others: others.iter().flat_map(|trunk| reached(trunk)).collect(),
            numbers: numbers.collect(),
            hosts,
        })
    }

    /// Whether it is from or for the trunk.
    pub(super) fn fits(&self, remote: Option<IpAddr>, message: &[u8]) -> Fit {
        let holds = |networks: &[IpNet]| {
            remote.is_some_and(|remote| networks.iter().any(|network| network.contains(&remote)))
        };
        match (holds(&self.networks), holds(&self.others)) {
            (true, false) => return Fit::Surely,
            (true, true) => return Fit::Maybe,
            (false, true) => return Fit::No,
            (false, false) => {}
        }
        if let Some(host) = host(message)
            && self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
        {
            return Fit::Maybe;
        }
        let numbers = self.numbers.iter();
        let named = numbers.filter(|(number, _)| number.is_in(message));
        let fits = named.map(|(_, sole)| if *sole { Fit::Surely } else { Fit::Maybe });
        fits.max().unwrap_or(Fit::No)
    }
}

/// How calls for a trunk or group come to one trunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    Never,
    Sometimes,
    Always,
}

impl Goes {
    fn of(destination: &str, trunk: &Trunk, settings: &Settings) -> Goes {
        if destination == &*trunk.name {
            return match trunk.policy.hours.is_some() && trunk.policy.outside.is_some() {
                true => Goes::Sometimes,
                false => Goes::Always,
            };
        }
        let hands_on = |other: &str| {
            let mut all = settings.trunks.iter();
            let other = all.find(|known| &*known.name == other);
            other.is_some_and(|other| other.policy.outside.as_ref() == Some(&trunk.name))
        };
        let group = settings
            .groups
            .iter()
            .find(|group| &*group.name == destination);
        let member = group.is_some_and(|group| {
            let mut members = group.members.iter();
            members.any(|member| member.trunk == trunk.name || hands_on(&member.trunk))
        });
        match member || hands_on(destination) {
            true => Goes::Sometimes,
            false => Goes::Never,
        }
    }
}

/// Where a trunk speaks from: its networks, and the addresses it is called at where they are numbers.
pub(crate) fn reached(trunk: &Trunk) -> impl Iterator<Item = IpNet> + '_ {
    let hosts = trunk.destinations().chain(trunk.registrars());
    let numbers = hosts.filter_map(|target| target.host.trim_matches(['[', ']']).parse().ok());
    let numbers = numbers.map(|address: IpAddr| IpNet::from(address));
    trunk.networks.iter().copied().chain(numbers)
}

/// The host of a request's URI.
fn host(message: &[u8]) -> Option<&str> {
    let line = message.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let uri = line.strip_suffix(" SIP/2.0")?.split(' ').nth(1)?;
    let (_, rest) = uri.split_once(':')?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match host.starts_with('[') {
        true => host.split_inclusive(']').next(),
        false => host.split([':', ';', '?']).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_is_found_in_every_shape_of_uri() {
        for (line, found) in [
            (
                "OPTIONS sip:pbx.example.com;transport=udp SIP/2.0\r\n",
                Some("pbx.example.com"),
            ),
            (
                "REGISTER sip:200@10.0.0.2:5070 SIP/2.0\r\n",
                Some("10.0.0.2"),
            ),
            (
                "OPTIONS sips:[2001:db8::1]:5061 SIP/2.0\r\n",
                Some("[2001:db8::1]"),
            ),
            ("INVITE tel:+1 SIP/2.0\r\n", Some("+1")),
            ("SIP/2.0 200 OK\r\n", None),
            ("\r\n", None),
        ] {
            assert_eq!(host(line.as_bytes()), found, "{line}");
        }
    }

    #[test]
    fn an_address_of_its_own_is_surely_its_and_one_it_shares_may_be() {
        let net = |text: &str| text.parse::<IpNet>().expect("a network");
        let reach = Reach {
            networks: vec![net("10.0.0.0/24")],
            others: vec![net("10.0.0.9/32"), net("10.9.0.0/16")],
            hosts: vec!["pbx.example.com".into()],
            numbers: vec![
                (Wanted::of("+17125550259"), true),
                (Wanted::of("+17125550260"), false),
            ],
        };
        let fits =
            |remote: &str, message: &str| reach.fits(remote.parse().ok(), message.as_bytes());
        let (one, both) = (
            "OPTIONS sip:us SIP/2.0\r\n\r\n",
            "INVITE sip:+17125550260@us SIP/2.0\r\n\r\n",
        );
        let sole = "INVITE sip:+17125550259@us SIP/2.0\r\n\r\n";
        assert_eq!(fits("10.0.0.20", one), Fit::Surely);
        assert_eq!(fits("10.0.0.9", one), Fit::Maybe);
        assert_eq!(
            fits("10.9.0.9", sole),
            Fit::No,
            "another trunk says the number"
        );
        assert_eq!(fits("192.0.2.1", one), Fit::No);
        assert_eq!(
            fits("", "OPTIONS sip:PBX.example.com SIP/2.0\r\n\r\n"),
            Fit::Maybe
        );
        assert_eq!(fits("192.0.2.1", both), Fit::Maybe);
        assert_eq!(fits("192.0.2.1", sole), Fit::Surely);
    }
}
