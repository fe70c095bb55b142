//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, SIPp on both
//! sides with Kamailio as Meta's TLS edge. All complete. (What is left afterwards is looked at in `e2e_load.rs`.)

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
            // One call at a time between a business and a user: every call has a user of its own.
            .fill("CALLER", "+1219555[call_number]")
            .fill("CALLEE", r"\+1219555[0-9]+")
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
            .fill("CALLED", "+1219555[call_number]")
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
}

fn limit(calls: u32) -> Duration {
    Duration::from_secs(60 + u64::from(calls) / 20)
}

#[test]
fn a_thousand_calls_each_way_at_50_a_second_through_an_edge() {
    let story = "load";
    if !present(story, &["sipp", "kamailio"]) {
        return;
    }
    let place = Place::new("load-edge");
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
    let mut lab = Lab {
        place,
        sbc,
        inner,
        meta,
        pbx,
        _edge: edge,
    };

    let began = Instant::now();
    lab.user_calls("uic", CALLS);
    println!(
        "load through Kamailio: 1,000 user-initiated calls in {:.1?}",
        began.elapsed()
    );
    let began = Instant::now();
    lab.business_calls("bic", CALLS);
    println!(
        "load through Kamailio: 1,000 business-initiated calls in {:.1?}",
        began.elapsed()
    );
    let calls = 2 * CALLS as usize;
    let records = lab.sbc.wait_for_records(calls, Duration::from_secs(5));
    assert_eq!(records.len(), calls, "one record for every call");
}
