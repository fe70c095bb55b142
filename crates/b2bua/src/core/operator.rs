//! Doing what an operator wants.

use std::time::Instant;

use super::Core;
use crate::Cause;
use crate::call_id::CallId;
use crate::io::{Level, Output};
use crate::operator::{Destination, NumberState, Reply, Status, TrunkState, Wish};
use crate::record::ReleasedBy;
use crate::service::{Service, Subject};
use crate::settings::Trunk;

impl Core {
    pub(super) fn operate(&mut self, now: Instant, ticket: u64, wish: Wish) {
        let reply = match wish {
            Wish::Calls => Reply::Calls(
                self.calls
                    .iter()
                    .map(|(id, call)| call.running(*id))
                    .collect(),
            ),
            Wish::Call(id) => Reply::Calls(
                self.calls
                    .get(&id)
                    .map(|call| call.running(id))
                    .into_iter()
                    .collect(),
            ),
            Wish::HangUp(id) => self.hang_up(now, id),
            Wish::Numbers => Reply::Numbers(self.numbers(now)),
            Wish::Trunks => Reply::Trunks(self.trunks(now)),
            Wish::Serve(subject, service) => self.serve(subject, service),
            Wish::Drain(draining) => {
                self.drain(now, draining);
                Reply::Done
            }
            Wish::Bans => {
                let bans = self.admission.bans.all(now).into_iter();
                let left =
                    |(source, until): (_, Instant)| (source, until.saturating_duration_since(now));
                Reply::Bans(bans.map(left).collect())
            }
            Wish::Ban(address, time) => match self.ban(now, address, time) {
                true => Reply::Done,
                false => Reply::Unknown,
            },
            Wish::Unban(source) => match self.unban(now, source) {
                true => Reply::Done,
                false => Reply::Unknown,
            },
            Wish::Status => Reply::Status(Box::new(Status {
                calls: (self.calls.len(), self.settings.max_calls),
                draining: self.draining,
                counters: self.counters.clone(),
                load: self.admission.overload.load(),
                admitting: self.admission.overload.percent(),
            })),
        };
        self.out.push_back(Output::Reply { ticket, reply });
    }

    fn hang_up(&mut self, now: Instant, id: CallId) -> Reply {
        if !self.calls.contains_key(&id) {
            return Reply::Unknown;
        }
        self.with_call(now, id, |call, cx| {
            call.release(cx, Cause::Operator, ReleasedBy::Us)
        });
        Reply::Done
    }

    fn serve(&mut self, subject: Subject, service: Service) -> Reply {
        let name = match &subject {
            Subject::Number(e164) => self
                .directory
                .number(e164)
                .map(|number| number.e164.to_string()),
            Subject::Trunk(name) => self
                .directory
                .trunk(name)
                .map(|trunk| trunk.name.to_string()),
        };
        let Some(name) = name else {
            return Reply::Unknown;
        };
        self.services.put(subject, service);
        self.log(
            Level::Warn,
            format!("the operator put {name} {}", service.label()),
        );
        Reply::Done
    }

    fn numbers(&mut self, now: Instant) -> Vec<NumberState> {
        let settings = self.settings.clone();
        let state = |number: &std::sync::Arc<crate::settings::Number>| {
            let (calls, initiated) = self.limits.of_number(now, &number.e164);
            NumberState {
                e164: number.e164.clone(),
                trunk: number.trunk.clone(),
                service: self.services.of(&Subject::Number(number.e164.clone())),
                calls: (calls, number.limits.calls),
                initiated: (initiated, number.limits.initiated_per_day),
            }
        };
        settings.numbers.iter().map(state).collect()
    }

    fn trunks(&self, now: Instant) -> Vec<TrunkState> {
        let state = |trunk: &std::sync::Arc<Trunk>| TrunkState {
            name: trunk.name.clone(),
            service: self.services.of(&Subject::Trunk(trunk.name.clone())),
            calls: (self.limits.of_trunk(&trunk.name), trunk.max_calls),
            registration: self.registrations.state(now, &trunk.name),
            contacts: (trunk.access.registers).then(|| self.registered(now, trunk).count()),
            destinations: trunk
                .destinations()
                .cloned()
                .chain(self.registered(now, trunk))
                .map(|target| Destination {
                    target: format!(
                        "{}:{};transport={}",
                        target.host,
                        target.port,
                        target.transport.param()
                    ),
                    alive: !self.health.is_dead(now, &target),
                })
                .collect(),
        };
        self.settings.trunks.iter().map(state).collect()
    }
}
