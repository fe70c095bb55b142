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
use super::worker::{Command, Worker};
use crate::config::MediaSettings;

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
        for (index, range) in settings
            .ports
            .split(settings.threads)
            .into_iter()
            .enumerate()
        {
            let poll = Poll::new()?;
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
            );
            let handle = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || {
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
        let thread = &self.threads[call.0 as usize % self.threads.len()];
        thread.commands.send(Command::Call(call, command)).is_ok() && thread.bell.ring()
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
