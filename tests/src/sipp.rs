//! SIPp: exact headers, exact flows, load. Scenarios stand in `tests/sipp/`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::place::Place;
use crate::running::{Running, workspace};
use crate::sbc::{DOMAIN, HOST, NUMBER, PASSWORD, USER, USERNAME};
use crate::tone::{AGENT_HZ, Audio, to_alaw};
use crate::tools::find;

/// A run of SIPp to be started.
pub struct Sipp {
    pub(crate) name: String,
    scenario: String,
    values: Vec<(String, String)>,
    tcp: bool,
    local: SocketAddr,
    calls: u32,
    quiet: bool,
    arguments: Vec<String>,
}

impl Sipp {
    /// A run of `tests/sipp/<scenario>.xml` from `local`, one call over UDP.
    pub fn new(name: &str, scenario: &str, local: SocketAddr) -> Sipp {
        Sipp {
            name: name.to_owned(),
            scenario: scenario.to_owned(),
            values: Vec::new(),
            tcp: false,
            local,
            calls: 1,
            quiet: false,
            arguments: Vec::new(),
        }
    }

    /// Meta by this scenario, called `meta`: the usual host, numbers and password, Call-IDs as Meta makes them.
    pub fn meta(scenario: &str, local: SocketAddr) -> Sipp {
        Sipp::new("meta", scenario, local)
            .fill("HOST", HOST)
            .fill("DOMAIN", DOMAIN)
            .fill("CALLER", USER)
            .fill("CALLEE", r"\+12195550714")
            .fill("USER", USERNAME)
            .fill("PASSWORD", PASSWORD)
            .fill("TALK", "1500")
            .with(&["-auth_uri", &format!("{NUMBER}@{HOST}")])
            .with(&[
                "-cid_str",
                "outgoing:wacid.HBgLMTIxOTU1NTA3MTQVAgASGCA%p%u=",
            ])
    }

    /// The PBX by this scenario, called `pbx`: PCMA, calls from the business number, says what `agent.al` holds.
    pub fn pbx(scenario: &str, local: SocketAddr) -> Sipp {
        Sipp::new("pbx", scenario, local)
            .codec("PCMA")
            .fill("TONE", "agent.al")
            .fill("TALK", "1500")
            .fill("CALLER", NUMBER)
    }

    /// Under another name: of its log, its messages and its scenario as filled in.
    pub fn named(mut self, name: &str) -> Sipp {
        self.name = name.to_owned();
        self
    }

    /// Over TCP, one connection.
    pub fn tcp(mut self) -> Sipp {
        self.tcp = true;
        self
    }

    /// This many calls.
    pub fn calls(mut self, calls: u32) -> Sipp {
        self.calls = calls;
        self
    }

    /// Without keeping every message: for load.
    pub fn quietly(mut self) -> Sipp {
        self.quiet = true;
        self
    }

    /// What stands as `@key@` in the scenario and its session descriptions; the last word on a key holds.
    pub fn fill(mut self, key: &str, value: &str) -> Sipp {
        let key = format!("@{key}@");
        self.values.retain(|(known, _)| *known != key);
        self.values.push((key, value.to_owned()));
        self
    }

    /// The PBX's codec: `PCMA` or `PCMU`.
    pub fn codec(self, codec: &str) -> Sipp {
        let pt = if codec == "PCMA" { "8" } else { "0" };
        self.fill("CODEC", codec).fill("PT", pt)
    }

