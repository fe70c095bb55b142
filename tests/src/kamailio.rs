//! Kamailio as the TLS edge in front of a SIPp that plays Meta: Debian's SIPp has no TLS. The edge knows Meta's Route
//! discipline, can challenge with 407, and sees which connection a request came on. Its rules are `tests/kamailio/edge.cfg`.

use std::net::SocketAddr;
use std::process::Command;

use crate::certificates::{Authority, Identity};
use crate::place::Place;
use crate::running::{Running, workspace};
use crate::tools::{find, library_directory};

/// Where the edge stands and whom it serves.
pub struct Edge<'a> {
    /// TLS, towards wa-sbc.
    pub outer: SocketAddr,
    /// UDP and TCP, towards SIPp.
    pub inner: SocketAddr,
    /// wa-sbc's TLS port.
    pub sbc: SocketAddr,
    /// The host name in wa-sbc's certificate, sent as SNI.
    pub sbc_host: &'a str,
    /// SIPp as Meta, for what comes from wa-sbc.
    pub sipp: SocketAddr,
    /// `udp` or `tcp`, towards SIPp.
    pub sipp_transport: &'a str,
    /// Challenge initial INVITEs with 407: algorithm (`MD5`, `SHA-256`) and password.
    pub challenge: Option<(&'a str, &'a str)>,
}

impl Edge<'_> {
    /// Starts the edge with a certificate for `wa.meta.vc`; it trusts `authority` and verifies what it calls.
    ///
    /// # Panics
    /// When Kamailio does not start.
    pub fn start(&self, place: &Place, authority: &Authority, identity: &Identity) -> Running {
        let tls = place.write(
            "edge-tls.cfg",
            format!(
                "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n\
                 certificate = {}\nprivate_key = {}\n\n\
                 [client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
                 ca_list = {}\nserver_name = {}\n",
                identity.certificate.display(),
                identity.key.display(),
                authority.certificate.display(),
                self.sbc_host,
            ),
        );
        let modules = library_directory("kamailio/modules/tls.so")
            .expect("Kamailio's modules are where Debian puts them");
        let template = std::fs::read_to_string(workspace().join("tests/kamailio/edge.cfg"))
            .expect("the edge's rules");
        let (algorithm, password) = self.challenge.unwrap_or(("MD5", ""));
        let rules = template
            .replace("@OUTER@", &self.outer.to_string())
            .replace("@INNER@", &self.inner.to_string())
            .replace("@INNER_PORT@", &self.inner.port().to_string())
            .replace("@SBC@", &self.sbc.to_string())
            .replace("@SIPP@", &self.sipp.to_string())
            .replace("@SIPP_TRANSPORT@", self.sipp_transport)
            .replace("@MODULES@", &modules.display().to_string())
            .replace("@TLS@", &tls.display().to_string())
            .replace("@ALGORITHM@", algorithm)
            .replace("@PASSWORD@", password);
        let rules = place.write("edge.cfg", rules);

        let mut command = Command::new(find("kamailio").expect("the test asked for kamailio"));
        command
            .arg("-f")
            .arg(&rules)
            .args(["-DD", "-E", "-m", "64", "-M", "8"])
            .arg("-Y")
            .arg(place.directory());
        command.arg("-w").arg(place.directory());
        if self.challenge.is_some() {
            command.args(["-A", "CHALLENGE"]);
        }
        let running = Running::start(place, "edge", &mut command);
        crate::sipp::wait_listening(self.inner, false);
        crate::sipp::wait_listening(self.outer, true);
        running
    }
}

/// Kamailio as a PBX with one telephone, whose trunk to the world is one of its extensions. Its rules are
/// `tests/kamailio/pbx.cfg`.
pub struct Exchange<'a> {
    /// UDP and TCP.
    pub listen: SocketAddr,
    /// Where its telephone is.
    pub telephone: SocketAddr,
    /// Extension, which is its digest user name too, and password.
    pub extension: (&'a str, &'a str),
    /// Its realm, and the host of its addresses.
    pub realm: &'a str,
    /// `MD5` or `SHA-256`.
    pub algorithm: &'a str,
    /// Seconds a registration lasts at most.
    pub expires: u32,
}

