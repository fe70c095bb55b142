//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, SIPp on both
//! sides with Kamailio as Meta's TLS edge. All complete, and afterwards nothing is left: no port, no thread, no memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::kamailio::Edge;
use tests::place::Place;
use tests::running::Running;
use tests::sbc::{DOMAIN, HOST, NUMBER, PASSWORD, Sbc, Setup, USER, USERNAME};
use tests::sipp::{Sipp, succeed};
use tests::tools::present;

const CALLS: u32 = 1000;
const RATE: &str = "50";

struct Lab {
    place: Place,
    sbc: Sbc,
    inner: SocketAddr,
    meta: SocketAddr,
    pbx: SocketAddr,
    _edge: Running,
}

impl Lab {
    fn meta(&self, name: &str, scenario: &str, calls: u32) -> Sipp {
        Sipp::new(name, scenario, self.meta)
            .fill("HOST", HOST)
            .fill("DOMAIN", DOMAIN)
            .fill("USER", USERNAME)
            .fill("PASSWORD", PASSWORD)
            .fill("TALK", "1000")
            .calls(calls)
            .quietly()
    }

    fn pbx(&self, name: &str, scenario: &str, calls: u32) -> Sipp {
        Sipp::new(name, scenario, self.pbx)
            .codec("PCMA")
            .fill("TALK", "1000")
            .fill("CALLER", NUMBER)
            .calls(calls)
            .quietly()
    }

    fn user_calls(&self, round: &str, calls: u32) {
        let (caller, callee) = (format!("{round}-meta"), format!("{round}-pbx"));
        let mut answering = self
            .pbx(&callee, "pbx_answers_silently", calls)
            .answer(&self.place);
        let calling = self
            .meta(&caller, "meta_calls", calls)
            .with(&["-r", RATE, "-l", "1000"])
            .with(&[
                "-auth_uri",
                &format!("{NUMBER}@{HOST}"),
                "-cid_str",
                "outgoing:wacid.HBgLMTIxOTU1NTA3MTQVAgASGCA%p%u=",
            ]);
        let mut calling = calling.call(&self.place, NUMBER, self.inner);
        succeed(&self.place, &caller, &mut calling, limit(calls));
        succeed(&self.place, &callee, &mut answering, limit(calls));
    }

    fn business_calls(&self, round: &str, calls: u32) {
        let (callee, caller) = (format!("{round}-meta"), format!("{round}-pbx"));
        let mut answering = self
            .meta(&callee, "meta_answers", calls)
            .answer(&self.place);
        let calling = self
            .pbx(&caller, "pbx_calls_silently", calls)
            .with(&["-r", RATE, "-l", "1000"]);
        let mut calling = calling.call(&self.place, USER, self.sbc.sip);
        succeed(&self.place, &caller, &mut calling, limit(calls));
        succeed(&self.place, &callee, &mut answering, limit(calls));
    }

    // Waits until the number of open files has fallen to what it was, and returns how long that took.
    fn settle(&self, descriptors: usize) -> Duration {
        let began = Instant::now();
        tests::place::wait_until(
            "all ports are closed again",
            Duration::from_secs(120),
            || self.sbc.running.descriptors() <= descriptors,
        );
        began.elapsed()
    }
}

fn limit(calls: u32) -> Duration {
    Duration::from_secs(60 + u64::from(calls) / 20)
}

#[test]
fn a_thousand_calls_each_way_at_50_a_second_leave_nothing_behind() {
    let story = "load";
    if !present(story, &["sipp", "kamailio"]) {
        return;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let (outer, inner) = (
        SocketAddr::new(place.address(21), 5061),
        SocketAddr::new(place.address(22), 5070),
    );
    let (meta, pbx) = (
        SocketAddr::new(place.address(23), 5060),
        SocketAddr::new(place.address(31), 5060),
    );
    let identity = authority.identity(&place, &["wa.meta.vc"]);
    let edge = Edge {
        outer,
        inner,
        sbc: SocketAddr::new(place.address(1), 5061),
        sbc_host: HOST,
        sipp: meta,
        sipp_transport: "udp",
        challenge: Some(("MD5", PASSWORD)),
    }
    .start(&place, &authority, &identity);
    let mut setup = Setup::new(outer, pbx);
    setup.log = "info";
    let sbc = Sbc::start(&place, &authority, &setup);
    let lab = Lab {
        place,
        sbc,
        inner,
        meta,
        pbx,
        _edge: edge,
    };

    let state = |when: &str| {
        let running = &lab.sbc.running;
        let (resident, descriptors, threads) = (
            running.resident_kib(),
            running.descriptors(),
            running.threads(),
        );
        println!("{story}: {when}: {resident} KiB, {descriptors} descriptors, {threads} threads");
        (resident, descriptors, threads)
    };
    state("at the start");
    // One second of calls each way: what is opened once (the connection to the edge, the log, pages of code) is open now.
    lab.user_calls("warm-uic", 50);
    lab.business_calls("warm-bic", 50);
    lab.settle(state("after 50 calls each way").1.min(40));
    let before = state("settled");

    lab.user_calls("uic", CALLS);
    state("after 1,000 user-initiated calls");
    lab.business_calls("bic", CALLS);
    state("after 1,000 business-initiated calls");
    let took = lab.settle(before.1);
    println!("{story}: settled after {took:.1?}");
    let after = state("settled");

    assert_eq!(
        lab.sbc.records().len() as u32,
        2 * (CALLS + 50),
        "one record for every call"
    );
    assert!(
        after.1 <= before.1,
        "no descriptor is left: {} before, {} after",
        before.1,
        after.1
    );
    assert_eq!(after.2, before.2, "no thread is left");
    let growth = after.0 as f64 / before.0 as f64 - 1.0;
    assert!(
        growth < 0.05,
        "resident set grew by {:.1} %: {} KiB to {} KiB",
        growth * 100.0,
        before.0,
        after.0
    );
}
