//! The thread that posts, and the bounded queue in front of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use ureq::Agent;

use super::spans::request;
use crate::clock;
use crate::config::OtlpSettings;
use crate::net::agent::agent;
use crate::records::line;
use crate::tap::{Moment, Tap};

/// Calls in one request at most.
const BATCH: usize = 100;
/// How long the first call of a request waits for others.
const GATHER: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a collector that takes nothing is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What happened, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct OtlpCounts {
    /// Calls whose traces were taken.
    pub(crate) sent: AtomicU64,
    /// Those that found no room in the queue.
    pub(crate) crowded: AtomicU64,
    /// Those the collector refused.
    pub(crate) refused: AtomicU64,
    /// Those it was not there for until the end of the program.
    pub(crate) unreached: AtomicU64,
}

/// Where calls that are over are handed on. Never waits.
#[derive(Debug)]
pub(crate) struct Exporter {
    node: u16,
    lines: Option<SyncSender<String>>,
    counts: Arc<OtlpCounts>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts the thread.
    pub(crate) fn start(settings: &OtlpSettings, node: u16) -> io::Result<Exporter> {
        let (lines, receiver) = sync_channel(settings.queue);
        let counts = Arc::new(OtlpCounts::default());
        let posting = Posting {
            agent: agent(settings.authority.as_deref(), settings.timeout, "[otlp]")?,
            settings: settings.clone(),
            node,
            counts: counts.clone(),
            complained: None,
        };
        let thread = std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || posting.run(&receiver))?;
        Ok(Exporter {
            node,
            lines: Some(lines),
            counts,
            thread: Some(thread),
        })
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Arc<OtlpCounts> {
        self.counts.clone()
    }
}

impl Tap for Exporter {
    fn hear(&mut self, _: SystemTime, moment: &Moment<'_>) {
        if let (Moment::Ended(record), Some(lines)) = (moment, &self.lines)
            && lines.try_send(line(self.node, record)).is_err()
        {
            self.counts.crowded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is queued is tried once more; a collector that is not there is not waited for.
impl Drop for Exporter {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How a request went.
enum Went {
    Taken,
    /// It will never be taken.
    Refused(String),
    /// It may be taken later.
    Later(String),
}

struct Posting {
    agent: Agent,
    settings: OtlpSettings,
    node: u16,
    counts: Arc<OtlpCounts>,
    complained: Option<Instant>,
}

impl Posting {
    fn run(mut self, lines: &Receiver<String>) {
        let mut waiting: VecDeque<String> = VecDeque::new();
        let mut open = true;
        while open || !waiting.is_empty() {
            if waiting.is_empty() {
                let Ok(first) = lines.recv() else { return };
                waiting.push_back(first);
                open = self.gather(lines, &mut waiting, GATHER);
            }
            let batch: Vec<String> = waiting.drain(..waiting.len().min(BATCH)).collect();
            let request = request(self.node, &batch, self.settings.numbers);
            let mut pause = FIRST_PAUSE;
            let count = loop {
                match self.post(&request) {
                    Went::Taken => break &self.counts.sent,
                    Went::Refused(why) => {
                        self.complain(&why);
                        break &self.counts.refused;
                    }
                    Went::Later(why) => self.complain(&why),
                }
                if !open {
                    // Nobody waits for a collector that is not there at the end.
                    let left = waiting.drain(..).count() as u64;
                    self.counts.unreached.fetch_add(left, Ordering::Relaxed);
                    break &self.counts.unreached;
                }
                open = self.gather(lines, &mut waiting, pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
            count.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }

    /// Takes what comes within this time; `false`: nothing will come any more.
    fn gather(
        &self,
        lines: &Receiver<String>,
        waiting: &mut VecDeque<String>,
        within: Duration,
    ) -> bool {
        let until = clock::now() + within;
        loop {
            match lines.recv_timeout(until.saturating_duration_since(clock::now())) {
                Ok(line) if waiting.len() < self.settings.queue => waiting.push_back(line),
                Ok(_) => drop(self.counts.crowded.fetch_add(1, Ordering::Relaxed)),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// OTLP's own rules of what to try again (OTLP/HTTP, "Failures").
    fn post(&self, request: &str) -> Went {
        let mut post = self
            .agent
            .post(&self.settings.url)
            .content_type("application/json");
        if let Some(token) = &self.settings.token {
            post = post.header("authorization", format!("Bearer {}", token.expose()));
        }
        match post.send(request) {
            Ok(answer) if answer.status().is_success() => Went::Taken,
            Ok(answer) => {
                let why = format!("it answers {}", answer.status());
                match answer.status().as_u16() {
                    429 | 502 | 503 | 504 => Went::Later(why),
                    _ => Went::Refused(why),
                }
            }
            Err(error) => Went::Later(error.to_string()),
        }
    }

    fn complain(&mut self, why: &str) {
        let now = clock::now();
        if self
            .complained
            .is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_EVERY)
        {
            self.complained = Some(now);
            tracing::warn!(
                url = self.settings.url,
                why,
                "the collector of traces does not take them; calls go on, what finds no room is counted"
            );
        }
    }
}
