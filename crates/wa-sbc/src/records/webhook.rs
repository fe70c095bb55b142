//! Records to a server of the operator's, by HTTP POST, signed.
//!
//! The server gets every record at least once and in order, up to a hundred at a time as a JSON array.
//! Anything but 2xx, and they come again (`spool.rs`).
//!
//! ```text
//!   Wa-Sbc-Signature: t=<seconds since 1970>,v1=<hex of HMAC-SHA256(secret, t "." body)>
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Agent;

use super::sink::SinkCounts;
use super::spool::{Address, Courier, Delivery, Spooled};
use crate::clock;
use crate::config::WebhookSettings;
use crate::net::agent::agent;

/// The header that proves who sends, and when.
const SIGNATURE: &str = "wa-sbc-signature";

/// Opens the queue in `directory` and goes on posting what waits there.
pub(super) fn start(
    settings: &WebhookSettings,
    directory: &Path,
) -> io::Result<(Delivery, Spooled, Arc<SinkCounts>)> {
    let address = Address {
        name: "webhook",
        spool: "webhook_spool",
        at: settings.url.clone(),
        octets: settings.spool_octets,
        longest_pause: settings.longest_pause,
    };
    let courier = Poster {
        agent: agent(
            settings.authority.as_deref(),
            settings.timeout,
            "[records.webhook]",
        )?,
        settings: settings.clone(),
    };
    Delivery::start(address, directory, Box::new(courier))
}

/// Who posts.
struct Poster {
    agent: Agent,
    settings: WebhookSettings,
}

impl Courier for Poster {
    fn bring(&mut self, lines: &[String]) -> Result<(), String> {
        let body = format!("[{}]", lines.join(",\n"));
        let seconds = clock::wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let signature = signature(self.settings.secret.expose().as_bytes(), seconds, &body);
        let posted = self
            .agent
            .post(&self.settings.url)
            .content_type("application/json")
            .header(SIGNATURE, &signature)
            .send(&body);
        let status = posted.map_err(|error| error.to_string())?.status();
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("it answers {status}")),
        }
    }
}

/// Over the time as well, so that a request overheard cannot be sent again later.
pub(super) fn signature(secret: &[u8], seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_says_it_is() {
        // printf '1700000000.[{}]' | openssl dgst -sha256 -hmac s3cret
        let expected =
            "t=1700000000,v1=d11a920378d6f05d739049b53e5196262c36743f9e215eb6d42e7ef4ab8dae49";
        assert_eq!(signature(b"s3cret", 1_700_000_000, "[{}]"), expected);
    }
}
