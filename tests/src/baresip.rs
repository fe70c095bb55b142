//! baresip: a real endpoint with a jitter buffer, Opus and SDES, that plays a file and records what it decoded.
//!
//! It binds RTP to 0.0.0.0, so on loopback its packets come from 127.0.0.1; it therefore lives there altogether. It takes
//! port + 1 for TLS, does not verify servers and cannot challenge.
//!
//! Its ACK and its BYE go where our Contact says, and not by way of its outbound proxy: our answer to it has no Record-Route,
//! as Meta's own INVITEs do. Our Contact is a name, so a baresip that calls needs a DNS server that knows it
//! ([`crate::names`]); without one it is silent from the answer on, and the call ends 32 s later for want of an ACK.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::certificates::Identity;
use crate::names::Names;
use crate::place::{Place, free_port};
use crate::running::Running;
use crate::tone::Audio;
use crate::tools::{find, library_directory};

/// How baresip speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Opus at 48 kHz, mono.
    Opus,
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
}

impl Codec {
    /// The codec's own sampling rate, which its source must have.
    pub fn rate(self) -> u32 {
        if self == Codec::Opus { 48_000 } else { 8000 }
    }

    /// As wa-sbc's configuration names it.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Opus => "opus",
            Codec::Pcma => "PCMA",
            Codec::Pcmu => "PCMU",
        }
    }

    // A wrong name would silently enable all codecs.
    fn account_name(self) -> &'static str {
        match self {
            Codec::Opus => "opus/48000/1",
            Codec::Pcma => "pcma/8000/1",
            Codec::Pcmu => "pcmu/8000/1",
        }
    }
}

/// How a baresip is to be set up.
pub struct Setup<'a> {
    /// Names its directory and its log.
    pub name: &'a str,
    /// User part of its address.
    pub user: &'a str,
    /// Host part of its address.
    pub domain: &'a str,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// Where requests go first, as a URI; else where they are addressed to.
    pub outbound: Option<String>,
    /// Digest user name and password.
    pub credentials: Option<(&'a str, &'a str)>,
    /// Register, and keep registered.
    pub registers: bool,
    /// What it offers and accepts.
    pub codec: Codec,
    /// SDES mandatory (`srtp-mand`), else plain RTP.
    pub secure: bool,
    /// Answer incoming calls at once.
    pub answers: bool,
    /// Certificate and key for its TLS side.
    pub identity: Option<&'a Identity>,
    /// What it says.
    pub voice: &'a Audio,
    /// The names it can resolve; none: it asks the system's server.
    pub names: &'a [(&'a str, IpAddr)],
}

/// A running baresip.
pub struct Baresip {
    /// The program.
    pub running: Running,
    /// Where it listens: the plain port; TLS is the next one.
    pub listen: SocketAddr,
    control: TcpStream,
    heard: Vec<u8>,
    recordings: PathBuf,
    _names: Option<Names>,
}

impl Baresip {
    /// Starts a baresip and waits until it can be driven.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(place: &Place, setup: &Setup<'_>) -> Baresip {
        let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = free_port(home);
        let control_port = free_port(home);
        let name = setup.name;
        let voice = place.path(&format!("{name}-says.wav"));
        setup.voice.write_wav(&voice);
        let recordings = place.path(&format!("{name}-heard"));
        std::fs::create_dir_all(&recordings).expect("the test's directory is writable");

