//! Records to a server of the operator's, by HTTP POST, signed.
//!
//! ```text
//!   writer ─► Spooled (a place) ─► Queue on disk ─► thread ── POST ──► server
//!                                       ▲              │ 2xx: next; anything else: again,
//!                                       └── position ──┘ after 1, 2, 4 … 300 s
//! ```
//!
//! A record counts as written for the journal once it is in the queue; from there the queue is its memory.
//! The server gets every record at least once and in order, up to a hundred at a time as a JSON array. One
//! it does not take holds up those behind it (`docs/adr/0018-a-webhook-is-a-queue.md`).
//!
//! ```text
//!   Wa-Sbc-Signature: t=<seconds since 1970>,v1=<hex of HMAC-SHA256(secret, t "." body)>
//! ```

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::entry::Entry;
use super::queue::Queue;
use super::sink::{Sink, SinkCounts};
use crate::clock;
use crate::config::WebhookSettings;

/// The header that proves who sends, and when.
const SIGNATURE: &str = "wa-sbc-signature";
/// Records in one request at most.
const BATCH: usize = 100;
/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often a server that takes nothing is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// What is still delivered at the end of the program; the rest waits in the queue.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The queue, and the bell that rings when something is in it or nothing will be any more.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// When the last delivery has to have begun.
    ends: Option<Instant>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place in front of the queue.
#[derive(Debug)]
pub(super) struct Spooled {
    shared: Arc<Shared>,
    delivered: Arc<SinkCounts>,
}

impl Sink for Spooled {
    fn name(&self) -> &'static str {
        "webhook_spool"
    }

    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.queue.push(entries)?;
        self.delivered
            .waiting
            .store(state.queue.waiting(), Ordering::Relaxed);
        self.shared.changed.notify_one();
        Ok(())
    }
}

/// The thread that delivers.
#[derive(Debug)]
pub(super) struct Webhook {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

impl Webhook {
    /// Opens the queue in `directory` and goes on delivering what waits there.
    pub(super) fn start(
        settings: &WebhookSettings,
        directory: &Path,
    ) -> io::Result<(Webhook, Spooled, Arc<SinkCounts>)> {
        let queue = Queue::open(directory, "webhook", settings.spool_octets)?;
        let counts = SinkCounts::new("webhook");
        counts.waiting.store(queue.waiting(), Ordering::Relaxed);
        let state = Mutex::new(State { queue, ends: None });
        let shared = Arc::new(Shared {
            state,
            changed: Condvar::new(),
        });
        let delivery = Delivery {
            agent: agent(settings)?,
            settings: settings.clone(),
            shared: shared.clone(),
            counts: counts.clone(),
            complained: None,
        };
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name("webhook".into())
            .spawn(move || delivery.run(end))?;
        let place = Spooled {
            shared: shared.clone(),
            delivered: counts.clone(),
        };
        Ok((Webhook { shared, ended }, place, counts))
    }

    /// Delivers what the server takes at once. A request that hangs is left to the next start.
    pub(super) fn finish(self) {
        self.shared.lock().ends = Some(clock::now() + LAST_WORDS);
        self.shared.changed.notify_one();
        if self.ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the webhook's server is slow; the rest of the records waits for the next start"
            );
        }
    }
}

fn agent(settings: &WebhookSettings) -> io::Result<Agent> {
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    if let Some(path) = &settings.authority {
        let wrong = |why: &dyn std::fmt::Display| {
            io::Error::other(format!(
                "{}, the ca of [records.webhook]: {why}",
                path.display()
            ))
        };
        let text = std::fs::read(path).map_err(|error| wrong(&error))?;
        for item in parse_pem(&text) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
                roots.push(certificate);
            }
        }
        if roots.is_empty() {
            return Err(wrong(&"there is no certificate in it"));
        }
    }
    let roots = match roots.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::from(roots),
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_global(Some(settings.timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent("wa-sbc")
        .build();
    Ok(config.into())
}

/// Who delivers.
struct Delivery {
    agent: Agent,
    settings: WebhookSettings,
    shared: Arc<Shared>,
    counts: Arc<SinkCounts>,
    complained: Option<Instant>,
}

impl Delivery {
    /// Delivers until the end; dropping `_end` says that it has come.
    fn run(mut self, _end: Sender<()>) {
        let mut pause = Duration::ZERO;
        while self.wait(pause) {
            pause = match self.deliver() {
                Ok(()) => Duration::ZERO,
                Err(why) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    self.complain(&why);
                    (pause * 2).clamp(FIRST_PAUSE, self.settings.longest_pause)
                }
            };
        }
    }

    /// Waits until something waits, and after a failure for `pause` besides; whether to go on.
    fn wait(&self, pause: Duration) -> bool {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, pause, |state| state.ends.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let state = self
            .shared
            .changed
            .wait_while(state, |state| {
                state.ends.is_none() && state.queue.waiting() == 0
            })
            .unwrap_or_else(PoisonError::into_inner);
        match state.ends {
            // The last attempt has failed, or there is nothing more.
            Some(end) => pause.is_zero() && state.queue.waiting() > 0 && clock::now() < end,
            None => true,
        }
    }

    /// Delivers the oldest records. The queue is not held meanwhile.
    fn deliver(&mut self) -> Result<(), String> {
        let peeked = self.shared.lock().queue.peek(BATCH);
        let Some(batch) = peeked.map_err(|error| error.to_string())? else {
            return Err("the queue on disk cannot be read on".into());
        };
        let body = format!("[{}]", batch.lines.join(",\n"));
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
        if !status.is_success() {
            return Err(format!("it answers {status}"));
        }
        let mut state = self.shared.lock();
        let advanced = state.queue.advance(&batch);
        self.counts
            .written
            .fetch_add(batch.lines.len() as u64, Ordering::Relaxed);
        self.counts
            .waiting
            .store(state.queue.waiting(), Ordering::Relaxed);
        drop(state);
        if let Err(error) = advanced {
            tracing::warn!(%error, "how far the webhook is, is not kept: after a crash its server would get records again");
        }
        if self.complained.take().is_some() {
            tracing::info!(
                url = self.settings.url,
                "the webhook's server takes records again"
            );
        }
        Ok(())
    }

    fn complain(&mut self, why: &str) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.complained = Some(clock::now());
            let waiting = self.counts.waiting.load(Ordering::Relaxed);
            tracing::error!(
                url = self.settings.url,
                why,
                waiting,
                "the webhook's server does not take records; they wait on disk, calls go on"
            );
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
