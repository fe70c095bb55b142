//! Numbers and trunks the operator took out of service at run time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Cause;
use crate::admission::Admitted;
use crate::number::E164;
use crate::settings::Trunk;

/// Whether new calls are taken. Running calls are not touched by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// New calls are taken.
    #[default]
    In,
    /// New calls hear busy.
    BusyOut,
    /// New calls hear that there is no service.
    Out,
}

impl Service {
    /// A stable label.
    pub const fn label(self) -> &'static str {
        match self {
            Service::In => "in",
            Service::BusyOut => "busy_out",
            Service::Out => "out",
        }
    }
}

/// What is in or out of service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A business number.
    Number(E164),
    /// A trunk.
    Trunk(Arc<str>),
}

/// What is not in service. Kept across reloads, not across restarts.
#[derive(Debug, Default)]
pub(crate) struct Services(BTreeMap<Subject, Service>);

impl Services {
    pub(crate) fn put(&mut self, subject: Subject, service: Service) {
        match service {
            Service::In => drop(self.0.remove(&subject)),
            Service::BusyOut | Service::Out => drop(self.0.insert(subject, service)),
        }
    }

    pub(crate) fn of(&self, subject: &Subject) -> Service {
        self.0.get(subject).copied().unwrap_or_default()
    }

    /// Whether a trunk is in service.
    pub(crate) fn has_trunk(&self, trunk: &Trunk) -> bool {
        self.0.is_empty() || self.of(&Subject::Trunk(trunk.name.clone())) == Service::In
    }

    /// What stands against one more call.
    pub(crate) fn against(&self, admitted: &Admitted) -> Option<Cause> {
        if self.0.is_empty() {
            return None;
        }
        let number = self.of(&Subject::Number(admitted.number.e164.clone()));
        let trunk = self.of(&Subject::Trunk(admitted.trunk.name.clone()));
        match (number, trunk) {
            (Service::Out, _) | (_, Service::Out) => Some(Cause::OutOfService { busy: false }),
            (Service::BusyOut, _) | (_, Service::BusyOut) => {
                Some(Cause::OutOfService { busy: true })
            }
            (Service::In, Service::In) => None,
        }
    }
}
