//! `wa-sbc check`: the configuration, and what Meta would complain about.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;

use crate::acme::due_of;
use crate::config::{Settings, TlsPort};
use crate::net::tls::{self, TlsError};

/// Objections are errors (exit 1) when we could not start, warnings when calls would fail.
pub(crate) fn main(path: &Path) -> ExitCode {
    let settings = match Settings::load(path) {
        Ok(settings) => settings,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut wrong = 0;
    let mut say = |fine: bool, text: String| {
        println!("{} {text}", if fine { "ok     " } else { "PROBLEM" });
        wrong += u32::from(!fine);
    };
    say(
        true,
        format!(
            "{}: {} numbers, {} trunks",
            path.display(),
            settings.core.numbers.len(),
            settings.core.trunks.len()
        ),
    );
    for caution in settings.cautions() {
        println!("CAUTION {caution}");
    }
    let ordered = settings.acme.as_ref();
    let ordered = ordered.filter(|acme| due_of(acme).is_none());
    if let Some(acme) = ordered {
        println!(
            "CAUTION there is no certificate for {} in {} yet\n        it is ordered at the start, and until it comes no call does: port 80 of that name has to lead to {}",
            acme.names.join(", "),
            acme.certificate.display(),
            acme.listen,
        );
    }
    if let Some(port) = &settings.tls {
        if ordered.is_none() {
            let usable = tls::server(&port.certificate, &port.key).map(drop);
            say(
                usable.is_ok(),
                usable.map_or_else(
                    |why| why.to_string(),
                    |()| "certificate and key fit together".into(),
                ),
            );
        }
        let mut hosts: Vec<&str> = settings
            .core
            .numbers
            .iter()
            .map(|number| number.host.as_str())
            .collect();
        hosts.push(&port.host);
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            let comes = ordered.is_some_and(|acme| acme.names.iter().any(|name| name == host));
            match objection_of_all(port, host) {
                _ if comes => {}
                Ok(None) => say(true, format!("the certificate is valid for {host}")),
                Ok(Some(why)) => say(
                    false,
                    format!(
                        "{why}\n        Meta would never send an INVITE to {host}: serve the full chain of a public authority for that name"
                    ),
                ),
                Err(why) => say(false, why.to_string()),
            }
            let found = (host, port.listen.port())
                .to_socket_addrs()
                .map(|found| found.count())
                .unwrap_or(0);
            say(
                found > 0,
                match found {
                    0 => format!(
                        "{host} cannot be resolved\n        Meta finds us by this name: publish its address in the DNS"
                    ),
                    count => format!("{host} has {count} address(es)"),
                },
            );
        }
    }
    for path in settings.authorities.values() {
        let usable = tls::client(Some(path)).map(drop);
        say(
            usable.is_ok(),
            usable.map_or_else(
                |why| why.to_string(),
                |()| format!("{} holds authorities", path.display()),
            ),
        );
    }
    let peers = settings
        .core
        .trunks
        .iter()
        .flat_map(|trunk| trunk.destinations())
        .chain([&settings.core.carrier.target]);
    for target in peers.filter(|target| target.host.parse::<IpAddr>().is_err()) {
        if let Some(fixed) = settings.fixed.get(&target.host.to_ascii_lowercase()) {
            say(
                true,
                format!("{} is at {fixed} by configuration", target.host),
            );
            continue;
        }
        let found = (target.host.as_str(), target.port)
            .to_socket_addrs()
            .map(|found| found.count())
            .unwrap_or(0);
        say(
            found > 0,
            match found {
                0 => format!(
                    "{} cannot be resolved\n        calls to it would fail: check the name and this machine's DNS",
                    target.host
                ),
                count => format!("{} has {count} address(es)", target.host),
            },
        );
    }
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What Meta would object to the certificate it gets for `host`: the first that is made for it.
fn objection_of_all(port: &TlsPort, host: &str) -> Result<Option<String>, TlsError> {
    let first = tls::objection(&port.certificate, host, None);
    if !matches!(first, Ok(Some(_))) {
        return first;
    }
    let mut others = port.certificates.iter();
    let fine =
        others.any(|files| matches!(tls::objection(&files.certificate, host, None), Ok(None)));
    if fine { Ok(None) } else { first }
}
