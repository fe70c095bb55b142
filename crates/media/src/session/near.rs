//! What a packet will need of a session, asked for before it is read.

use sdp::Side;

use super::Session;
use crate::leg::Leg;
use crate::prefetch::prefetch;

/// What one packet needs, in the order in which one thing says where the next one is. Between two of them something else is to be done,
/// or the second waits for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// The session's own state.
    State,
    /// The SRTP contexts it will be opened and sealed with.
    Contexts,
    /// The keys in these.
    Keys,
}

impl Session {
    /// A packet of this leg will be received soon: asks memory for what it will need, and waits for nothing.
    pub fn prefetch(&self, from: Side, what: Near) {
        let (sends, hears) = (&self.legs[from.index()], &self.legs[(!from).index()]);
        match what {
            Near::State => self.prefetch_state(from),
            Near::Contexts => {
                sends.unprotect.iter().for_each(|one| one.prefetch());
                hears.protect.iter().for_each(|one| one.prefetch());
            }
            Near::Keys => {
                sends.unprotect.iter().for_each(|one| one.prefetch_keys());
                hears.protect.iter().for_each(|one| one.prefetch_keys());
            }
        }
    }

    fn prefetch_state(&self, from: Side) {
        prefetch(&self.rx[from.index()]);
        prefetch(&self.paths[from.index()]);
        prefetch(&self.held[from.index()]);
        prefetch(&self.smooth);
        prefetch(&self.clear);
        for leg in &self.legs {
            leg.prefetch();
        }
        self.legs[(!from).index()].prefetch_sending();
    }
}

impl Leg {
    /// What is looked at when the leg speaks, and when it is spoken to.
    fn prefetch(&self) {
        prefetch(&self.agreed);
        prefetch(&self.rtp_latch);
        prefetch(&self.counters);
        prefetch(&self.watch);
        prefetch(&self.protect);
        prefetch(&self.heard);
    }

    fn prefetch_sending(&self) {
        prefetch(&self.tx);
        prefetch(&self.gate);
    }
}
