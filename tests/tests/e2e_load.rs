//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, between the
//! simulated Meta (TLS, a connection for each call, digest both ways) and PBX. All complete, and afterwards nothing is left: no
//! port, no thread, and no more memory than there was before.

use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, meta_address, pbx_address};

/// Calls each way, and how many of them a second.
struct Load {
    calls: u32,
    rate: &'static str,
}

const MEASURED: Load = Load {
    calls: 1000,
    rate: "50",
};

/// Where the process finds its size: code is read from disk, buffers grow to what so many calls at once need. Half as heavy
/// again as what is measured, so that whatever is larger afterwards was left behind.
const WARMING: Load = Load {
    calls: 1500,
    rate: "75",
};

/// How much larger the resident set may be after a thousand calls each way.
const GROWTH: f64 = 0.05;

struct Lab {
    place: Place,
    authority: Authority,
    sbc: Sbc,
}

impl Lab {
    // A load in one direction; both peers find everything in order.
    fn calls(&self, round: &str, user_initiated: bool, load: &Load) {
        let (calls, count) = (load.calls, load.calls.to_string());
        let placing = [
            "--silent",
            "--calls",
            &count,
            "--rate",
            load.rate,
            "--hang-up-after",
            "1",
            "--at-most",
            "150",
        ];
        let taking = [
            "--silent",
            "--exit-after",
            &count,
            "--answer-after",
            "0.2",
            "--at-most",
            "150",
        ];
        let (meta, pbx) = (format!("{round}-meta"), format!("{round}-pbx"));
        let (mut meta, mut pbx) = if user_initiated {
            let pbx = Simulated::pbx(&self.place, &pbx, &taking);
            (
                Simulated::meta(&self.place, &self.authority, &meta, &placing),
                pbx,
            )
        } else {
            let meta = Simulated::meta(&self.place, &self.authority, &meta, &taking);
            (meta, Simulated::pbx(&self.place, &pbx, &placing))
        };
        let limit = Duration::from_secs(60 + u64::from(calls) / 20);
        meta.succeed(limit);
        pbx.succeed(limit);
        for peer in [&meta, &pbx] {
            let ended = peer.events("ended");
            let whole = ended
                .iter()
                .filter(|end| end["answered"] == true && end["confirmed"] == true)
                .count();
            assert_eq!(
                whole, calls as usize,
                "every call was answered and confirmed"
            );
        }
    }

    fn state(&self, when: &str) -> (u64, usize, usize) {
        let running = &self.sbc.running;
        let (resident, descriptors, threads) = (
            running.resident_kib(),
            running.descriptors(),
            running.threads(),
        );
        println!("load: {when}: {resident} KiB, {descriptors} descriptors, {threads} threads");
        (resident, descriptors, threads)
    }

    // Waits until no media port is open any more, and then for the longest transaction to have ended.
    fn settle(&self) {
        let began = Instant::now();
        tests::place::wait_until(
            "all media ports are closed again",
            Duration::from_secs(120),
            || self.sbc.running.udp_sockets().len() <= 1,
        );
        println!("load: ports closed after {:.1?}", began.elapsed());
        // The longest transaction ends 32 s after its call; freed memory goes back to the system some seconds later.
        std::thread::sleep(Duration::from_secs(20));
    }
}

#[test]
fn a_thousand_calls_each_way_at_50_a_second_leave_nothing_behind() {
    let place = Place::new("load");
    let authority = Authority::new(&place);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    let sbc = Sbc::start(&place, &authority, &setup);
    let lab = Lab {
        place,
        authority,
        sbc,
    };
    lab.state("at the start");
    lab.calls("first-uic", true, &WARMING);
    lab.calls("first-bic", false, &WARMING);
    lab.settle();
    let before = lab.state("warm and settled");

    lab.calls("uic", true, &MEASURED);
    lab.state("after 1,000 user-initiated calls");
    lab.calls("bic", false, &MEASURED);
    lab.state("after 1,000 business-initiated calls");
    lab.settle();
    let after = lab.state("settled");

    assert_eq!(
        lab.sbc.records().len() as u32,
        2 * (WARMING.calls + MEASURED.calls),
        "one record for every call"
    );
    assert!(
        after.1 <= before.1 + 1,
        "no descriptor is left: {} before, {} after",
        before.1,
        after.1
    );
    assert!(
        after.2 <= before.2,
        "no thread is left: {} before, {} after",
        before.2,
        after.2
    );
    let growth = after.0 as f64 / before.0 as f64 - 1.0;
    assert!(
        growth < GROWTH,
        "resident set grew by {:.1} %: {} KiB to {} KiB",
        growth * 100.0,
        before.0,
        after.0
    );
}
