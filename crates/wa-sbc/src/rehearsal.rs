//! A rehearsal before the first call.
//!
//! Calls in both directions, and one with audio, go through a core of their own in virtual time, and two ends
//! of TLS shake hands in memory: nothing of it reaches a network, a record or a metric. It has two purposes:
//!
//! - The first caller does not wait for code to be read from disk, and what calls need in passing (stacks,
//!   pages, the tables of the allocator) is there: the program is as large when it starts as it will be.
//! - A build that cannot carry a call says so before anybody calls.

use std::error::Error;
use std::ops::DerefMut;
use std::panic::catch_unwind;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData,
};
use sim::scene::{agent, agent_answers, ms, secs, silent_world, user, user_answers, world};

use crate::clock;
use crate::net::tls;

/// Calls at once in each direction.
const CALLS: u32 = 48;

/// Holds the rehearsal; a fault in it costs nothing but a line of the log.
pub(crate) fn hold() {
    let began = clock::now();
    let faults = catch_unwind(play).unwrap_or_else(|_| vec!["a panic".into()]);
    let took_ms = began.elapsed().as_millis();
    match faults.first() {
        None => tracing::info!(took_ms, "rehearsed calls in both directions"),
        Some(fault) => {
            tracing::error!(%fault, faults = faults.len(), "the rehearsal of calls went wrong")
        }
    }
}

/// What went wrong.
fn play() -> Vec<String> {
    let mut faults = Vec::new();
    let mut talk = world();
    talk.pbx.script(agent_answers(ms(200)));
    talk.user_calls(user().pressing(ms(500), "5").hanging_up_after(secs(2)));
    let mut crowd = silent_world();
    for i in 0..CALLS {
        let mut call = user().hanging_up_after(secs(2));
        call.caller = format!("+1219555{i:04}");
        crowd.user_calls(call);
        let mut call = agent().hanging_up_after(secs(2));
        call.to = format!("+1312555{i:04}");
        crowd.meta.script(user_answers(ms(200)));
        crowd.agent_calls(call);
    }
    for (world, calls) in [(&mut talk, 1), (&mut crowd, 2 * CALLS as usize)] {
        if !world.until_quiet(secs(300)) {
            faults.push("something is left".into());
        }
        let normal = world
            .records
            .iter()
            .filter(|record| record.cause.label() == "normal");
        let normal = normal.count();
        if normal != calls {
            faults.push(format!("{normal} of {calls} calls ended as they should"));
        }
        let violations = world.meta.counts().violations;
        if violations > 0 {
            faults.push(format!("{violations} rules of Meta were broken"));
        }
    }
    if let Err(error) = shake_hands() {
        faults.push(format!("TLS: {error}"));
    }
    faults
}

/// TLS from end to end, with a certificate nobody will see again.
fn shake_hands() -> Result<(), Box<dyn Error>> {
    const NAME: &str = "rehearsal.invalid";
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()].to_vec())?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let server = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let client = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server))?;
    let mut client = ClientConnection::new(Arc::new(client), NAME.try_into()?)?;
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    Ok(())
}

/// What one end has to say reaches the other.
fn carry<A: SideData, B: SideData>(
    from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
) -> Result<(), Box<dyn Error>> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire)?;
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest)?;
        to.process_new_packets()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rehearsal_goes_well() {
        assert_eq!(play(), Vec::<String>::new());
    }
}
