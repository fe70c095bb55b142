//! REGISTER of PBXs and telephones: who they are, and where they are from now on.

use std::sync::Arc;
use std::time::Instant;

use sip::{Flow, FlowId, Name, Request, ServerKey, Target};

use super::Core;
use crate::Cause;
use crate::admission::account::{Claim, Proof};
use crate::admission::{Admitted, Offence};
use crate::io::{Level, Output};
use crate::leg::sip::extensions;
use crate::record::Direction;
use crate::registration::Whereabouts;
use crate::registration::serve::Turned;
use crate::settings::Trunk;

impl Core {
    /// Whether anybody may register over this flow: never where the carrier connects.
    pub(super) fn is_registrar_at(&self, flow: &Flow) -> bool {
        self.directory.has_registering_trunks() && !self.settings.registrar.is_carriers(flow)
    }

    /// RFC 3261 §10.3.
    pub(super) fn register(
        &mut self,
        now: Instant,
        key: ServerKey,
        flow: &Flow,
        request: &Request,
    ) {
        if let Some(objection) = extensions::unknown(request) {
            return self.respond_with(now, key, request, objection.status, [objection.header]);
        }
        let settings = self.settings.clone();
        let registrar = &settings.registrar;
        let claim = Claim {
            registrar,
            directory: &self.directory,
            wall: self.clock.since_epoch(now),
            flow,
            request,
            salt: u64::from_be_bytes(self.ident.bytes()),
        };
        let trunk = match self.admission.prove(&claim) {
            Proof::Right(trunk) => trunk,
            Proof::Challenge(challenges) => {
                self.counters.challenges += 1;
                self.offended(now, flow, Offence::Challenged);
                let headers = challenges
                    .into_iter()
                    .map(|challenge| (Name::WwwAuthenticate, challenge));
                return self.respond_with(now, key, request, 401, headers);
            }
            Proof::Wrong => {
                self.counters.wrong_digests += 1;
                self.offended(now, flow, Offence::Guessed);
                let source = flow.remote;
                self.log(
                    Level::Warn,
                    format!("REGISTER refused, wrong digest from {source}"),
                );
                return self.respond(now, key, request, 403);
            }
        };
        self.admission.proved(now, flow.remote.ip());
        let username = trunk
            .access
            .account
            .as_ref()
            .map(|account| &account.username);
        let of_record = request.to().map(|to| to.uri);
        let own = of_record
            .as_ref()
            .is_some_and(|uri| uri.user_base() == username.map(String::as_str));
        if !trunk.access.registers {
            return self.respond(now, key, request, 403);
        }
        if !own {
            return self.respond(now, key, request, 404);
        }
        match self
            .bindings
            .register(now, registrar, &trunk.name, flow, request)
        {
            Ok(taken) => {
                let contacts = taken.contacts.into_iter();
                let headers = contacts.map(|contact| (Name::Contact, contact));
                self.respond_with(now, key, request, 200, headers);
                match taken.turned {
                    Some(Turned::Reachable) => self.log(
                        Level::Info,
                        format!("trunk {} has registered from {}", trunk.name, flow.remote),
                    ),
                    Some(Turned::Unreachable) => self.nowhere(&trunk.name, "has unregistered"),
                    None => {}
                }
                self.keep_whereabouts(now, &trunk);
            }
            Err(refusal) => {
                self.respond_with(now, key, request, refusal.status, refusal.header);
            }
        }
    }

    /// Where a trunk is has to be known at the next start.
    fn keep_whereabouts(&mut self, now: Instant, trunk: &Trunk) {
        if let Some(kept) = self.bindings.whereabouts(now, self.clock, trunk) {
            self.out.push_back(Output::Whereabouts(kept));
        }
    }

    /// Trunks are where they were before the start, as far as they can be called there.
    pub(super) fn take_back(&mut self, now: Instant, kept: Vec<Whereabouts>) {
        let settings = self.settings.clone();
        let [back, gone] = self.bindings.take_back(now, self.clock, &settings, kept);
        let gone = gone.into_iter().map(Whereabouts::none);
        self.out.extend(gone.map(Output::Whereabouts));
        for trunk in back {
            self.log(
                Level::Info,
                format!("trunk {trunk} is called where it registered before the start"),
            );
        }
    }

    pub(super) fn bindings_expire(&mut self, now: Instant) {
        for trunk in self.bindings.expire(now) {
            self.nowhere(&trunk, "did not register again in time");
        }
    }

    pub(super) fn binding_lost(&mut self, flow: FlowId) {
        for trunk in self.bindings.flow_lost(flow) {
            self.nowhere(&trunk, "lost the connection it had registered on");
        }
    }

    /// Where a trunk has registered, as destinations are told.
    pub(super) fn registered(&self, now: Instant, trunk: &Trunk) -> impl Iterator<Item = Target> {
        let places = self.bindings.places(now, &trunk.name);
        places.into_iter().map(|place| place.target())
    }

    fn nowhere(&mut self, trunk: &Arc<str>, how: &str) {
        self.log(
            Level::Warn,
            format!("trunk {trunk} {how}: no call reaches it"),
        );
    }

    /// A user's call is for a trunk that is nowhere.
    pub(super) fn unreachable(&self, now: Instant, admitted: &Admitted) -> Option<Cause> {
        let to_trunk = admitted.direction == Direction::UserInitiated;
        (to_trunk && !self.bindings.reach(now, &admitted.trunk)).then_some(Cause::NotRegistered)
    }
}
