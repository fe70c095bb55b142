//! The usual call: a baresip as the Meta-like end, a baresip as the PBX, wa-sbc between them, each end with its own tone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::baresip::{Baresip, Codec, Setup as Phone};
use crate::certificates::Authority;
use crate::place::Place;
use crate::sbc::{HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use crate::tone::{AGENT_HZ, Audio, Heard, USER_HZ, judge};

const SOON: Duration = Duration::from_secs(20);

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The WhatsApp user calls the business.
    User,
    /// The desk calls the WhatsApp user.
    Desk,
}

/// Two phones and a wa-sbc.
pub struct Phones {
    /// The Meta-like end: TLS, SDES mandatory.
    pub user: Baresip,
    /// The PBX: plain SIP over UDP, plain RTP or SRTP.
    pub desk: Baresip,
    /// The accused.
    pub sbc: Sbc,
    meta: Codec,
    pbx: Codec,
}

impl Phones {
    /// Starts all three, the desk with plain RTP; each tone lasts `seconds`.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn start(
        place: &Place,
        authority: &Authority,
        caller: Caller,
        codecs: (Codec, Codec),
        seconds: f64,
    ) -> Phones {
        Self::start_with(place, authority, caller, codecs, seconds, "")
    }

    /// Starts all three, the desk with SRTP if these lines of the trunk require it.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn start_with(
        place: &Place,
        authority: &Authority,
        caller: Caller,
        (meta, pbx): (Codec, Codec),
        seconds: f64,
        trunk_lines: &str,
    ) -> Phones {
        // Each side has to know the other's address before it starts; wa-sbc's is known beforehand.
        let identity = authority.identity(place, &["wa.meta.vc", "127.0.0.1"]);
        let sbc_tls = SocketAddr::new(place.address(1), 5061);
        let sbc_sip = SocketAddr::new(place.address(2), 5060);
        let user = Baresip::start(
            place,
            &Phone {
                name: "meta",
                user: USER,
                domain: "wa.meta.vc",
                transport: "tls",
                outbound: Some(format!("sip:{sbc_tls};transport=tls")),
                credentials: Some((USERNAME, PASSWORD)),
                registers: false,
                codec: meta,
                secure: true,
                answers: caller == Caller::Desk,
                identity: Some(&identity),
                voice: &Audio::tone(USER_HZ, meta.rate(), seconds),
                names: &[(HOST, sbc_tls.ip())],
            },
        );
        let desk = Baresip::start(
            place,
            &Phone {
                name: "pbx",
                // Calls to it name the business number; calls from it come from that number.
                user: NUMBER,
                domain: "127.0.0.1",
                transport: "udp",
                outbound: Some(format!("sip:{sbc_sip};transport=udp")),
                credentials: None,
                registers: false,
                codec: pbx,
                secure: trunk_lines.contains("srtp = \"required\""),
                answers: caller == Caller::User,
                identity: None,
                voice: &Audio::tone(AGENT_HZ, pbx.rate(), seconds),
                names: &[],
            },
        );
        let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut setup = Setup::new(user.listen_tls(), SocketAddr::new(home, desk.listen.port()));
        setup.meta_codecs = vec![meta.name()];
        setup.pbx_codecs = vec![pbx.name()];
        setup.trunk_lines = trunk_lines.to_owned();
        let sbc = Sbc::start(place, authority, &setup);
        Phones {
            user,
            desk,
            sbc,
            meta,
            pbx,
        }
    }

    /// Places the call and waits until both ends are in it.
    ///
    /// # Panics
    /// When they do not get there.
    pub fn connect(&mut self, caller: Caller) {
        match caller {
            Caller::User => self
                .user
                .dial(&format!("sip:{NUMBER}@{HOST};transport=tls")),
            Caller::Desk => self.desk.dial(&format!("sip:{USER}@{}", self.sbc.sip)),
        }
        self.user.wait_for("CALL_ESTABLISHED", SOON);
        self.desk.wait_for("CALL_ESTABLISHED", SOON);
    }

    /// Whether both ends are still in the call.
    pub fn talking(&mut self) -> bool {
        !self.user.reported("CALL_CLOSED") && !self.desk.reported("CALL_CLOSED")
    }

    /// The user (else the desk) hangs up; waits until the other end has noticed.
    ///
    /// # Panics
    /// When it does not notice.
    pub fn hang_up(&mut self, user: bool) {
        let (one, other) = if user {
            (&mut self.user, &mut self.desk)
        } else {
            (&mut self.desk, &mut self.user)
        };
        one.hang_up();
        other.wait_for("CALL_CLOSED", SOON);
    }

    /// Judges `seconds` of what each end decoded, from the first second on: (at the user, at the desk).
    ///
    /// # Errors
    /// In plain words, what was not heard and where.
    pub fn verdict(&self, seconds: f64) -> Result<(Heard, Heard), String> {
        let at_user = self
            .user
            .recording()
            .map_err(|error| format!("the user's end: {error}"))?;
        let at_desk = self
            .desk
            .recording()
            .map_err(|error| format!("the desk: {error}"))?;
        if at_user.rate != self.meta.rate() || at_desk.rate != self.pbx.rate() {
            return Err(format!(
                "the call settled on other codecs: {} and {} Hz",
                at_user.rate, at_desk.rate
            ));
        }
        Ok((
            judge(&at_user.part(1.0, seconds), AGENT_HZ, &[USER_HZ], seconds)
                .map_err(|error| format!("the user does not hear the agent: {error}"))?,
            judge(&at_desk.part(1.0, seconds), USER_HZ, &[AGENT_HZ], seconds)
                .map_err(|error| format!("the agent does not hear the user: {error}"))?,
        ))
    }
}
