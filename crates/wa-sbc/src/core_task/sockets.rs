//! The owner of the core and its UDP sockets: a reload brings some and lets others go.

use std::time::{Duration, Instant};

use b2bua::{CallId, Input};
use tokio::task::AbortHandle;

use super::{CoreTask, LAST_WORDS, Reload};
use crate::net::listeners::Received;

/// The UDP sockets by index, and those that are to go.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    receiving: Vec<AbortHandle>,
    /// Index, and the last call that may know the socket.
    leaving: Vec<(usize, Option<CallId>)>,
}

impl Sockets {
    /// Stops receiving; afterwards nobody here holds a port any more.
    pub(super) async fn close(self) {
        self.receiving.iter().for_each(AbortHandle::abort);
        let closed = async {
            while self.receiving.iter().any(|task| !task.is_finished()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, closed).await;
    }
}

impl CoreTask {
    pub(super) fn reload(&mut self, now: Instant, reload: Reload) {
        let Reload {
            core,
            dialer,
            opened,
        } = reload;
        self.add_sockets(opened);
        let last = self.core.newest_call();
        let stays = |index: &usize| dialer.sockets.iter().any(|(stays, _)| stays == index);
        let leaving = &mut self.sockets.leaving;
        leaving.retain(|(index, _)| !stays(index));
        for index in 0..self.sockets.receiving.len() {
            let is_closed = self.sockets.receiving[index].is_finished();
            let is_leaving = leaving.iter().any(|(known, _)| *known == index);
            if !is_closed && !is_leaving && !stays(&index) {
                leaving.push((index, last));
            }
        }
        self.dialer = dialer;
        self.captures.reload(core.clone());
        self.core.handle(now, Input::Reload(Box::new(core)));
    }

    /// Takes further UDP sockets to send from.
    pub(crate) fn add_sockets(&mut self, opened: Vec<Received>) {
        for Received { socket, task } in opened {
            match self.flows.add_socket(socket) {
                Ok(()) => self.sockets.receiving.push(task),
                Err(error) => tracing::error!(%error, "a UDP socket has no address"),
            }
        }
    }

    /// Closes the UDP sockets that were to go and that no call knows any more.
    pub(super) fn close_sockets(&mut self) {
        let Self {
            core,
            flows,
            sockets,
            ..
        } = self;
        let Sockets { receiving, leaving } = sockets;
        leaving.retain(|(index, last)| {
            let known = core
                .oldest_call()
                .is_some_and(|oldest| Some(oldest) <= *last);
            if !known {
                receiving[*index].abort();
                flows.close_socket(*index);
            }
            known
        });
    }
}
