//! PBXs that are names: their addresses, and the transport a request fits.

use std::sync::Arc;
use std::time::Duration;

use b2bua::Input;
use sip::resolve::{Located, Server};
use sip::{FlowId, Transport};

use crate::bench::{Bench, INVITE, carrier_flow, header, pbx_flow, response, settings};

/// A trunk whose peer is a name, of which two servers of different rank are known.
fn by_name() -> Bench {
    let mut settings = settings();
    let trunk = Arc::make_mut(&mut settings.trunks[0]);
    trunk.target.host = "pbx.example.com".into();
    trunk.target.port = 0;
    let mut bench = Bench::with(settings);
    bench.handle(Input::Tick);
    let target = bench
        .looked_for_of("pbx.example.com")
        .expect("the name is looked for");
    assert_eq!((target.host.as_str(), target.port), ("pbx.example.com", 0));
    let server = |address: &str| Server {
        transport: Transport::Udp,
        weight: 0,
        port: 5070,
        addresses: vec![address.parse().unwrap()],
    };
    let found = Located {
        ranks: vec![vec![server("10.0.0.31")], vec![server("10.0.0.32")]],
        ttl: Duration::from_secs(60),
    };
    bench.handle(Input::Located { target, found });
    bench
}

#[test]
fn a_pbx_in_trouble_is_called_at_the_next_address_of_its_name() {
    let at = |bench: &Bench, flow: FlowId| {
        let found = bench.connects.iter().find(|(id, _)| *id == flow);
        let target = found.map(|(_, target)| target).expect("asked for");
        assert_eq!(
            target.host, "pbx.example.com",
            "the name stays: TLS verifies it"
        );
        target.at.expect("a known address").to_string()
    };
    let mut bench = by_name();
    bench.receive(carrier_flow(), INVITE);
    let (first, invite) = bench.take("INVITE");
    assert_eq!(at(&bench, first), "10.0.0.31:5070");
    let refusal = response(&invite, "503 Service Unavailable", "p", "", "");
    bench.receive(pbx_flow(), &refusal);
    let (second, _) = bench.take("INVITE");
    assert_eq!(at(&bench, second), "10.0.0.32:5070");

    // One that says nothing is given up after 4 s, and stands last for the next call.
    let mut bench = by_name();
    bench.receive(carrier_flow(), INVITE);
    let (silent, _) = bench.take("INVITE");
    bench.pass(Duration::from_secs(5));
    bench.sent.retain(|(flow, _)| *flow != silent);
    let (second, _) = bench.take("INVITE");
    assert_eq!(at(&bench, second), "10.0.0.32:5070");
}

#[test]
fn a_name_is_looked_for_again_when_its_time_to_live_is_over() {
    let mut bench = by_name();
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.looked_for_of("pbx.example.com"), None);
    bench.pass(Duration::from_secs(2));
    let target = bench
        .looked_for_of("pbx.example.com")
        .expect("looked for again");
    // The DNS is broken: the last good answer holds.
    let found = Located::default();
    bench.handle(Input::Located { target, found });
    bench.receive(carrier_flow(), INVITE);
    let (flow, _) = bench.take("INVITE");
    let target = bench.connects.iter().find(|(id, _)| *id == flow);
    assert!(target.is_some_and(|(_, target)| target.at.is_some()));
}

#[test]
fn an_invite_too_large_for_a_datagram_goes_over_tcp_and_over_udp_where_nobody_listens() {
    let mut settings = settings();
    settings.product = "p".repeat(1300);
    let mut bench = Bench::with(settings);
    bench.receive(carrier_flow(), INVITE);
    let (over_tcp, invite) = bench.take("INVITE");
    assert!(
        header(&invite, "Via").starts_with("SIP/2.0/TCP "),
        "{invite}"
    );
    let target = &bench.connects.last().expect("asked for").1;
    assert_eq!((target.transport, target.port), (Transport::Tcp, 5060));
    let why = "connection refused".into();
    bench.handle(Input::FlowFailed { id: over_tcp, why });
    let (over_udp, invite) = bench.take("INVITE");
    assert_ne!(over_udp, over_tcp);
    assert!(
        header(&invite, "Via").starts_with("SIP/2.0/UDP "),
        "{invite}"
    );
}
