//! From the endpoint to the calls: whom an event concerns, and what the core answers by itself.

use std::time::Instant;

use sip::{Event, Flow, Method, Name, Request, Response, Scheme, ServerKey, Text};

use super::Core;
use crate::Cause;
use crate::admission::{Admitted, Asking, Decision, Offence, Rate};
use crate::alias::Alias;
use crate::call::Call;
use crate::call_id::CallId;
use crate::context;
use crate::dial::Inherited;
use crate::io::{Level, Output};
use crate::late::Ending;
use crate::leg::sip::extensions::{self, Objection};
use crate::leg::sip::words;
use crate::number::E164;
use crate::privacy::Privacy;
use crate::record::Direction;
use crate::settings::Settings;

/// Refused INVITEs the log is told of: all are counted, but a flood, or overload, is not to fill the disk as well.
const TOLD: Rate = Rate {
    per_second: 10,
    burst: 100,
};

impl Core {
    pub(super) fn dispatch(&mut self, now: Instant) {
        loop {
            context::drain(&mut self.endpoint, &mut self.out, &mut self.pending);
            let Some(event) = self.pending.pop_front() else {
                return;
            };
            self.event(now, event);
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request { key, flow, request } => self.request(now, key, flow, request),
            Event::Ack { request, .. } => {
                let owner = self.owner_of(&request);
                self.with_owner(now, owner, |call, cx, side| call.on_ack(cx, side, &request));
            }
            Event::Cancelled { key, .. } | Event::CancelCrossed { key } => {
                let owner = self.registry.server(key);
                self.with_owner(now, owner, |call, cx, side| call.on_cancel(cx, side));
            }
            Event::Response { key, response, .. } if self.health.is_asked(key) => {
                if response.is_final() {
                    self.pinged(key, true);
                }
            }
            Event::Failed { key, .. } if self.health.is_asked(key) => self.pinged(key, false),
            Event::Response {
                key,
                flow,
                response,
            } if self.registrations.is_asked(key) => {
                if response.is_final() {
                    self.registrar_answered(now, key, &flow, &response);
                }
            }
            Event::Failed { key, .. } if self.registrations.is_asked(key) => {
                self.registrar_silent(now, key);
            }
            Event::LateAnswer { flow, response } => self.late_answer(now, &flow, &response),
            Event::Response {
                key,
                flow,
                response,
            } => {
                let owner = self.registry.client(key);
                let to_invite = response.cseq().is_some_and(|c| c.method == Method::Invite);
                let call = owner.and_then(|(id, _)| self.calls.get(&id));
                let known = call.is_some_and(|call| call.has_leg_of(&response));
                if !known && to_invite && response.is_success() {
                    return self.late_answer(now, &flow, &response);
                }
                self.with_owner(now, owner, |call, cx, side| {
                    call.on_response(cx, side, key, response);
                });
            }
            Event::Failed { key, why } => {
                let owner = self.registry.client(key);
                self.with_owner(now, owner, |call, cx, side| {
                    call.on_failure(cx, side, key, why)
                });
            }
            // A refusal of ours was never acknowledged: the caller knows, or is gone.
            Event::NoAck { .. } => self.counters.refusals_unacknowledged += 1,
        }
    }

    /// A 2xx to an INVITE whose call is over, or has been given up.
    fn late_answer(&mut self, now: Instant, flow: &Flow, response: &Response) {
        let Some((ending, way)) = self.late.answered(now, response) else {
            return;
        };
        match ending {
            Ending::Again { flow, ack } => self.endpoint.resend(flow, ack),
            Ending::New { ack, mut bye } => {
                self.counters.late_answers += 1;
                let bytes = self
                    .endpoint
                    .ack(flow.id, way.transport, &way.sent_by, *ack);
                self.late.ended(response, flow.id, bytes);
                bye.headers
                    .push(Name::Reason, words::reason(&Cause::Cancelled));
                // Nobody waits for its answer.
                let _ = self
                    .endpoint
                    .request(now, flow.id, way.transport, &way.sent_by, *bye);
                self.log(
                    Level::Info,
                    "an answer came too late and was hung up".into(),
                );
            }
        }
    }

