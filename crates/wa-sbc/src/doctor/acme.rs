//! Whether the certificate comes, and renews itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, UNIX_EPOCH};

use super::clock::date;
use super::port::within;
use super::{Check, Finding, Patient};
use crate::acme::{NOBODY, due_of, remembered};
use crate::config::AcmeSettings;

/// The account, the date of the next renewal, the port the authority will ask at.
pub(super) struct Acme;

impl Check for Acme {
    fn name(&self) -> &'static str {
        "acme"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        match &patient.settings.acme {
            Some(acme) => vec![account(acme), renewal(patient, acme), port(patient, acme)],
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
    let due = due_of(acme);
    if let Some(trouble) = remembered(&acme.account) {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        let found = format!(
            "the authority gave no certificate {} time(s) in a row, last at {}: {}",
            trouble.in_a_row,
            at(trouble.at),
            trouble.why
        );
        let remedy = format!(
            "mend that and reload (systemctl reload wa-sbc): it asks again then, else at {}",
            at(trouble.again)
        );
        return match due {
            None => Finding::fail(found, remedy),
            Some(_) => Finding::warn(found, remedy),
        };
    }
    let Some(due) = due else {
        return Finding::warn(
            format!(
                "there is no certificate for {} in {} yet: it is ordered at the start",
                acme.names.join(", "),
                acme.certificate.display()
            ),
            format!(
                "start wa-sbc; port 80 of that name has to lead to {}",
                acme.listen
            ),
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
            "start wa-sbc: it renews while it runs; the log says why the authority gives none",
        ),
    }
}

fn port(patient: &Patient, acme: &AcmeSettings) -> Finding {
    let listen = acme.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Finding::pass(format!("{listen} is free for the challenge")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match is_ours(patient, listen) {
            true => Finding::pass(format!("wa-sbc answers at {listen}: an order is under way")),
            false => Finding::fail(
                format!("another program listens on {listen}, where the authority will ask"),
                "let that program pass /.well-known/acme-challenge/ on to another listen of [acme], or end it",
            ),
        },
        Err(error) => Finding::fail(
            format!("cannot listen on {listen}, where the authority will ask: {error}"),
            "give the service CAP_NET_BIND_SERVICE, as the unit of the package does, or lead port 80 to a listen above 1024",
        ),
    }
}

/// Whether it is the running program that answers there.
fn is_ours(patient: &Patient, listen: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&within(listen), patient.patience)?;
        stream.set_read_timeout(Some(patient.patience))?;
        stream.write_all(
            b"GET /.well-known/acme-challenge/doctor HTTP/1.0\r\nHost: localhost\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.ends_with(NOBODY))
}
