//! The media threads, as the core task sees them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use b2bua::{CallId, MediaCommand, MediaEvent};
use rustls::crypto::ring;
use tokio::sync::mpsc::UnboundedSender;

use super::gauge::Gauge;
use super::poll::{Bell, Poll};
use super::shared::SharedPort;
use super::worker::{Command, Worker};
use crate::capture::{Glimpses, Watched, glimpses};
use crate::clock;
use crate::config::MediaSettings;
use crate::load;

/// All media threads. A call always goes to the same one.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    commands: Sender<Command>,
    bell: Bell,
    handle: JoinHandle<()>,
    gauge: Arc<Gauge>,
}

impl Workers {
    /// Starts the threads. What they have to tell goes to `events`; there are a handful of events
    /// per call, so the channel needs no bound of its own.
    pub fn start(
        settings: &MediaSettings,
        events: &UnboundedSender<(CallId, MediaEvent)>,
    ) -> io::Result<Workers> {
        let random = ring::default_provider().secure_random;
        let mut threads = Vec::new();
        let (shared, ports) = settings.divided();
        for (index, range) in ports.split(settings.threads).into_iter().enumerate() {
            let poll = Poll::new()?;
            let shared = shared
                .get(index)
                .map(|port| {
                    SharedPort::bind(settings, *port, &poll).map_err(|error| {
                        let at = settings.public_bind;
                        let why = format!("[media] meta_port: {at} port {port}: {error}");
                        io::Error::new(error.kind(), why)
                    })
                })
                .transpose()?;
            let bell = poll.bell();
            let (commands, receiver) = channel();
            let gauge = Arc::new(Gauge::default());
            let worker = Worker::new(
                poll,
                receiver,
                events.clone(),
                settings.clone(),
                range,
                random,
                gauge.clone(),
            )
            .sharing(shared);
            let handle = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || {
                    worker.gauge.runs_as(load::thread_id());
                    if let Err(error) = worker.run() {
                        tracing::error!(%error, index, "a media thread ended");
                    }
                })?;
            threads.push(Thread {
                commands,
                bell,
                handle,
                gauge,
            });
        }
        Ok(Workers { threads })
    }

    /// Hands a command to the thread of the call. Never waits. `false` when that thread is gone.
    pub fn send(&self, call: CallId, command: MediaCommand) -> bool {
        self.tell(call, Command::Call(call, command))
    }

    /// Gives every thread somewhere to show packets of captured calls; the other ends.
    pub(crate) fn tap(&self) -> Vec<Glimpses> {
        let mut ends = Vec::new();
        for thread in &self.threads {
            let (tap, end) = glimpses(clock::now(), clock::wall());
            let _ = thread.commands.send(Command::Tap(Some(Box::new(tap))));
            thread.bell.ring();
            ends.push(end);
        }
        ends
    }

    /// Nothing is captured any more: takes back what [`Workers::tap`] gave.
    pub(crate) fn untap(&self) {
        self.tell_all(|| Command::Tap(None));
    }

    /// A call is captured from now on.
    pub(crate) fn watch(&self, call: CallId, watched: Watched) {
        let _ = self.tell(call, Command::Watch(call, watched));
    }

    /// These no longer capture anything.
    pub(crate) fn unwatch(&self, by: u8) {
        self.tell_all(|| Command::Unwatch(by));
    }

    fn tell(&self, call: CallId, command: Command) -> bool {
        let thread = &self.threads[call.0 as usize % self.threads.len()];
        thread.commands.send(command).is_ok() && thread.bell.ring()
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for thread in &self.threads {
            let _ = thread.commands.send(command());
            thread.bell.ring();
        }
    }

    /// Whether one of the threads has this id.
    pub(crate) fn run_as(&self, thread: u32) -> bool {
        let mut gauges = self.threads.iter().map(|thread| &thread.gauge);
        gauges.any(|gauge| gauge.thread() == Some(thread))
    }

    /// How busy each thread is.
    pub fn gauges(&self) -> Vec<Arc<Gauge>> {
        self.threads
            .iter()
            .map(|thread| thread.gauge.clone())
            .collect()
    }

    /// Ends the threads and waits for them.
    pub fn stop(self) {
        for thread in &self.threads {
            let _ = thread.commands.send(Command::Stop);
            thread.bell.ring();
        }
        for thread in self.threads {
            let _ = thread.handle.join();
        }
    }
}