    fn request(&mut self, now: Instant, key: ServerKey, flow: Flow, request: Request) {
        if request.to_tag().is_some() {
            let owner = self.owner_of(&request);
            if owner.is_none() {
                match self.owner_to_be_of(&request) {
                    None => self.offended(now, &flow, Offence::Refused),
                    overtaken => self.with_owner(now, overtaken, |call, _, side| {
                        call.overtaken(side, &request);
                    }),
                }
                return self.respond(now, key, &request, 481);
            }
            return self.with_owner(now, owner, |call, cx, side| {
                call.seen(cx, side, &flow);
                call.on_request(cx, side, key, request);
            });
        }
        let registers = request.method == Method::Register && self.is_registrar_at(&flow);
        if !registers && !matches!(request.method, Method::Invite | Method::Options) {
            self.offended(now, &flow, Offence::Refused);
        }
        // RFC 3261 §8.2.2.1.
        if request.uri.scheme() == Scheme::Other {
            return self.respond(now, key, &request, 416);
        }
        match request.method {
            Method::Invite => self.invite(now, key, flow, request),
            Method::Options => match extensions::unknown(&request) {
                Some(Objection { status, header }) => {
                    self.respond_with(now, key, &request, status, Some(header));
                }
                None => self.asked(now, key, &flow, &request),
            },
            Method::Register if registers => self.register(now, key, &flow, &request),
            // Nobody registers here, and nothing else makes sense outside a dialog.
            Method::Register => self.respond(now, key, &request, 403),
            Method::Bye | Method::Notify | Method::Update | Method::Info | Method::Prack => {
                self.respond(now, key, &request, 481);
            }
            _ => self.respond(now, key, &request, 405),
        }
    }

    fn invite(&mut self, now: Instant, key: ServerKey, flow: Flow, invite: Request) {
        self.counters.invites += 1;
        if let Some(objection) = extensions::unknown(&invite).or_else(|| extensions::body(&invite))
        {
            let header = Some(objection.header);
            return self.respond_with(now, key, &invite, objection.status, header);
        }
        if Inherited::from(&invite).is_none() {
            return self.respond(now, key, &invite, 483);
        }
        let Some(invite) = self.replace(now, key, flow, invite) else {
            return;
        };
        let salt = u64::from_be_bytes(self.ident.bytes());
        let dice = u64::from_be_bytes(self.ident.bytes());
        let settings = self.settings.clone();
        let wall = self.clock.since_epoch(now);
        let known = self.knows(now, &flow);
        let trunk = self
            .trunk_at(flow.remote.ip(), invite.uri.user_base().unwrap_or_default())
            .cloned();
        let asking = Asking {
            settings: &settings,
            directory: &self.directory,
            wall,
            flow: &flow,
            invite: &invite,
            trunk: trunk.as_ref(),
            known,
            salt,
            dice,
            aliases: &self.aliases,
        };
        match self.admission.decide(&asking) {
            Decision::Admit(admitted) if self.draining => {
                let why = format!("no new calls for {}", admitted.number.e164);
                self.refuse(now, key, &invite, &Cause::Draining, &why);
            }
            Decision::Admit(mut admitted) => {
                if let Some(objection) = objection(&settings, &admitted, &invite) {
                    let header = Some(objection.header);
                    return self.respond_with(now, key, &invite, objection.status, header);
                }
                admitted.make_room(|trunk| {
                    self.services.has_trunk(trunk)
                        && !self.limits.is_full(trunk)
                        && self.bindings.reach(now, trunk)
                });
                match self
                    .services
                    .against(&admitted)
                    .or_else(|| self.unreachable(now, &admitted))
                    .or_else(|| self.against(now, &settings, &flow, &admitted))
                {
                    None => self.open(now, *admitted, flow, key, invite),
                    Some(cause) => self.refuse(now, key, &invite, &cause, &cause.to_string()),
                }
            }
            Decision::Challenge(challenges) => {
                self.counters.challenges += 1;
                self.offended(now, &flow, Offence::Challenged);
                let headers = challenges
                    .into_iter()
                    .map(|challenge| (Name::ProxyAuthenticate, challenge));
                self.respond_with(now, key, &invite, 407, headers);
            }
            Decision::Reject { cause, why } => {
                let guess = cause == Cause::BadCredentials;
                self.counters.wrong_digests += u64::from(guess);
                let offence = if guess {
                    Offence::Guessed
                } else {
                    Offence::Refused
                };
                self.offended(now, &flow, offence);
                self.refuse(now, key, &invite, &cause, &why);
            }
        }
    }

