//! The accused with an operator's interface, a store and a place for captures, between the simulated peers.

use std::net::SocketAddr;

use crate::certificates::Authority;
use crate::http::Client;
use crate::place::Place;
use crate::sbc::{Sbc, Setup};
use crate::simulated::{Simulated, meta_address, pbx_address};
use crate::sipp::wait_listening;

/// A lab token; it opens nothing.
pub const TOKEN: &str = "Zk3vQ8wLr5";

/// The lab.
pub struct Lab {
    /// Where it stands.
    pub place: Place,
    /// Whom Meta trusts.
    pub authority: Authority,
    /// The accused.
    pub sbc: Sbc,
    /// Its operator.
    pub http: Client,
}

impl Lab {
    /// Starts the accused; calls are for [`Lab::peers`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(story: &str) -> Lab {
        let place = Place::new(story);
        let authority = Authority::new(&place);
        let token = place.write("token", TOKEN);
        let address = SocketAddr::new(place.address(3), 9090);
        let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
        setup.log = "info";
        setup.record_lines = format!("sqlite = \"{}\"", place.path("calls.db").display());
        setup.tables = format!(
            "[http]\nlisten = \"{address}\"\ntoken = {{ file = \"{}\" }}\ndoctor_every = 2\n[capture]\ndir = \"{}\"\n",
            token.display(),
            place.path("captures").display(),
        );
        let sbc = Sbc::start(&place, &authority, &setup);
        wait_listening(address, true);
        let http = Client {
            address,
            token: TOKEN.into(),
        };
        Lab {
            place,
            authority,
            sbc,
            http,
        }
    }

    /// A Meta that places so many calls and hangs each up after so many seconds, and a PBX that takes them.
    pub fn peers(&self, calls: &str, hang_up_after: &str) -> (Simulated, Simulated) {
        let pbx = Simulated::pbx(
            &self.place,
            "pbx",
            &["--silent", "--answer-after", "0.1", "--at-most", "30"],
        );
        let placing = [
            "--silent",
            "--calls",
            calls,
            "--rate",
            "20",
            "--hang-up-after",
            hang_up_after,
            "--at-most",
            "30",
        ];
        (
            Simulated::meta(&self.place, &self.authority, "meta", &placing),
            pbx,
        )
    }
}
