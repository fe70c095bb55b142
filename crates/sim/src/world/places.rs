//! Where everybody of the world lives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Beginning, Party};

/// The addresses of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where Meta calls from: the source of its connections.
    pub meta: IpAddr,
    /// Where Meta's media lives.
    pub meta_media: IpAddr,
    /// Where the core meets Meta.
    pub public: IpAddr,
    /// Where the core meets the PBX.
    pub private: IpAddr,
    /// Where the PBX is seen.
    pub pbx: IpAddr,
    /// Where the PBX believes to be: not the same behind a NAT.
    pub pbx_inside: IpAddr,
}

impl Default for Places {
    fn default() -> Self {
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Self {
            meta: v4(69, 171, 251, 115),
            meta_media: v4(157, 240, 19, 130),
            public: v4(203, 0, 113, 20),
            private: v4(10, 0, 0, 5),
            pbx: v4(10, 0, 0, 20),
            pbx_inside: v4(10, 0, 0, 20),
        }
    }
}

impl Places {
    /// The same with Meta's side on IPv6.
    #[must_use]
    pub fn with_meta_on_ipv6(self) -> Self {
        let meta = |last| IpAddr::V6(Ipv6Addr::new(0x2a03, 0x2880, 0xf0, 1, 0, 0, 0, last));
        Self {
            meta: meta(0x15),
            meta_media: meta(0x130),
            public: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20)),
            ..self
        }
    }

    /// The same with the PBX's side on IPv6.
    #[must_use]
    pub fn with_pbx_on_ipv6(self) -> Self {
        let lan = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        Self {
            private: lan(5),
            pbx: lan(0x20),
            pbx_inside: lan(0x20),
            ..self
        }
    }

    /// The same with the PBX somewhere on the internet, behind a NAT that keeps ports.
    #[must_use]
    pub fn with_pbx_behind_nat(self) -> Self {
        Self {
            private: self.public,
            pbx: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20)),
            pbx_inside: IpAddr::V4(Ipv4Addr::new(192, 168, 178, 20)),
            ..self
        }
    }

    /// Who lives at an address.
    pub(super) fn party_at(&self, ip: IpAddr) -> Option<Party> {
        [(self.meta_media, Party::Meta), (self.pbx, Party::Pbx)]
            .into_iter()
            .find(|(address, _)| *address == ip)
            .map(|(_, party)| party)
    }

    /// Who is reached by a name or an address.
    pub(super) fn party_named(&self, host: &str) -> Option<Party> {
        match host {
            "wa.meta.vc" => Some(Party::Meta),
            host if host == self.pbx.to_string() => Some(Party::Pbx),
            _ => None,
        }
    }

    /// An address of the PBX as the outside sees it.
    pub(super) fn outside(&self, address: SocketAddr) -> SocketAddr {
        swapped(address, self.pbx_inside, self.pbx)
    }

    /// An address of the PBX as itself sees it.
    pub(super) fn inside(&self, address: SocketAddr) -> SocketAddr {
        swapped(address, self.pbx, self.pbx_inside)
    }
}

fn swapped(address: SocketAddr, from: IpAddr, to: IpAddr) -> SocketAddr {
    match address.ip() == from {
        true => SocketAddr::new(to, address.port()),
        false => address,
    }
}

impl Beginning {
    /// Moves everybody to these places: the settings of all three follow.
    pub fn move_to(&mut self, places: Places) {
        let Places {
            private,
            pbx,
            pbx_inside,
            ..
        } = places;
        let sbc = SocketAddr::new(private, 5060);
        let outside = SocketAddr::new(pbx, 5060);
        self.meta.media.address = places.meta_media;
        self.pbx.address = SocketAddr::new(pbx_inside, 5060);
        self.pbx.media.address = pbx_inside;
        self.pbx.sbc.host = private.to_string();
        if let Some(trunk) = self.settings.trunks.first_mut() {
            let trunk = Arc::make_mut(trunk);
            trunk.target.host = pbx.to_string();
            trunk.domain = outside.to_string().trim_end_matches(":5060").to_owned();
            trunk.sent_by = sbc.to_string();
            trunk.networks = vec![pbx.into()];
        }
        self.places = places;
    }
}
