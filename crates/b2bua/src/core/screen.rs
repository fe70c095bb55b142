//! Who is heard at all: before a message may become a transaction, and what comes of it afterwards.
//!
//! ```text
//!  message ─┬─ from a configured network, from a peer of ours, of a running call ──────► heard
//!           ├─ from a banned source ──────────────────────────────────────► forgotten
//!           ├─ of a scanner, or faster than strangers may ──► an offence ─► forgotten
//!           └─ else as the operator wishes: heard, and refused; or forgotten
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Flow, Message, Method, Name, Request, Transport};

use super::Core;
use crate::Cause;
use crate::admission::policy::Unknown;
use crate::admission::{Admitted, Ban, Calls, Load, Offence, Source, Turn};
use crate::io::{Level, Output};
use crate::settings::{Settings, Trunk};

impl Core {
    /// Whether a message is heard.
    pub(super) fn may_speak(&mut self, now: Instant, flow: &Flow, message: &Message) -> bool {
        let heard = self.knows(now, flow) || self.hears_stranger(now, flow, message);
        self.counters.dropped += u64::from(!heard);
        self.counters.banned = self.admission.bans.len();
        heard
    }

    /// Whether somebody we know speaks: by network, or because the source proved itself.
    pub(super) fn knows(&mut self, now: Instant, flow: &Flow) -> bool {
        let address = flow.remote.ip();
        let carrier = &self.settings.carrier;
        // Where the carrier may come from anywhere, that is true of the port it comes to.
        let of_carrier = carrier.owns(address)
            && (flow.transport == Transport::Tls || !carrier.networks.is_empty());
        of_carrier
            || self.trunk_at(address, "").is_some()
            || self.admission.is_acquainted(now, address)
    }

    /// A connection of a trunk that is to serve the other direction too (RFC 5923).
    pub(super) fn note_reuse(&mut self, flow: &Flow, message: &Message) {
        if let Message::Request(request) = message
            && flow.transport == Transport::Tcp
            && self.directory.trunk_at(flow.remote.ip()).is_some()
        {
            self.flows.offers_alias(flow, request);
        }
    }

    /// The trunk that calls from `address`, and calls us by this name: by its network, or because it
    /// knows us as an extension of its.
    pub(super) fn trunk_at(&self, address: IpAddr, called: &str) -> Option<&Arc<Trunk>> {
        let registrar = self.registrations.trunk_at(address, called);
        registrar.or_else(|| self.directory.trunk_at(address))
    }

    fn hears_stranger(&mut self, now: Instant, flow: &Flow, message: &Message) -> bool {
        let address = flow.remote.ip();
        let source = Source::of(address);
        if self.admission.bans.is_banned(now, source) {
            return false;
        }
        let Message::Request(request) = message else {
            return true;
        };
        // An ACK is never answered.
        if request.method == Method::Ack || self.owner_of(request).is_some() {
            return true;
        }
        let policy = &self.settings.admission;
        let agent = request.headers.first(&Name::UserAgent);
        if agent.is_some_and(|agent| policy.is_scanner(&agent.as_str())) {
            self.offence(now, address, Offence::Scanned);
            return false;
        }
        let pace = policy.strangers;
        let unknown = policy.unknown;
        if !self.admission.strangers.take(now, source, pace) {
            self.offence(now, address, Offence::Flooded);
            return false;
        }
        if unknown == Unknown::Refuse || self.may_prove_itself(flow, request) {
            return true;
        }
        self.offence(now, address, Offence::Refused);
        false
    }

    /// Whether a stranger may be somebody we know at an address we do not.
    fn may_prove_itself(&self, flow: &Flow, request: &Request) -> bool {
        let method = &request.method;
        if !self.settings.registrar.is_carriers(flow)
            && self.directory.has_roaming_trunks()
            && matches!(method, Method::Invite | Method::Register | Method::Cancel)
        {
            return true;
        }
        flow.transport == Transport::Tls
            && (*method == Method::Cancel
                || *method == Method::Invite
                    && request.to_tag().is_none()
                    && self.directory.realm_at(request.uri.host()).is_some())
    }

