//! Whether the certificate renews itself.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::{Check, Finding, Patient};
use crate::acme::due_of;
use crate::config::AcmeSettings;

/// The account, the date of the next renewal, the port the authority will ask at.
pub(super) struct Acme;

impl Check for Acme {
    fn name(&self) -> &'static str {
        "acme"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        match &patient.settings.acme {
            Some(acme) => vec![account(acme), renewal(patient, acme), port(acme)],
            None => Vec::new(),
        }
    }
}

fn account(acme: &AcmeSettings) -> Finding {
    let path = acme.account.display();
    match std::fs::metadata(&acme.account) {
        Ok(_) => Finding::pass(format!("the account with the authority is in {path}")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::pass("no account with the authority yet: the first order makes one")
        }
        Err(error) => Finding::fail(
            format!("the account in {path} cannot be seen: {error}"),
            "let the user wa-sbc runs as read it, and nobody else",
        ),
    }
}

fn renewal(patient: &Patient, acme: &AcmeSettings) -> Finding {
    let Some(due) = due_of(acme) else {
        return Finding::warn(
            format!(
                "there is no certificate in {} yet",
                acme.certificate.display()
            ),
            "start wa-sbc: it asks for one before it opens a port, and says what is wrong if it gets none",
        );
    };
    match due.duration_since(patient.now) {
        Ok(time) => {
            let days = time.as_secs() / 86_400;
            Finding::pass(format!("the certificate is renewed in {days} days"))
        }
        Err(late) => Finding::warn(
            format!(
                "the certificate should have been renewed {} hours ago",
                late.duration().as_secs() / 3600
            ),
            "the log of the running program says why the authority gives none; it tries again every hour",
        ),
    }
}

fn port(acme: &AcmeSettings) -> Finding {
    let listen = acme.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Finding::pass(format!("{listen} is free for the challenge")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::fail(
            format!("another program listens on {listen}, where the authority will ask"),
            "let that program pass /.well-known/acme-challenge/ on to another listen of [acme], or end it",
        ),
        Err(error) => Finding::fail(
            format!("cannot listen on {listen}, where the authority will ask: {error}"),
            "give the service CAP_NET_BIND_SERVICE, as the unit of the package does, or lead port 80 to a listen above 1024",
        ),
    }
}
