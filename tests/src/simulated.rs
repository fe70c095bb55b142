//! The simulated Meta and PBX as processes of their own: `wa-sbc sim meta` and `wa-sbc sim pbx`. They write one JSON object a
//! line for everything that happens, and end with status 0 only if no rule was broken.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::certificates::Authority;
use crate::place::{Place, wait_until};
use crate::running::Running;
use crate::sbc::{HOST, NUMBER, PASSWORD, binary};
use crate::tone::{AGENT_HZ, USER_HZ};

/// A simulated peer.
pub struct Simulated {
    /// The program.
    pub running: Running,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Where the simulated Meta of this place listens.
pub fn meta_address(place: &Place) -> SocketAddr {
    SocketAddr::new(place.address(21), 5061)
}

/// Where the simulated PBX of this place listens.
pub fn pbx_address(place: &Place) -> SocketAddr {
    SocketAddr::new(place.address(31), 5060)
}

impl Simulated {
    /// Starts a Meta that speaks and expects to hear the agent; `arguments` are those of `wa-sbc sim meta`.
    ///
    /// # Panics
    /// When it does not listen within 10 s.
    pub fn meta(place: &Place, authority: &Authority, name: &str, arguments: &[&str]) -> Simulated {
        let listen = meta_address(place);
        let identity = authority.identity(place, &["wa.meta.vc"]);
        let mut command = Command::new(binary());
        command
            .args(["sim", "meta", "--listen", &listen.to_string(), "--cert"])
            .arg(&identity.certificate)
            .arg("--key")
            .arg(&identity.key)
            .arg("--ca")
            .arg(&authority.certificate)
            .args([
                "--sbc",
                &SocketAddr::new(place.address(1), 5061).to_string(),
            ])
            .args(["--number", NUMBER, "--hostname", HOST])
            .args(arguments)
            .env("WA_SIP_PASSWORD", PASSWORD);
        Simulated::start(place, name, &mut command, listen)
    }

    /// Starts a PBX that speaks and expects to hear the user; `arguments` are those of `wa-sbc sim pbx`.
    ///
    /// # Panics
    /// When it does not listen within 10 s.
    pub fn pbx(place: &Place, name: &str, arguments: &[&str]) -> Simulated {
        let listen = pbx_address(place);
        let mut command = Command::new(binary());
        command
            .args(["sim", "pbx", "--listen", &listen.to_string()])
            .args([
                "--sbc",
                &SocketAddr::new(place.address(2), 5060).to_string(),
            ])
            .args(arguments);
        Simulated::start(place, name, &mut command, listen)
    }

    /// Starts a peer by this command and waits until it listens there.
    ///
    /// # Panics
    /// When it does not within 10 s.
    pub fn start(
        place: &Place,
        name: &str,
        command: &mut Command,
        listen: SocketAddr,
    ) -> Simulated {
        let running = Running::start_listening(place, name, command);
        let mut peer = Simulated { running, listen };
        wait_until(&format!("{name} listens"), Duration::from_secs(10), || {
            assert!(
                peer.running.alive(),
                "{name} ended at its start:\n{}",
                peer.running.tail()
            );
            !peer.events("listening").is_empty()
        });
        peer
    }

    /// Everything reported so far.
    pub fn reports(&self) -> Vec<Value> {
        self.running
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The reports of one kind: `answered`, `heard`, `ended`, …
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.reports()
            .into_iter()
            .filter(|report| report["event"] == kind)
            .collect()
    }

    /// Waits for `count` reports of one kind.
    ///
    /// # Panics
    /// When they do not come within `limit`.
    pub fn wait_for(&mut self, kind: &str, count: usize, limit: Duration) {
        wait_until(&format!("{count} times {kind}"), limit, || {
            let there = self.events(kind).len() >= count;
            assert!(
                there || self.running.alive(),
                "ended before {kind}:\n{}",
                self.running.tail()
            );
            there
        });
    }

    /// Waits until the peer has done all it was started for, and found no fault.
    ///
    /// # Panics
    /// When it does not end within `limit`, or found a fault.
    pub fn succeed(&mut self, limit: Duration) {
        self.running.succeed(limit);
        for kind in [
            "violation",
            "forbidden",
            "failed",
            "rejected",
            "unconfirmed",
            "media_timeout",
            "misunderstood",
        ] {
            let found = self.events(kind);
            assert!(
                found.is_empty(),
                "{kind}: {found:?}\n{}",
                self.running.tail()
            );
        }
    }

    /// The verdict on the audio of the `call`-th call, from 0: the expected tone within 3 dB, no gap above 40 ms, one SSRC,
    /// nothing lost, nothing undecryptable.
    ///
    /// # Errors
    /// In plain words, what was wrong.
    pub fn heard(&self, call: usize) -> Result<Value, String> {
        let all = self.events("heard");
        let heard = all
            .get(call)
            .ok_or_else(|| format!("nothing was heard in call {call}"))?;
        let number = |key: &str| heard[key].as_f64().unwrap_or(f64::NAN);
        let sound = heard["tone_found"] == true
            && number("level_error_db").abs() <= 3.0
            && number("longest_tone_gap_ms") <= 40.0
            && number("lost") == 0.0
            && number("bad") == 0.0
            && number("ssrcs") == 1.0
            && number("packets") > 0.0;
        if sound {
            Ok(heard.clone())
        } else {
            Err(heard.to_string())
        }
    }
}

/// The arguments that make the user speak with his tone and listen for the agent's.
pub fn user_speaks() -> [String; 4] {
    [
        "--tone".into(),
        USER_HZ.to_string(),
        "--expect".into(),
        AGENT_HZ.to_string(),
    ]
}

/// The arguments that make the agent speak with his tone and listen for the user's.
pub fn agent_speaks() -> [String; 4] {
    [
        "--tone".into(),
        AGENT_HZ.to_string(),
        "--expect".into(),
        USER_HZ.to_string(),
    ]
}
