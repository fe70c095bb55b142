//! Reliable provisional responses (RFC 3262), both roles.
//!
//! ```text
//!   we were called, and 100rel is required        we call
//!   18x, RSeq n ── again: T1, ×2, 64·T1 in all    18x, RSeq n ──► PRACK n (once per n, in order)
//!        ◄── PRACK n: the next 18x may leave      its SDP is the answer
//!   no PRACK: the INVITE is refused with 504
//! ```
//!
//! Who only *supports* 100rel gets plain responses: the caller's telephone rings a moment earlier.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Dialog, DialogId, Method, Name, Request, Response, ServerKey, Text};

use super::{Phase, SipLeg};
use crate::Cause;
use crate::context::Context;
use crate::leg::LegEvent;

/// Early dialogs of one INVITE we keep apart; a fork with more branches rings all the same.
pub(super) const EARLIES: usize = 8;

/// A reliable response of ours that waits for its PRACK.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    rseq: u32,
    key: ServerKey,
    response: Response,
    at: Instant,
    interval: Duration,
    until: Instant,
    /// What is to be told after it.
    next: Option<(u16, Bytes)>,
}

impl Unacknowledged {
    pub(super) fn next_timeout(&self) -> Instant {
        self.at.min(self.until)
    }
}

/// A dialog our INVITE has made before its answer.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) dialog: Dialog,
    rseq: Option<u32>,
    /// A reliable response brought the answer to our offer.
    answered: bool,
}

impl Early {
    /// Whether our offer has been answered in it.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }
}

impl SipLeg {
    // ---- we were called ----

    /// Whether the caller requires our provisional responses to be reliable.
    pub(super) fn requires_reliable(&self, invite: &Request) -> bool {
        self.profile.extensions.reliable && invite.headers.lists(&Name::Require, "100rel")
    }

    /// Sends a provisional response and repeats it until its PRACK comes.
    pub(super) fn progress_reliably(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        mut response: Response,
    ) {
        if let Some(waiting) = &mut self.unacknowledged {
            // RFC 3262 §3: one at a time. Of those that wait, the last tells the most.
            waiting.next = Some((response.status, response.body));
            return;
        }
        let rseq = match self.last_rseq {
            // RFC 3262 §3: any start below 2^31; small ones are easier to read in a ladder.
            0 => cx.ident.u32() % 32_768 + 1,
            last => last + 1,
        };
        self.last_rseq = rseq;
        response.headers.push(Name::Require, Text::fixed("100rel"));
        response
            .headers
            .push(Name::RSeq, Text::from(rseq.to_string()));
        cx.respond(key, response.clone());
        self.unacknowledged = Some(Box::new(Unacknowledged {
            rseq,
            key,
            response,
            at: cx.now + cx.settings.timers.t1,
            interval: cx.settings.timers.t1,
            until: cx.now + cx.settings.timers.t1 * 64,
            next: None,
        }));
    }

    /// The peer's PRACK.
    pub(super) fn pracked(&mut self, cx: &mut Context<'_>, key: ServerKey, prack: &Request) {
        if !self.profile.extensions.reliable {
            return self.respond_in_dialog(cx, key, prack, 405);
        }
        let invited = match &self.phase {
            Phase::Offered { invite, .. } => invite.cseq().map(|cseq| cseq.number),
            _ => None,
        };
        let fits = |waiting: &mut Unacknowledged| {
            let rack = prack.headers.first(&Name::from("RAck"))?;
            let rack = rack.as_str();
            let mut words = rack.split_ascii_whitespace();
            let rseq: u32 = words.next()?.parse().ok()?;
            let cseq: u32 = words.next()?.parse().ok()?;
            let fits =
                words.next() == Some("INVITE") && rseq == waiting.rseq && Some(cseq) == invited;
            fits.then_some(())
        };
        let acknowledged = self
            .unacknowledged
            .take_if(|waiting| fits(waiting).is_some());
        let Some(acknowledged) = acknowledged else {
            return self.respond_in_dialog(cx, key, prack, 481);
        };
        // Our provisional responses offer nothing and answer nothing: an offer in a PRACK has no
        // place in the exchange (RFC 3262 §5).
        let status = if prack.body.is_empty() { 200 } else { 488 };
        self.respond_in_dialog(cx, key, prack, status);
        match acknowledged.next {
            Some((status, body)) if body.is_empty() => self.progress(cx, status),
            Some((status, body)) => self.progress_with(cx, status, body),
            None => {}
        }
    }

    /// Repeats what was not acknowledged; gives up after 64·T1 (RFC 3262 §3).
    pub(super) fn repeat_progress(&mut self, cx: &mut Context<'_>) -> Option<LegEvent> {
        let waiting = self.unacknowledged.as_mut()?;
        if cx.now >= waiting.until {
            self.unacknowledged = None;
            return Some(LegEvent::Failed(Cause::NoPrack));
        }
        if cx.now >= waiting.at {
            waiting.interval *= 2;
            waiting.at = cx.now + waiting.interval;
            let (key, response) = (waiting.key, waiting.response.clone());
            cx.respond(key, response);
        }
        None
    }

    // ---- we call ----

    /// A provisional response to our INVITE: its dialog is noted, and acknowledged if it is
    /// reliable. `false`: it came before, or before its time (RFC 3262 §4).
    pub(super) fn note_progress(&mut self, cx: &mut Context<'_>, response: &Response) -> bool {
        if response.status == 100 || !self.profile.extensions.reliable {
            return true;
        }
        let Phase::Calling(calling) = &mut self.phase else {
            return true;
        };
        let Some(id) = DialogId::of_response(response).filter(|id| !id.remote_tag.is_empty())
        else {
            return true;
        };
        let known = calling
            .earlies
            .iter()
            .position(|early| *early.dialog.id() == id);
        let at = match known {
            Some(at) => at,
            None if calling.earlies.len() < EARLIES => {
                let Some(dialog) = Dialog::uac(&calling.invite, response) else {
                    return true;
                };
                cx.owns_dialog(self.side, dialog.shared_id());
                calling.earlies.push(Early {
                    dialog,
                    rseq: None,
                    answered: false,
                });
                calling.earlies.len() - 1
            }
            None => return true,
        };
        let Some(early) = calling.earlies.get_mut(at) else {
            return true;
        };
        if !response.headers.lists(&Name::Require, "100rel") {
            return true;
        }
        let rseq = response
            .headers
            .first(&Name::RSeq)
            .and_then(|value| value.as_str().trim().parse::<u32>().ok());
        let Some(rseq) = rseq else { return true };
        if early.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        early.rseq = Some(rseq);
        early.answered |= !response.body.is_empty();
        let cseq = response.cseq().map_or(0, |cseq| cseq.number);
        let mut prack = early.dialog.request(Method::Prack);
        prack
            .headers
            .push(Name::RAck, Text::from(format!("{rseq} {cseq} INVITE")));
        // Its answer tells nothing: a lost PRACK is repeated, a refused one changes nothing.
        self.ask_aside(cx, prack);
        true
    }

    /// The early dialog a request of the called peer belongs to.
    pub(super) fn early_of(&mut self, request: &Request) -> Option<&mut Early> {
        let Phase::Calling(calling) = &mut self.phase else {
            return None;
        };
        let id = DialogId::of_incoming(request)?;
        calling
            .earlies
            .iter_mut()
            .find(|early| *early.dialog.id() == id)
    }
}