    /// Further arguments, as SIPp's own manual names them.
    pub fn with(mut self, arguments: &[&str]) -> Sipp {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Waits for calls.
    ///
    /// # Panics
    /// When SIPp cannot be started or does not open its port.
    pub fn answer(self, place: &Place) -> Running {
        let (local, tcp) = (self.local, self.tcp);
        let running = self.start(place, None);
        wait_listening(local, tcp);
        running
    }

    /// Calls `service` at `remote`.
    ///
    /// # Panics
    /// When SIPp cannot be started.
    pub fn call(self, place: &Place, service: &str, remote: SocketAddr) -> Running {
        self.with(&["-s", service]).start(place, Some(remote))
    }

    fn start(self, place: &Place, remote: Option<SocketAddr>) -> Running {
        let scenario = self.written(place);
        let mut command = Command::new(find("sipp").expect("the test asked for sipp"));
        command
            .current_dir(place.directory())
            .arg("-sf")
            .arg(scenario)
            .args([
                "-i",
                &self.local.ip().to_string(),
                "-p",
                &self.local.port().to_string(),
            ])
            .args(["-mi", &self.local.ip().to_string()])
            .args(["-t", if self.tcp { "t1" } else { "u1" }])
            .args(["-m", &self.calls.to_string(), "-nostdin", "-nd"])
            .args(["-timeout", "180s", "-timeout_error"])
            .args([
                "-trace_err",
                "-error_file",
                &format!("{}.errors", self.name),
            ])
            .args(&self.arguments);
        if !self.quiet {
            command.args([
                "-trace_msg",
                "-message_file",
                &format!("{}.messages", self.name),
            ]);
        }
        if let Some(remote) = remote {
            command.arg(remote.to_string());
        }
        Running::start(place, &self.name, &mut command)
    }

    // The scenario with its values filled in, in the test's directory.
    fn written(&self, place: &Place) -> PathBuf {
        let source = |name: &str| {
            let path = workspace().join("tests/sipp").join(name);
            std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        // Session descriptions stand indented like the messages they are put into.
        let indented = |name: &str| source(name).trim_end().replace('\n', "\n      ");
        let mut text = source(&format!("{}.xml", self.scenario))
            .replace("@SDP_PBX@", &indented("pbx.sdp"))
            .replace("@SDP_META@", &indented("meta.sdp"));
        for (key, value) in &self.values {
            text = text.replace(key, value);
        }
        place.write(&format!("{}.xml", self.name), text)
    }
}

/// Writes what the PBX's script plays: the agent's tone, so many seconds of it in A-law.
pub fn agent_says(place: &Place, seconds: f64) {
    let tone = Audio::tone(AGENT_HZ, 8000, seconds);
    place.write("agent.al", to_alaw(&tone.samples));
}

/// All messages SIPp has sent and received in this run.
pub fn messages(place: &Place, name: &str) -> String {
    String::from_utf8_lossy(
        &std::fs::read(place.path(&format!("{name}.messages"))).unwrap_or_default(),
    )
    .into_owned()
}

/// What SIPp complained about in this run, with the messages of the run: for a failing test.
pub fn complaint(place: &Place, name: &str) -> String {
    let errors = std::fs::read(place.path(&format!("{name}.errors"))).unwrap_or_default();
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&errors),
        messages(place, name)
    )
}

/// Waits until SIPp has ended, successfully.
///
/// # Panics
/// With SIPp's complaint and all messages, when it ends otherwise or not within `limit`.
pub fn succeed(place: &Place, name: &str, running: &mut Running, limit: Duration) {
    let status = running.finish(limit);
    assert!(
        status.success(),
        "SIPp {name} ended with {status}\n{}",
        complaint(place, name)
    );
}

/// Waits until somebody listens at `address`, by looking at the kernel's table: a probing packet would be a call to SIPp.
///
/// # Panics
/// When nobody does within 10 s.
pub fn wait_listening(address: SocketAddr, tcp: bool) {
    let IpAddr::V4(ip) = address.ip() else {
        panic!("the loopback addresses of tests are IPv4")
    };
    let wanted = format!(
        "{:08X}:{:04X}",
        u32::from_le_bytes(ip.octets()),
        address.port()
    );
    let anywhere = format!("00000000:{:04X}", address.port());
    let table = if tcp {
        "/proc/net/tcp"
    } else {
        "/proc/net/udp"
    };
    crate::place::wait_until(
        &format!("somebody listens at {address}"),
        Duration::from_secs(10),
        || {
            std::fs::read_to_string(table)
                .unwrap_or_default()
                .lines()
                .any(|line| {
                    let fields: Vec<&str> = line.split_whitespace().collect();
                    let bound = fields
                        .get(1)
                        .is_some_and(|local| *local == wanted || *local == anywhere);
                    bound && (!tcp || fields.get(3) == Some(&"0A"))
                })
        },
    );
}
