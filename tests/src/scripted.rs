//! Both sides to the letter: SIPp as Meta with Kamailio as its TLS edge, the accused, SIPp as the PBX.
//!
//! ```text
//!   SIPp (meta) ◄─ UDP ─► Kamailio ◄─ TLS ─► wa-sbc ◄─ UDP ─► SIPp (pbx)
//!   .23:5060              .22   .21          .1   .2           .31:5060
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use crate::certificates::Authority;
use crate::kamailio::Edge;
use crate::place::Place;
use crate::running::Running;
use crate::sbc::{HOST, NUMBER, Sbc, Setup, USER};
use crate::sipp::{Sipp, agent_says, succeed};

/// The accused between two scripts.
pub struct Scripted {
    /// Where.
    pub place: Place,
    /// Meta's edge, as strict about Routes as Meta.
    pub edge: Running,
    /// The accused.
    pub sbc: Sbc,
    /// Where Meta's script finds the edge.
    pub inner: SocketAddr,
    /// Where Meta's script stands.
    pub meta: SocketAddr,
    /// Where the PBX's script stands.
    pub pbx: SocketAddr,
}

impl Scripted {
    /// Starts the edge and the accused. The edge challenges what the accused sends with this algorithm and password;
    /// `change` says what is particular about the accused, and runs before it starts. The agent speaks for at most
    /// `speech` seconds. Whoever asks has looked whether `sipp` and `kamailio` are here.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn start(
        place: Place,
        challenge: Option<(&str, &str)>,
        speech: f64,
        change: impl FnOnce(&Place, &mut Setup),
    ) -> Scripted {
        let authority = Authority::new(&place);
        let at = |host, port| SocketAddr::new(place.address(host), port);
        let (outer, inner) = (at(21, 5061), at(22, 5070));
        let (meta, pbx) = (at(23, 5060), at(31, 5060));
        let identity = authority.identity(&place, &["wa.meta.vc"]);
        let edge = Edge {
            outer,
            inner,
            sbc: at(1, 5061),
            sbc_host: HOST,
            sipp: meta,
            sipp_transport: "udp",
            challenge,
        }
        .start(&place, &authority, &identity);
        let mut setup = Setup::new(outer, pbx);
        change(&place, &mut setup);
        let sbc = Sbc::start(&place, &authority, &setup);
        agent_says(&place, speech);
        Scripted {
            place,
            edge,
            sbc,
            inner,
            meta,
            pbx,
        }
    }

    /// Meta by this scenario.
    pub fn meta(&self, scenario: &str) -> Sipp {
        Sipp::meta(scenario, self.meta)
    }

    /// The PBX by this scenario.
    pub fn pbx(&self, scenario: &str) -> Sipp {
        Sipp::pbx(scenario, self.pbx)
    }

    /// A user calls: the PBX waits, Meta calls through the edge, and both scenarios come to their end.
    ///
    /// # Panics
    /// When one of them does not within `limit`.
    pub fn user_calls(&self, meta: Sipp, pbx: Sipp, limit: Duration) {
        let names = [meta.name.clone(), pbx.name.clone()];
        let mut answering = pbx.answer(&self.place);
        let mut calling = meta.call(&self.place, NUMBER, self.inner);
        succeed(&self.place, &names[0], &mut calling, limit);
        succeed(&self.place, &names[1], &mut answering, limit);
    }

    /// The business calls: Meta waits behind the edge, the PBX calls, and both scenarios come to their end.
    ///
    /// # Panics
    /// When one of them does not within `limit`.
    pub fn business_calls(&self, meta: Sipp, pbx: Sipp, limit: Duration) {
        let names = [meta.name.clone(), pbx.name.clone()];
        let mut answering = meta.answer(&self.place);
        let mut calling = pbx.call(&self.place, USER, self.sbc.sip);
        succeed(&self.place, &names[0], &mut answering, limit);
        succeed(&self.place, &names[1], &mut calling, limit);
    }
}