    fn open(
        &mut self,
        now: Instant,
        mut admitted: Admitted,
        flow: Flow,
        key: ServerKey,
        invite: Request,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.admission.overload.begins(admitted.weight());
        if let Some(remark) = &admitted.remark {
            self.log(Level::Warn, remark.clone());
        }
        if admitted.proved {
            self.admission.proved(now, flow.remote.ip());
        }
        if admitted.direction == Direction::UserInitiated && E164::parse(&admitted.user).is_none() {
            admitted.alias = self.alias(&admitted.user);
        }
        let offer = invite.body.clone();
        let unopened = invite.clone();
        let opened = self.caught(now, id, |cx| Call::open(cx, admitted, flow, key, invite));
        let Some(call) = opened.flatten() else {
            self.registry.forget(id);
            return self.respond(now, key, &unopened, 400);
        };
        self.limits.enter(now, &call.enters());
        self.counters.admitted += 1;
        self.callers.insert((flow.id, id));
        self.calls.insert(id, Box::new(call));
        self.with_call(now, id, |call, cx| call.begin(cx, &offer));
    }

    /// The number of a user who has none.
    fn alias(&mut self, user: &str) -> Option<E164> {
        let Some((number, is_new)) = self.aliases.of(user) else {
            if self.aliases.are_given() {
                self.log(
                    Level::Warn,
                    "every alias is given: widen [alias] range".into(),
                );
            }
            return None;
        };
        if is_new {
            let (user, number) = (user.to_owned(), number.clone());
            self.out.push_back(Output::Alias(Alias { user, number }));
        }
        Some(number)
    }

    // ---- answers of the core itself ----

    fn refuse(&mut self, now: Instant, key: ServerKey, invite: &Request, cause: &Cause, why: &str) {
        self.counters.refuse(cause);
        let level = match self.told.take(now, TOLD) {
            true => Level::Warn,
            false => Level::Debug,
        };
        self.log(level, format!("INVITE refused, {}: {why}", cause.label()));
        let tag = self.ident.tag();
        let refusal = words::refusal(invite, cause, &tag, &self.settings.product);
        self.endpoint.respond(now, key, refusal);
    }

    pub(super) fn respond(&mut self, now: Instant, key: ServerKey, request: &Request, status: u16) {
        let allow = (status == 405).then(|| (Name::Allow, Text::fixed(words::ALLOW)));
        self.respond_with(now, key, request, status, allow);
    }

    pub(super) fn respond_with(
        &mut self,
        now: Instant,
        key: ServerKey,
        request: &Request,
        status: u16,
        headers: impl IntoIterator<Item = (Name, Text)>,
    ) {
        let tag = self.ident.tag();
        let mut response = words::response(request, status, &tag, &self.settings.product);
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        self.endpoint.respond(now, key, response);
    }
}

/// What the caller requires and may not have, or asks for in too small a measure, or wants hidden and
/// would not be.
fn objection(settings: &Settings, admitted: &Admitted, invite: &Request) -> Option<Objection> {
    let caller = match admitted.direction {
        Direction::UserInitiated => &settings.carrier.profile,
        Direction::BusinessInitiated => &admitted.trunk.profile,
    };
    let wants_more = || {
        // The carrier shows its user who calls; a PBX is told nothing the caller does not want.
        let names_caller = admitted.direction == Direction::BusinessInitiated;
        let out_of_reach = Privacy::of(&invite.headers).is_out_of_reach(names_caller);
        out_of_reach.then(|| Objection {
            status: 500,
            header: (
                Name::Warning,
                Text::fixed("399 sbc \"privacy as critical as that cannot be had\""),
            ),
        })
    };
    extensions::objection(invite, &caller.extensions).or_else(wants_more)
}
