//! Lending the core's parts to one call for the length of one input.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use sip::{DialogId, Request, Text};

use super::Core;
use crate::call::Call;
use crate::call_id::CallId;
use crate::context::{Context, Owner};
use crate::io::{Level, Output};
use crate::media::MediaCommand;

impl Core {
    pub(super) fn owner_of(&self, request: &Request) -> Option<Owner> {
        self.registry.dialog(&DialogId::of_incoming(request)?)
    }

    /// The INVITE of ours a request would be about, had its answer come first: the request has overtaken it.
    pub(super) fn owner_to_be_of(&self, request: &Request) -> Option<Owner> {
        let half = DialogId {
            remote_tag: Text::default(),
            ..DialogId::of_incoming(request)?
        };
        self.registry.dialog(&half)
    }

    pub(super) fn context(&mut self, now: Instant, call: CallId) -> Context<'_> {
        Context {
            now,
            clock: self.clock,
            call,
            settings: &self.settings,
            endpoint: &mut self.endpoint,
            flows: &mut self.flows,
            health: &mut self.health,
            locations: &mut self.locations,
            bindings: &self.bindings,
            registrations: &self.registrations,
            limits: &self.limits,
            registry: &mut self.registry,
            late: &mut self.late,
            counters: &mut self.counters,
            ident: &mut self.ident,
            out: &mut self.out,
            pending: &mut self.pending,
        }
    }

    pub(super) fn with_owner(
        &mut self,
        now: Instant,
        owner: Option<Owner>,
        act: impl FnOnce(&mut Call, &mut Context<'_>, sdp::Side),
    ) {
        if let Some((id, side)) = owner {
            self.with_call(now, id, |call, cx| act(call, cx, side));
        }
    }

    /// Lets a call act, then looks at what became of it. A panic inside costs this call alone:
    /// nothing is shared between calls.
    pub(super) fn with_call(
        &mut self,
        now: Instant,
        id: CallId,
        act: impl FnOnce(&mut Call, &mut Context<'_>),
    ) {
        let Some(mut call) = self.calls.remove(&id) else {
            return;
        };
        if self.caught(now, id, |cx| act(&mut call, cx)).is_none() {
            let mut cx = self.context(now, id);
            let ended = catch_unwind(AssertUnwindSafe(|| call.abandon(&mut cx)));
            if ended.is_err() {
                self.out.push_back(Output::Media {
                    call: id,
                    command: MediaCommand::Close,
                });
            }
        }
        self.keep_or_forget(now, id, call);
    }

    /// Does something for a call. `None`: it has hit a bug, which costs that call and no other.
    pub(super) fn caught<T>(
        &mut self,
        now: Instant,
        id: CallId,
        act: impl FnOnce(&mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut cx = self.context(now, id);
        let whole = catch_unwind(AssertUnwindSafe(|| act(&mut cx))).ok();
        if whole.is_none() {
            self.counters.bugs += 1;
            self.log(Level::Warn, format!("{id} hit a bug and was ended"));
        }
        whole
    }

    fn keep_or_forget(&mut self, now: Instant, id: CallId, mut call: Box<Call>) {
        if let Some((from, to)) = call.moves() {
            self.limits.moved(&from, &to);
        }
        if let Some(left) = call.leaves() {
            self.limits.leave(now, &left);
        }
        if let Some(at) = self.wakes.remove(&id) {
            self.schedule.remove(&(at, id));
        }
        if call.is_ended() {
            self.registry.forget(id);
            self.callers.remove(&(call.caller_flow(), id));
            self.counters.ended += 1;
            return;
        }
        if let Some(at) = call.next_timeout() {
            self.wakes.insert(id, at);
            self.schedule.insert((at, id));
        }
        self.calls.insert(id, call);
    }
}