impl Exchange<'_> {
    /// Starts it.
    ///
    /// # Panics
    /// When Kamailio does not start.
    pub fn start(&self, place: &Place) -> Running {
        let modules = library_directory("kamailio/modules/registrar.so")
            .expect("Kamailio's modules are where Debian puts them");
        let template = std::fs::read_to_string(workspace().join("tests/kamailio/pbx.cfg"))
            .expect("the PBX's rules");
        let (extension, password) = self.extension;
        let rules = template
            .replace("@PBX@", &self.listen.to_string())
            .replace("@TELEPHONE@", &self.telephone.to_string())
            .replace("@EXTENSION@", extension)
            .replace("@REALM@", self.realm)
            .replace("@PASSWORD@", password)
            .replace("@ALGORITHM@", self.algorithm)
            .replace("@EXPIRES@", &self.expires.to_string())
            .replace("@MODULES@", &modules.display().to_string());
        let rules = place.write("pbx.cfg", rules);
        let mut command = Command::new(find("kamailio").expect("the test asked for kamailio"));
        command.arg("-f").arg(&rules);
        command.args(["-DD", "-E", "-m", "64", "-M", "8"]);
        command.arg("-Y").arg(place.directory());
        command.arg("-w").arg(place.directory());
        let running = Running::start(place, "exchange", &mut command);
        crate::sipp::wait_listening(self.listen, false);
        crate::sipp::wait_listening(self.listen, true);
        running
    }
}

/// Kamailio as a collector of HEP3. Its rules are `tests/kamailio/collector.cfg`.
pub struct Collector {
    running: Running,
}

/// One packet, as Kamailio took it apart.
#[derive(Clone, Debug)]
pub struct Collected {
    /// IANA's number of the protocol.
    pub protocol: u8,
    /// Whence it was sent.
    pub from: SocketAddr,
    /// Where it was sent.
    pub to: SocketAddr,
    /// Seconds since 1970, and microseconds.
    pub at: (u64, u32),
    /// 1: SIP, 5: RTCP as JSON.
    pub kind: u8,
    /// The capture id.
    pub agent: u32,
    /// The password it came with.
    pub password: String,
    /// The correlation id.
    pub correlation: String,
    /// The payload.
    pub payload: String,
}

impl Collector {
    /// Starts it, on `udp` or `tcp`.
    ///
    /// # Panics
    /// When Kamailio does not start.
    pub fn start(place: &Place, transport: &str, listen: SocketAddr) -> Collector {
        let modules = library_directory("kamailio/modules/sipcapture.so")
            .expect("Kamailio's modules are where Debian puts them");
        let template = std::fs::read_to_string(workspace().join("tests/kamailio/collector.cfg"))
            .expect("the collector's rules");
        let rules = template
            .replace("@LISTEN@", &listen.to_string())
            .replace("@TRANSPORT@", transport)
            .replace("@DIRECTORY@", &place.directory().display().to_string())
            .replace("@MODULES@", &modules.display().to_string());
        let rules = place.write("collector.cfg", rules);
        let mut command = Command::new(find("kamailio").expect("the test asked for kamailio"));
        command.arg("-f").arg(&rules);
        command.args(["-DD", "-E", "-m", "64", "-M", "8"]);
        command.arg("-Y").arg(place.directory());
        command.arg("-w").arg(place.directory());
        let running = Running::start(place, "collector", &mut command);
        crate::sipp::wait_listening(listen, transport == "tcp");
        Collector { running }
    }

    /// Everything collected so far.
    ///
    /// # Panics
    /// When a line is not as the rules print it.
    pub fn collected(&self) -> Vec<Collected> {
        let log = self.running.log();
        log.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| line.trim_end().split_once("<script>: HEP "))
            .map(|(_, packet)| read(packet).unwrap_or_else(|| panic!("no packet: {packet}")))
            .collect()
    }
}

fn read(packet: &str) -> Option<Collected> {
    let mut words = packet.split(' ');
    let _family = words.next()?;
    let protocol = words.next()?.parse().ok()?;
    let from = words.next()?.parse().ok()?;
    let to = words.next()?.parse().ok()?;
    let (seconds, micros) = words.next()?.split_once('.')?;
    let at = (seconds.parse().ok()?, micros.parse().ok()?);
    let kind = words.next()?.parse().ok()?;
    let agent = words.next()?.parse().ok()?;
    let [password, correlation, payload] = [words.next()?, words.next()?, words.next()?];
    let payload = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, payload).ok()?;
    Some(Collected {
        protocol,
        from,
        to,
        at,
        kind,
        agent,
        password: password.to_owned(),
        correlation: correlation.to_owned(),
        payload: String::from_utf8(payload).ok()?,
    })
}
