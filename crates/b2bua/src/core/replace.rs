//! An INVITE with Replaces (RFC 3891): another telephone of the PBX takes a dialog of a call over.
//!
//! Whether it may is decided here, by who asks; what becomes of the call, in `call/replace.rs`.

use std::sync::Arc;
use std::time::Instant;

use sip::{Flow, Name, Replaces, Request, ServerKey, Text};

use super::Core;
use crate::admission::Offence;
use crate::admission::account::{Claim, Proof};
use crate::call_id::CallId;
use crate::leg::sip::{Way, extensions};
use crate::settings::Trunk;

impl Core {
    /// Takes an INVITE that wants the place of a dialog. Gives it back if it is an ordinary one: it
    /// names none, or comes from somebody who may not ask for that.
    pub(super) fn replace(
        &mut self,
        now: Instant,
        key: ServerKey,
        flow: Flow,
        invite: Request,
    ) -> Option<Request> {
        let mut named: Vec<Text> = invite.headers.all(&Name::Replaces).cloned().collect();
        let Some(first) = named.pop() else {
            return Some(invite);
        };
        let trunk = self.directory.trunk_at(flow.remote.ip()).cloned();
        let to_carrier = self.settings.registrar.is_carriers(&flow);
        let has_to_prove = match &trunk {
            Some(trunk) => trunk.access.account.is_some(),
            None => !to_carrier && self.directory.has_roaming_trunks(),
        };
        let proved = match has_to_prove {
            true => Some(self.asker(now, key, &flow, &invite)?),
            false => None,
        };
        let asks = proved.as_ref().or(trunk.as_ref());
        if asks.is_none_or(|trunk| !trunk.profile.extensions.replaces) {
            return Some(invite);
        }
        let Some(replaces) = Replaces::read(&first).filter(|_| named.is_empty()) else {
            self.respond(now, key, &invite, 400);
            return None;
        };
        let Some(id) = self.replaceable(&flow, &replaces, proved.as_deref()) else {
            // No word of whether there is such a dialog of somebody else's.
            self.offended(now, &flow, Offence::Refused);
            self.respond(now, key, &invite, 481);
            return None;
        };
        let objection = self
            .calls
            .get(&id)
            .and_then(|call| extensions::objection(&invite, &call.trunk().profile.extensions));
        if let Some(objection) = objection {
            let header = Some(objection.header);
            self.respond_with(now, key, &invite, objection.status, header);
            return None;
        }
        let way = match proved {
            Some(_) => Way::back(&flow),
            None => Way::ByDialog,
        };
        self.with_call(now, id, |call, cx| {
            call.replace(cx, flow, key, invite, &replaces, way);
        });
        None
    }

    /// The trunk that proves itself; who does not is answered.
    fn asker(
        &mut self,
        now: Instant,
        key: ServerKey,
        flow: &Flow,
        invite: &Request,
    ) -> Option<Arc<Trunk>> {
        let settings = self.settings.clone();
        let claim = Claim {
            registrar: &settings.registrar,
            directory: &self.directory,
            wall: self.clock.since_epoch(now),
            flow,
            request: invite,
            salt: u64::from_be_bytes(self.ident.bytes()),
        };
        match self.admission.prove(&claim) {
            Proof::Right(trunk) => {
                self.admission.proved(now, flow.remote.ip());
                Some(trunk)
            }
            Proof::Challenge(challenges) => {
                self.counters.challenges += 1;
                self.offended(now, flow, Offence::Challenged);
                let headers = challenges
                    .into_iter()
                    .map(|challenge| (Name::ProxyAuthenticate, challenge));
                self.respond_with(now, key, invite, 407, headers);
                None
            }
            Proof::Wrong => {
                self.counters.wrong_digests += 1;
                self.offended(now, flow, Offence::Guessed);
                self.respond(now, key, invite, 403);
                None
            }
        }
    }

    /// The call whose dialog is named, if it is one with the trunk that asks: the one that proved
    /// itself, else any from whose networks it comes.
    fn replaceable(
        &self,
        flow: &Flow,
        replaces: &Replaces,
        proved: Option<&Trunk>,
    ) -> Option<CallId> {
        let (id, side) = self.registry.dialog(&replaces.dialog)?;
        let call = self.calls.get(&id)?;
        let source = flow.remote.ip();
        let of_trunk = match proved {
            Some(trunk) => call.trunk().name == trunk.name,
            None => call
                .trunk()
                .networks
                .iter()
                .any(|net| net.contains(&source)),
        };
        (of_trunk && side == call.pbx()).then_some(id)
    }
}
