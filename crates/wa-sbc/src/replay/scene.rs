//! Who is who in a capture: `scene.toml`. What is not written is as in the simulator's usual world.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use b2bua::E164;
use b2bua::settings::Settings;
use sdp::Codec;
use serde::{Deserialize, Serialize};
use sip::{Secret, Target, Transport};

use super::ReplayError;

/// A scene.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scene {
    /// What it shows, in a sentence.
    pub about: String,
    /// Our addresses.
    pub sbc: Vec<IpAddr>,
    /// The PBX.
    pub pbx: SocketAddr,
    /// `udp` or `tcp`.
    pub pbx_transport: String,
    /// The business number.
    pub number: String,
    /// The host Meta calls it at.
    pub host: String,
    /// The host of our From.
    pub domain: String,
    /// Its digest password: one of a lab, or any if answers are blanked.
    pub password: String,
    /// Whether Meta's calls are challenged.
    pub challenge: bool,
    /// Codecs towards Meta.
    pub meta_codecs: Vec<String>,
    /// Codecs towards the PBX.
    pub pbx_codecs: Vec<String>,
    /// Seconds the PBX may ring.
    pub no_answer: u64,
}

impl Default for Scene {
    fn default() -> Self {
        use sim::scene::{HOST, NUMBER, PASSWORD};
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            about: String::new(),
            sbc: vec![[203, 0, 113, 20].into(), [10, 0, 0, 5].into()],
            pbx: ([10, 0, 0, 20], 5060).into(),
            pbx_transport: "udp".into(),
            number: NUMBER.into(),
            host: HOST.into(),
            domain: HOST.into(),
            password: PASSWORD.into(),
            challenge: true,
            meta_codecs: list(&["opus", "telephone-event"]),
            pbx_codecs: list(&["PCMA", "telephone-event"]),
            no_answer: 25,
        }
    }
}

impl Scene {
    /// Reads a `scene.toml`.
    pub fn read(text: &str) -> Result<Scene, ReplayError> {
        toml::from_str(text).map_err(|error| ReplayError::Scene(error.to_string()))
    }

    /// The scene as TOML.
    pub fn print(&self) -> String {
        toml::to_string(self).expect("plain values can always be written")
    }

    pub(super) fn transport(&self) -> Transport {
        match self.pbx_transport.as_str() {
            "tcp" => Transport::Tcp,
            _ => Transport::Udp,
        }
    }

    /// The settings of the core.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = sim::scene::settings();
        if let Some(number) = settings.numbers.first_mut() {
            let number = Arc::make_mut(number);
            if let Some(e164) = E164::parse(&self.number) {
                number.e164 = e164;
            }
            number.host.clone_from(&self.host);
            number.realm.clone_from(&self.host);
            number.domain.clone_from(&self.domain);
            number.username = self.number.trim_start_matches('+').to_owned();
            number.password = Some(Secret::new(self.password.clone()));
            number.challenge = self.challenge;
            number.codecs = codecs(&self.meta_codecs);
            number.no_answer = Duration::from_secs(self.no_answer);
        }
        if let Some(trunk) = settings.trunks.first_mut() {
            let trunk = Arc::make_mut(trunk);
            let host = self.pbx.ip().to_string();
            trunk.target = Target {
                transport: self.transport(),
                host: host.clone(),
                port: self.pbx.port(),
                from: None,
                at: None,
            };
            trunk.domain = host;
            trunk.networks = vec![self.pbx.ip().into()];
            trunk.codecs = codecs(&self.pbx_codecs);
        }
        settings
    }
}

fn codecs(names: &[String]) -> Vec<Codec> {
    const ALL: [Codec; 4] = [Codec::Opus, Codec::Pcma, Codec::Pcmu, Codec::TelephoneEvent];
    let of = |name: &String| {
        ALL.into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    };
    names.iter().filter_map(of).collect()
}
