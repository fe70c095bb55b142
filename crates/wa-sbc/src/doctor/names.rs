//! The names Meta finds us by.

use super::{Check, Finding, Patient};

/// Meta resolves the host of each number.
pub(super) struct Names;

impl Check for Names {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let hosts = patient.hosts();
        let found = hosts
            .iter()
            .map(|(host, port)| match patient.resolve(host, *port) {
                Ok(addresses) if !addresses.is_empty() => {
                    let list: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
                    Finding::pass(format!("{host} is {}", list.join(", ")))
                }
                Ok(_) => unresolved(host, "it has no address"),
                Err(why) => unresolved(host, &why),
            });
        found.collect()
    }
}

fn unresolved(host: &str, why: &str) -> Finding {
    Finding::fail(
        format!("{host} cannot be resolved: {why}"),
        "publish an A or AAAA record for the name in the public DNS; Meta finds us by it",
    )
}