        let modules = library_directory("baresip/modules/opus.so")
            .expect("baresip's modules are where Debian puts them");
        let names = (!setup.names.is_empty()).then(|| Names::serve(setup.names));
        let dns = names.as_ref().map_or(String::new(), |names| {
            format!("dns_server {}\n", names.address)
        });
        let certificate = setup.identity.map_or(String::new(), |identity| {
            format!("sip_certificate {}\n", identity.both.display())
        });
        place.write(
            &format!("{name}/config"),
            format!(
                "poll_method epoll\nsip_listen {home}:{port}\n{certificate}{dns}net_interface {home}\n\
                 audio_source aufile,{}\naudio_player aubridge,{name}-player\naudio_alert aubridge,{name}-alert\n\
                 audio_level no\nrtp_ports 40000-48000\nrtp_timeout 0\njitter_buffer_delay 2-10\n\
                 module_path {}\nmodule aubridge.so\nmodule aufile.so\nmodule opus.so\nmodule g711.so\nmodule srtp.so\n\
                 module sndfile.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
                 ctrl_tcp_listen {home}:{control_port}\nsnd_path {}\n\
                 opus_stereo no\nopus_sprop_stereo no\nopus_bitrate 20000\nopus_inbandfec yes\nopus_packet_loss 10\n",
                voice.display(),
                modules.display(),
                recordings.display(),
            ),
        );
        let mut account = format!(
            "<sip:{}@{};transport={}>;regint={};audio_codecs={};ptime=20;answermode={}",
            setup.user,
            setup.domain,
            setup.transport,
            if setup.registers { 60 } else { 0 },
            setup.codec.account_name(),
            if setup.answers { "auto" } else { "manual" },
        );
        if setup.secure {
            account.push_str(";mediaenc=srtp-mand");
        }
        if let Some((user, password)) = setup.credentials {
            account.push_str(&format!(";auth_user={user};auth_pass={password}"));
        }
        if let Some(outbound) = &setup.outbound {
            account.push_str(&format!(";outbound=\"{outbound}\""));
        }
        place.write(&format!("{name}/accounts"), account + "\n");
        place.write(&format!("{name}/contacts"), "");

        let program = find("baresip").expect("the test asked for baresip");
        let mut running = Running::start(
            place,
            name,
            Command::new(program)
                .arg("-v")
                .arg("-f")
                .arg(place.path(name)),
        );
        running.wait_for("baresip is ready", Duration::from_secs(10));
        let control = TcpStream::connect((home, control_port)).expect("baresip's control port");
        control
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout above zero");
        Baresip {
            running,
            listen: SocketAddr::new(home, port),
            control,
            heard: Vec::new(),
            recordings,
            _names: names,
        }
    }

    /// Where it listens for TLS.
    pub fn listen_tls(&self) -> SocketAddr {
        SocketAddr::new(self.listen.ip(), self.listen.port() + 1)
    }

    /// Calls `uri`.
    pub fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Ends the call.
    pub fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Sends DTMF digits one after the other.
    pub fn press(&mut self, digits: &str) {
        for digit in digits.chars() {
            self.command("sndcode", &digit.to_string());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until baresip has reported the event `kind` (`CALL_ESTABLISHED`, `CALL_CLOSED`, …) and returns the report.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait_for(&mut self, kind: &str, limit: Duration) -> String {
        let started = Instant::now();
        let wanted = format!("\"type\":\"{kind}\"");
        loop {
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some(at) = text.find(&wanted) {
                let end = text[at..].find("},").map_or(text.len(), |end| at + end);
                return text[at..end].to_owned();
            }
            assert!(
                started.elapsed() < limit,
                "baresip did not report {kind} within {limit:?}; it reported {text}\n{}",
                self.running.tail()
            );
            self.listen_once();
        }
    }

    /// Whether baresip has reported `kind` so far.
    pub fn reported(&mut self, kind: &str) -> bool {
        self.listen_once();
        String::from_utf8_lossy(&self.heard).contains(&format!("\"type\":\"{kind}\""))
    }

    /// What it decoded in the last call.
    ///
    /// # Errors
    /// When nothing was recorded.
    pub fn recording(&self) -> Result<Audio, String> {
        let newest = std::fs::read_dir(&self.recordings)
            .map_err(|error| error.to_string())?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .max();
        Audio::read_wav(&newest.ok_or("baresip recorded nothing")?)
    }

    fn command(&mut self, command: &str, parameters: &str) {
        let message = serde_json::json!({ "command": command, "params": parameters, "token": "t" })
            .to_string();
        write!(self.control, "{}:{message},", message.len()).expect("baresip's control connection");
    }

    fn listen_once(&mut self) {
        let mut buffer = [0; 4096];
        if let Ok(count) = self.control.read(&mut buffer) {
            self.heard.extend_from_slice(&buffer[..count]);
        }
    }
}
