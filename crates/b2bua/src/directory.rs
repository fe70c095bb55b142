//! Finding numbers and trunks fast, however many there are.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::number::E164;
use crate::settings::{Group, Number, Settings, Trunk};

/// The numbers and trunks of the settings, indexed once when they are read.
#[derive(Debug)]
pub(crate) struct Directory {
    numbers: HashMap<E164, Arc<Number>>,
    trunks: HashMap<Arc<str>, Arc<Trunk>>,
    groups: HashMap<Arc<str>, Group>,
    /// The number of a trunk that has no other.
    only: HashMap<Arc<str>, Option<Arc<Number>>>,
    /// The realm of the numbers at a host, in lower case: of the first of them.
    realms: HashMap<String, String>,
    networks: Networks,
    /// Trunks by the user names of their accounts.
    accounts: HashMap<String, Arc<Trunk>>,
    /// Some account is good wherever it is used.
    roams: bool,
    /// Some trunk registers.
    registers: bool,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut realms = HashMap::new();
        for number in &settings.numbers {
            let host = number.host.to_ascii_lowercase();
            realms.entry(host).or_insert_with(|| number.realm.clone());
        }
        let number = |number: &Arc<Number>| (number.e164.clone(), number.clone());
        let trunk = |trunk: &Arc<Trunk>| (trunk.name.clone(), trunk.clone());
        let group = |group: &Group| (group.name.clone(), group.clone());
        let mut directory = Self {
            numbers: settings.numbers.iter().map(number).collect(),
            trunks: settings.trunks.iter().map(trunk).collect(),
            groups: settings.groups.iter().map(group).collect(),
            only: HashMap::new(),
            realms,
            networks: Networks::new(&settings.trunks),
            accounts: HashMap::new(),
            roams: false,
            registers: false,
        };
        for trunk in &settings.trunks {
            let Some(account) = &trunk.access.account else {
                continue;
            };
            directory.roams |= trunk.networks.is_empty();
            directory.registers |= trunk.access.registers;
            directory
                .accounts
                .entry(account.username.clone())
                .or_insert_with(|| trunk.clone());
        }
        for number in &settings.numbers {
            for trunk in directory.trunks_of(number) {
                directory
                    .only
                    .entry(trunk)
                    .and_modify(|sole| *sole = None)
                    .or_insert_with(|| Some(number.clone()));
            }
        }
        directory
    }

    /// The number with these digits.
    pub(crate) fn number(&self, e164: &E164) -> Option<&Arc<Number>> {
        self.numbers.get(e164)
    }

    /// The trunk of that name.
    pub(crate) fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(name)
    }

    /// The trunk of that name, or those of the group of that name, in the order one call tries
    /// them; `dice` is randomness.
    pub(crate) fn trunks(&self, name: &str, dice: u64) -> Vec<Arc<Trunk>> {
        if let Some(trunk) = self.trunks.get(name) {
            return vec![trunk.clone()];
        }
        let order = self.groups.get(name).map(|group| group.order(dice));
        let members = order.unwrap_or_default().into_iter();
        members
            .filter_map(|member| self.trunks.get(member).cloned())
            .collect()
    }

    /// Whether a trunk may call as `number`: its calls may come to it.
    pub(crate) fn serves(&self, trunk: &Trunk, number: &Number) -> bool {
        number.destinations().any(|name| {
            *name == trunk.name
                || self.groups.get(name).is_some_and(|group| {
                    let mut members = group.members.iter();
                    members.any(|member| member.trunk == trunk.name)
                })
        })
    }

    /// The number of a trunk, if it has just one.
    pub(crate) fn only_number(&self, trunk: &str) -> Option<&Arc<Number>> {
        self.only.get(trunk)?.as_ref()
    }

    /// The realm of the numbers at `host`, if there are any.
    pub(crate) fn realm_at(&self, host: &str) -> Option<&str> {
        let realm = self.realms.get(&host.to_ascii_lowercase());
        realm.map(String::as_str)
    }

    /// The trunk that calls from `source`: the one with the narrowest network around it.
    pub(crate) fn trunk_at(&self, source: IpAddr) -> Option<&Arc<Trunk>> {
        self.networks.around(source)
    }

    /// The trunk whose account has this user name and may be used from `source`.
    pub(crate) fn account(&self, username: &str, source: IpAddr) -> Option<&Arc<Trunk>> {
        let trunk = self.accounts.get(username)?;
        let mut networks = trunk.networks.iter();
        let from_here = trunk.networks.is_empty() || networks.any(|net| net.contains(&source));
        from_here.then_some(trunk)
    }

    /// Whether somebody at an address nobody configured may be a trunk.
    pub(crate) fn has_roaming_trunks(&self) -> bool {
        self.roams
    }

    /// Whether any trunk registers.
    pub(crate) fn has_registering_trunks(&self) -> bool {
        self.registers
    }

    /// The names of the trunks calls to a number may go to.
    fn trunks_of(&self, number: &Number) -> BTreeSet<Arc<str>> {
        let members = |name: &Arc<str>| match self.groups.get(name) {
            Some(group) => group.members.iter().map(|m| m.trunk.clone()).collect(),
            None => vec![name.clone()],
        };
        number.destinations().flat_map(members).collect()
    }
}

/// Where trunks call from.
#[derive(Debug, Default)]
struct Networks {
    by_network: HashMap<IpNet, Arc<Trunk>>,
    /// The lengths of prefixes there are, longest first: few, however many networks there are.
    lengths: Vec<u8>,
}

impl Networks {
    fn new(trunks: &[Arc<Trunk>]) -> Self {
        let mut networks = Self::default();
        let mut lengths = BTreeSet::new();
        for trunk in trunks {
            for network in &trunk.networks {
                lengths.insert(network.prefix_len());
                // Of two trunks with one network the first written counts.
                networks
                    .by_network
                    .entry(network.trunc())
                    .or_insert_with(|| trunk.clone());
            }
        }
        networks.lengths = lengths.into_iter().rev().collect();
        networks
    }

    fn around(&self, source: IpAddr) -> Option<&Arc<Trunk>> {
        self.lengths.iter().find_map(|length| {
            let network = IpNet::new(source, *length).ok()?.trunc();
            self.by_network.get(&network)
        })
    }
}
