//! Where Meta's signalling, media and webhooks come from (Meta reference, appendix A).
//!
//! The list ages: load a fresher one from the configuration, and treat a call from elsewhere whose
//! digest is right as a call to log, not to drop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The state of [`NETWORKS`]: prefixes originated by AS32934, collapsed.
pub const AS_OF: &str = "2024-12";

/// The documented IPv4 prefixes, and the IPv6 prefix of the media addresses seen in samples.
pub const NETWORKS: [IpNet; 24] = [
    v4([31, 13, 24, 0], 21),
    v4([31, 13, 64, 0], 18),
    v4([45, 64, 40, 0], 22),
    v4([57, 141, 0, 0], 21),
    v4([57, 141, 8, 0], 22),
    v4([57, 141, 12, 0], 23),
    v4([57, 144, 0, 0], 14),
    v4([66, 220, 144, 0], 20),
    v4([69, 63, 176, 0], 20),
    v4([69, 171, 224, 0], 19),
    v4([74, 119, 76, 0], 22),
    v4([102, 132, 96, 0], 20),
    v4([103, 4, 96, 0], 22),
    v4([129, 134, 0, 0], 16),
    v4([147, 75, 208, 0], 20),
    v4([157, 240, 0, 0], 16),
    v4([163, 70, 128, 0], 17),
    v4([163, 77, 128, 0], 17),
    v4([173, 252, 64, 0], 18),
    v4([179, 60, 192, 0], 22),
    v4([185, 60, 216, 0], 22),
    v4([185, 89, 216, 0], 22),
    v4([204, 15, 20, 0], 22),
    // Inferred from candidates in samples. `2803:6080::/31` stands in Vias only: internal.
    IpNet::new_assert(
        IpAddr::V6(Ipv6Addr::new(0x2a03, 0x2880, 0, 0, 0, 0, 0, 0)),
        32,
    ),
];

/// Whether `address` is one of Meta's, as far as the list knows. IPv4 addresses mapped into IPv6
/// (RFC 4291 §2.5.5.2), as a dual-stack socket reports them, count as IPv4.
pub fn contains(address: IpAddr) -> bool {
    let address = address.to_canonical();
    NETWORKS.iter().any(|network| network.contains(&address))
}

const fn v4(octets: [u8; 4], length: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_known(address: &str) -> bool {
        contains(address.parse().expect("an address"))
    }

    #[test]
    fn every_address_of_the_samples_is_known() {
        for address in [
            "31.13.66.215",
            "31.13.65.130",
            "31.13.65.60",
            "57.144.219.49",
            "57.144.135.35",
            "69.171.251.112",
            "69.171.251.115",
            "157.240.19.130",
            "2a03:2880:f343:131:face:b00c:0:699c",
            "::ffff:31.13.66.215",
        ] {
            assert!(is_known(address), "{address}");
        }
    }

    #[test]
    fn neighbours_and_strangers_are_not() {
        for address in [
            "31.13.63.255",
            "31.13.128.0",
            "57.148.0.0",
            "57.143.255.255",
            "204.15.24.0",
            "203.0.113.20",
            "127.0.0.1",
            "10.0.0.1",
            "2803:6080:f948:9597::",
            "::1",
            "2a03:2881::1",
        ] {
            assert!(!is_known(address), "{address}");
        }
    }

    #[test]
    fn prefixes_are_whole_sorted_and_disjoint() {
        for network in NETWORKS {
            assert_eq!(network.addr(), network.network(), "{network} has host bits");
        }
        for pair in NETWORKS.windows(2) {
            assert!(pair[0].addr() < pair[1].addr(), "{} {}", pair[0], pair[1]);
            assert!(
                !pair[0].contains(&pair[1].addr()),
                "{} {}",
                pair[0],
                pair[1]
            );
        }
    }
}
