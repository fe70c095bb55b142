//! `[hep]`: where a Homer hears of calls.

use serde::{Deserialize, Serialize};
use sip::Secret;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;

/// `[hep]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hep {
    /// The collector, host and port.
    pub server: Spanned<String>,
    /// How packets go there: udp or tcp.
    #[serde(default = "Hep::default_transport")]
    pub transport: Spanned<String>,
    /// Our capture id.
    #[serde(default = "Hep::default_agent")]
    pub agent: u32,
    /// What the collector wants to see in every packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Spanned<SecretSource>>,
    /// Send our RTCP reports too.
    #[serde(default = "Hep::default_rtcp")]
    pub rtcp: bool,
    /// Send messages that belong to no call too: OPTIONS, REGISTER, what strangers say.
    #[serde(default)]
    pub all: bool,
    /// Leave keys of SRTP and answers to challenges in the messages.
    #[serde(default)]
    pub secrets: bool,
    /// Messages and reports that may wait to be sent.
    #[serde(default = "Hep::default_queue")]
    pub queue: Spanned<usize>,
}

/// Where a Homer hears of calls.
#[derive(Clone, Debug)]
pub struct HepSettings {
    /// The collector, host and port.
    pub server: String,
    /// How packets go there.
    pub transport: HepTransport,
    /// Our capture id.
    pub agent: u32,
    /// What the collector wants to see in every packet.
    pub password: Option<Secret<String>>,
    /// Our RTCP reports too.
    pub rtcp: bool,
    /// Messages that belong to no call too.
    pub all: bool,
    /// Keys and answers to challenges stay in the messages.
    pub secrets: bool,
    /// Messages and reports that may wait.
    pub queue: usize,
}

/// How packets go to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HepTransport {
    /// One datagram each.
    Udp,
    /// One after the other on a connection.
    Tcp,
}

impl Hep {
    fn default_transport() -> Spanned<String> {
        Spanned::new(0..0, "udp".to_owned())
    }

    fn default_agent() -> u32 {
        2001
    }

    fn default_rtcp() -> bool {
        true
    }

    fn default_queue() -> Spanned<usize> {
        Spanned::new(0..0, 4096)
    }

    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> HepSettings {
        let server = self.server.get_ref();
        if !is_host_and_port(server) {
            critic.object(
                self.server.span(),
                "hep.server",
                format!("`{server}` is no host with a port"),
                "write \"homer.example.com:9060\"",
            );
        }
        let transport = match self.transport.get_ref().as_str() {
            "udp" => HepTransport::Udp,
            "tcp" => HepTransport::Tcp,
            other => {
                critic.object(
                    self.transport.span(),
                    "hep.transport",
                    format!("`{other}` carries no HEP"),
                    "write \"udp\" or \"tcp\"",
                );
                HepTransport::Udp
            }
        };
        if !(1..=1_000_000).contains(self.queue.get_ref()) {
            critic.object(
                self.queue.span(),
                "hep.queue",
                "it goes from 1 to 1000000",
                "write 4096 unless wa_sbc_hep_dropped_total grows",
            );
        }
        let password = self.password.as_ref().and_then(|source| {
            let remedy =
                "set it before wa-sbc starts, or leave the line out if the collector asks for none";
            critic.fetched(source, environment, "hep.password", remedy)
        });
        HepSettings {
            server: server.clone(),
            transport,
            agent: self.agent,
            password,
            rtcp: self.rtcp,
            all: self.all,
            secrets: self.secrets,
            queue: (*self.queue.get_ref()).clamp(1, 1_000_000),
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    is_port && !host.is_empty() && !bare_v6 && !host.contains(char::is_whitespace)
}