    /// What stands against one more call of somebody who may call.
    pub(super) fn against(
        &mut self,
        now: Instant,
        settings: &Settings,
        flow: &Flow,
        admitted: &Admitted,
    ) -> Option<Cause> {
        let overload = &settings.admission.overload;
        let weight = admitted.weight();
        if !self.admission.overload.admits(overload, weight) {
            return Some(Cause::Overload);
        }
        let source = Source::of(flow.remote.ip());
        if let Some(rate) = settings.admission.calls
            && !self.admission.callers.take(now, source, rate)
        {
            return Some(Cause::Limit("calls of the source a second"));
        }
        self.limits.against(now, settings, admitted)
    }

    /// Somebody on a flow did something that strangers may do only so often.
    pub(super) fn offended(&mut self, now: Instant, flow: &Flow, offence: Offence) {
        if !self.knows(now, flow) {
            self.offence(now, flow.remote.ip(), offence);
        }
    }

    /// Counts an offence, and bans whom it was one too many for. The carrier, trunks and whoever
    /// proved itself are never banned: an address is easily forged in a datagram.
    pub(super) fn offence(&mut self, now: Instant, address: IpAddr, offence: Offence) {
        if self.is_spared(address) || self.admission.is_acquainted(now, address) {
            return;
        }
        let policy = self.settings.admission.bans;
        let bans = &mut self.admission.bans;
        let Some(ban) = bans.offend(now, &policy, Source::of(address), offence) else {
            return;
        };
        let Ban {
            source,
            until,
            offences,
            guesses,
        } = ban;
        self.counters.bans += 1;
        self.counters.banned = self.admission.bans.len();
        let seconds = policy.time.as_secs();
        let last = format!("{offence:?}").to_ascii_lowercase();
        self.log(
            Level::Warn,
            format!(
                "{source} is banned for {seconds} s: {offences} offences, {guesses} of them wrong digests, the last: {last}"
            ),
        );
        self.out.push_back(Output::Bar { source, until });
    }

    /// Whether an address is the carrier's, a trunk's, or one the operator wants spared.
    pub(super) fn is_spared(&self, address: IpAddr) -> bool {
        let carrier = &self.settings.carrier.networks;
        let mut spared = self.settings.admission.spared.iter().chain(carrier);
        spared.any(|network| network.contains(&address)) || self.trunk_at(address, "").is_some()
    }

    /// The operator shuts an address out; `false`: it is spared.
    pub(super) fn ban(&mut self, now: Instant, address: IpAddr, time: Duration) -> bool {
        if self.is_spared(address) {
            return false;
        }
        let (source, until) = (Source::of(address), now + time);
        self.admission.bans.name(source, until);
        self.counters.bans += 1;
        self.counters.banned = self.admission.bans.len();
        let seconds = time.as_secs();
        self.log(
            Level::Warn,
            format!("{source} is banned for {seconds} s by the operator"),
        );
        self.out.push_back(Output::Bar { source, until });
        true
    }

    /// The operator lets a source in again; `false`: nobody there is banned.
    pub(super) fn unban(&mut self, now: Instant, source: Source) -> bool {
        if !self.admission.bans.lift(now, source) {
            return false;
        }
        self.counters.banned = self.admission.bans.len();
        self.log(
            Level::Warn,
            format!("{source} is let in again by the operator"),
        );
        let until = now;
        self.out.push_back(Output::Bar { source, until });
        true
    }

    /// The machine told how much it has to do.
    pub(super) fn load(&mut self, load: &Load) {
        let policy = self.settings.admission.overload;
        let mut calls = Calls { all: 0, talking: 0 };
        for call in self.calls.values() {
            let weight = call.weight();
            calls.all += weight;
            if call.is_answered() {
                calls.talking += weight;
            }
        }
        match self.admission.overload.measured(&policy, load, calls) {
            Some(Turn::Began(why)) => {
                self.log(
                    Level::Warn,
                    format!("overload: {why}, {load:?}; new calls are refused"),
                );
            }
            Some(Turn::Ended) => self.log(Level::Info, "overload is over".into()),
            None => {}
        }
    }
}
