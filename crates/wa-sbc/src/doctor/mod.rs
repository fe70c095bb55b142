//! `wa-sbc doctor`: what would keep calls from coming, found before they do not.
//!
//! ```text
//!   Settings ─► Patient ─► Check, Check, Check … ─► Finding (pass, warn, fail; what, and the remedy)
//! ```
//!
//! Each check is a small struct in a file of its own. It looks at the world as it is: it connects, shakes
//! hands, binds, asks. It changes nothing, and whatever it opens it closes.

mod acme;
mod addresses;
mod certificate;
mod clock;
mod command;
mod finding;
mod handshake;
mod line;
mod media_ports;
mod meta;
mod names;
mod outside;
mod passwords;
mod patient;
mod port;
mod registrations;
mod rounds;
mod trunks;

pub(crate) use command::{Options, main};
pub use finding::{Finding, Verdict};
pub use patient::Patient;
pub(crate) use rounds::Rounds;

/// One thing the doctor looks at.
pub trait Check {
    /// Its stable name, for scripts.
    fn name(&self) -> &'static str;
    /// Whether it may get in the way of calls: then it is made only when somebody asks.
    fn disturbs(&self) -> bool {
        false
    }
    /// Looks, and says what was found: at least one finding if the check applies.
    fn run(&self, patient: &Patient) -> Vec<Finding>;
}

/// Everything the doctor looks at, in the order of dependence: what is named first explains what
/// follows.
pub fn checks() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(clock::Clock),
        Box::new(passwords::Passwords),
        Box::new(names::Names),
        Box::new(addresses::Addresses),
        Box::new(acme::Acme),
        Box::new(certificate::Certificate),
        Box::new(port::Port),
        Box::new(meta::Meta),
        Box::new(trunks::Trunks),
        Box::new(registrations::Registrations),
        Box::new(media_ports::MediaPorts),
        Box::new(outside::Outside),
    ]
}

/// Runs every check.
pub fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in checks() {
        let found = check.run(patient).into_iter();
        findings.extend(found.map(|finding| finding.of(check.name())));
    }
    findings
}
