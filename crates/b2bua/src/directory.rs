//! Finding numbers and trunks fast, however many there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::number::E164;
use crate::settings::{Number, Settings, Trunk};

/// The numbers and trunks of the settings, indexed once when they are read.
#[derive(Debug)]
pub(crate) struct Directory {
    numbers: HashMap<E164, Arc<Number>>,
    trunks: HashMap<Arc<str>, Arc<Trunk>>,
    /// The number of a trunk that has no other.
    only: HashMap<Arc<str>, Option<Arc<Number>>>,
    /// The realm of the numbers at a host, in lower case: of the first of them.
    realms: HashMap<String, String>,
    /// Where trunks call from, the narrowest network first.
    networks: Vec<(IpNet, Arc<Trunk>)>,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut only = HashMap::new();
        for number in &settings.numbers {
            only.entry(number.trunk.clone())
                .and_modify(|sole| *sole = None)
                .or_insert_with(|| Some(number.clone()));
        }
        let mut realms = HashMap::new();
        for number in &settings.numbers {
            let host = number.host.to_ascii_lowercase();
            realms.entry(host).or_insert_with(|| number.realm.clone());
        }
        let of_trunk = |trunk: &Arc<Trunk>| {
            let trunk = trunk.clone();
            let networks = trunk.networks.clone();
            networks
                .into_iter()
                .map(move |network| (network, trunk.clone()))
        };
        let mut networks: Vec<_> = settings.trunks.iter().flat_map(of_trunk).collect();
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        let number = |number: &Arc<Number>| (number.e164.clone(), number.clone());
        let trunk = |trunk: &Arc<Trunk>| (trunk.name.clone(), trunk.clone());
        Self {
            numbers: settings.numbers.iter().map(number).collect(),
            trunks: settings.trunks.iter().map(trunk).collect(),
            only,
            realms,
            networks,
        }
    }

    /// The number with these digits.
    pub(crate) fn number(&self, e164: &E164) -> Option<&Arc<Number>> {
        self.numbers.get(e164)
    }

    /// The trunk of that name.
    pub(crate) fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(name)
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
        let found = self
            .networks
            .iter()
            .find(|(network, _)| network.contains(&source));
        found.map(|(_, trunk)| trunk)
    }
}
