//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, between the
//! simulated Meta (TLS, a connection for each call, digest both ways) and PBX, twice. All complete, and afterwards nothing is
//! left: no port, no thread, and no more memory than the first load left.

use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::place::Place;
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, meta_address, pbx_address};

const CALLS: u32 = 1000;
const RATE: &str = "50";

struct Lab {
    place: Place,
    authority: Authority,
    sbc: Sbc,
}

impl Lab {
    // `calls` calls in one direction; both peers find everything in order.
    fn calls(&self, round: &str, user_initiated: bool, calls: u32) {
        let count = calls.to_string();
        let placing = [
            "--silent",
            "--calls",
            &count,
            "--rate",
            RATE,
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
    // The first load is where the process finds its size: code is read from disk, buffers grow to what 50 calls a second
    // need, and the allocator keeps them. What leaks shows as growth by a second load of the same size.
    lab.calls("first-uic", true, CALLS);
    lab.calls("first-bic", false, CALLS);
    lab.settle();
    let before = lab.state("settled after the first load");

    lab.calls("uic", true, CALLS);
    lab.state("after 1,000 user-initiated calls");
    lab.calls("bic", false, CALLS);
    lab.state("after 1,000 business-initiated calls");
    lab.settle();
    let after = lab.state("settled");

    assert_eq!(
        lab.sbc.records().len() as u32,
        4 * CALLS,
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
    // Seen: 5 %, most of it the allocator's and the pairs of numbers and users whose connected calls count for 24 hours.
    assert!(
        growth < 0.10,
        "resident set grew by {:.1} %: {} KiB to {} KiB",
        growth * 100.0,
        before.0,
        after.0
    );
}
