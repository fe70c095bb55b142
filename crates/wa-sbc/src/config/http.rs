//! `[http]`: metrics, health and the operator's interface.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip::Secret;
use toml::Spanned;

use super::objection::Critic;
use super::secret::SecretSource;

/// `[http]`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to bind; nothing is served when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Spanned<SocketAddr>>,
    /// What a request has to bring as `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Spanned<SecretSource>>,
    /// Percent of users' calls to a number that have to be answered; 0: no alarm.
    pub answer_alarm: u8,
    /// Seconds between two rounds of the doctor; 0: none.
    pub doctor_every: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: None,
            token: None,
            answer_alarm: 50,
            doctor_every: 300,
        }
    }
}

/// What is served over HTTP.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Where; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// What a request has to bring; `None`: nothing, on a loopback address.
    pub token: Option<Secret<String>>,
    /// Percent of users' calls that have to be answered; 0: no alarm.
    pub answer_alarm: u8,
    /// Time between two rounds of the doctor.
    pub doctor_every: Option<Duration>,
}

impl Http {
    pub(super) fn resolve(
        &self,
        critic: &mut Critic<'_>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> HttpSettings {
        let token = self.token.as_ref().and_then(|source| {
            let remedy = "set it before wa-sbc starts";
            critic.fetched(source, environment, "http.token", remedy)
        });
        if let Some(listen) = &self.listen
            && self.token.is_none()
            && !listen.get_ref().ip().is_loopback()
        {
            critic.object(
                listen.span(),
                "http.listen",
                "whoever reaches this address could hang up calls",
                "listen on 127.0.0.1, or add token = { file = \"/etc/wa-sbc/http-token\" }",
            );
        }
        HttpSettings {
            listen: self.listen.as_ref().map(|listen| *listen.get_ref()),
            token,
            answer_alarm: self.answer_alarm.min(100),
            doctor_every: (self.doctor_every > 0).then(|| Duration::from_secs(self.doctor_every)),
        }
    }
}
