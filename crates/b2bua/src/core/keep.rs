//! Our own registrations: sending REGISTER, hearing its answers, taking leave.

use std::time::Instant;

use sip::{ClientKey, Flow, Response};

use super::Core;
use crate::io::Level;
use crate::registration::keep::{News, Next};

impl Core {
    /// Begins what is due.
    pub(super) fn keep_registrations(&mut self, now: Instant) {
        for trunk in self.registrations.expire(now) {
            self.log(
                Level::Warn,
                format!("trunk {trunk}: our registration ended"),
            );
        }
        while let Some((id, servers)) = self.registrations.due(now) {
            let ident = &mut self.ident;
            let places = self.locations.expand(now, servers, || ident.u32());
            self.registrations.begin(now, id, places);
            self.send_register(now, id);
        }
    }

    /// A final answer to a REGISTER of ours.
    pub(super) fn registrar_answered(
        &mut self,
        now: Instant,
        key: ClientKey,
        flow: &Flow,
        response: &Response,
    ) {
        let ident = &mut self.ident;
        let (next, news) = self.registrations.answered(now, key, flow, response, ident);
        self.went(now, next, news);
    }

    /// A REGISTER of ours got no answer.
    pub(super) fn registrar_silent(&mut self, now: Instant, key: ClientKey) {
        let (next, news) = self.registrations.failed(now, key, &mut self.ident);
        self.went(now, next, news);
    }

    /// Tells every PBX that we leave, or that we are back.
    pub(super) fn drain(&mut self, now: Instant, draining: bool) {
        self.draining = draining;
        self.registrations.drain(now, draining);
        self.keep_registrations(now);
    }

    fn went(&mut self, now: Instant, next: Next, news: Option<News>) {
        match news {
            Some(News::Registered(text)) => self.log(Level::Info, text),
            Some(News::Lost(text)) => self.log(Level::Warn, text),
            None => {}
        }
        match next {
            Next::Send(id) => self.send_register(now, id),
            Next::Nothing => {}
        }
    }

    fn send_register(&mut self, now: Instant, id: u64) {
        let product = &self.settings.product;
        let Some((target, sent_by, register)) = self.registrations.request(id, product) else {
            return;
        };
        let flow = self.flows.open(&target, &mut self.out);
        let key = self
            .endpoint
            .request(now, flow, target.transport, &sent_by, register);
        self.registrations.asked(id, key);
    }
}
