//! Flows we asked for, so that messages to one target share one connection.

use std::collections::HashMap;

use sip::{FlowId, Target};

/// The pool of outgoing flows: at most one live flow per target.
#[derive(Debug)]
pub(crate) struct Flows {
    next: u64,
    by_target: HashMap<Target, FlowId>,
    targets: HashMap<FlowId, Target>,
}

/// A flow to use, and whether it has yet to be opened.
pub(crate) struct Chosen {
    pub(crate) id: FlowId,
    pub(crate) is_new: bool,
}

impl Flows {
    pub(crate) fn new() -> Self {
        Self {
            next: 1,
            by_target: HashMap::new(),
            targets: HashMap::new(),
        }
    }

    /// Whether there is a flow to `target`.
    pub(crate) fn has(&self, target: &Target) -> bool {
        self.by_target.contains_key(target)
    }

    /// The live flow to `target`, or a new one.
    pub(crate) fn to(&mut self, target: &Target) -> Chosen {
        if let Some(&id) = self.by_target.get(target) {
            return Chosen { id, is_new: false };
        }
        // Odd: minted by the core (see `FlowId`).
        let id = FlowId(self.next);
        self.next += 2;
        self.by_target.insert(target.clone(), id);
        self.targets.insert(id, target.clone());
        Chosen { id, is_new: true }
    }

    /// A flow is gone; the next message to its target gets a fresh one.
    pub(crate) fn lost(&mut self, id: FlowId) {
        if let Some(target) = self.targets.remove(&id)
            && self.by_target.get(&target) == Some(&id)
        {
            self.by_target.remove(&target);
        }
    }

    /// Where a flow of ours leads.
    pub(crate) fn target(&self, id: FlowId) -> Option<&Target> {
        self.targets.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use sip::Transport;

    use super::*;

    fn target(host: &str) -> Target {
        Target {
            transport: Transport::Tls,
            host: host.into(),
            port: 5061,
            from: None,
            at: None,
        }
    }

    #[test]
    fn one_target_has_one_flow_until_it_is_lost() {
        let mut flows = Flows::new();
        let first = flows.to(&target("a"));
        assert!(first.is_new && first.id.0 % 2 == 1);
        assert!(!flows.to(&target("a")).is_new);
        assert_ne!(flows.to(&target("b")).id, first.id);
        flows.lost(first.id);
        let second = flows.to(&target("a"));
        assert!(second.is_new && second.id != first.id);
    }
}
