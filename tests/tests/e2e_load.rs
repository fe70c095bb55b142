//! 1,000 user-initiated and then 1,000 business-initiated calls at 50 calls a second through the real binary, between the
//! simulated Meta (TLS, a connection for each call, digest both ways) and PBX. All complete, and afterwards nothing is left: no
//! port, no thread, and no more memory than the program had when it had just started. A second load leaves no more than the first.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::certificates::Authority;
use tests::http::Client;
use tests::place::{Place, wait_until};
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, meta_address, pbx_address};
use tests::sipp::wait_listening;

/// Calls a second.
const RATE: &str = "50";
/// Calls each way: as many as the product promises, then again as many as show whether anything adds up.
const CALLS: [u32; 2] = [1000, 400];

/// How much larger the resident set may be than it was at the start.
const GROWTH: f64 = 0.05;
/// Bytes more in use than at the start: what is remembered of who called (nonces, the counts of 24 hours, the index of ladders).
const REMEMBERED: f64 = 1024.0 * 1024.0;
/// Bytes more in use after the second load than after the first.
const ADDED: f64 = 256.0 * 1024.0;

/// Every call counts here, also while the machine has much else to do.
const NO_CALL_TOO_MANY: &str =
    "[admission]\noverload_lag = 0\noverload_queue = 0\noverload_media = 0\n";

/// A lab token; it opens nothing.
const TOKEN: &str = "Zk3vQ8wLr5";

struct Lab {
    place: Place,
    authority: Authority,
    sbc: Sbc,
    http: Client,
}

/// What the program takes up.
struct State {
    /// KiB, by the system.
    resident: u64,
    /// Bytes in use, by the allocator.
    in_use: f64,
    descriptors: usize,
    threads: usize,
}

impl Lab {
    // A load in one direction; both peers find everything in order.
    fn calls(&self, user_initiated: bool, calls: u32) {
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
        let way = if user_initiated { "user" } else { "business" };
        let [meta, pbx] = ["meta", "pbx"].map(|peer| format!("{peer}-{way}-{calls}"));
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

    fn state(&self, when: &str) -> State {
        let running = &self.sbc.running;
        let state = State {
            in_use: self.metric("wa_sbc_memory_allocated_bytes"),
            resident: running.resident_kib(),
            descriptors: running.descriptors(),
            threads: running.threads(),
        };
        println!(
            "load: {when}: {} KiB resident, {:.0} KiB in use, {} descriptors, {} threads",
            state.resident,
            state.in_use / 1024.0,
            state.descriptors,
            state.threads
        );
        state
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.http.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    // Waits until no media port is open any more, and then for the longest transaction to have ended.
    fn settle(&self) {
        let began = Instant::now();
        wait_until(
            "all media ports are closed again",
            Duration::from_secs(120),
            || self.sbc.running.udp_sockets().len() <= 1,
        );
        println!("load: ports closed after {:.1?}", began.elapsed());
        // The longest transaction ends 32 s after its call; freed memory goes back to the system within a second.
        std::thread::sleep(Duration::from_secs(10));
    }
}

#[test]
fn a_thousand_calls_each_way_at_50_a_second_leave_nothing_behind() {
    let place = Place::new("load");
    let authority = Authority::new(&place);
    let token = place.write("token", TOKEN);
    let address = SocketAddr::new(place.address(3), 9090);
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.tables = format!(
        "[http]\nlisten = \"{address}\"\ntoken = {{ file = \"{}\" }}\n{NO_CALL_TOO_MANY}",
        token.display()
    );
    let sbc = Sbc::start(&place, &authority, &setup);
    wait_listening(address, true);
    let http = Client {
        address,
        token: TOKEN.into(),
    };
    let lab = Lab {
        place,
        authority,
        sbc,
        http,
    };
    // What the start itself needed has gone back to the system.
    std::thread::sleep(Duration::from_secs(3));
    let start = lab.state("at the start");
    let settled = CALLS.map(|calls| {
        lab.calls(true, calls);
        lab.state(&format!("after {calls} user-initiated calls"));
        lab.calls(false, calls);
        lab.state(&format!("after {calls} business-initiated calls"));
        lab.settle();
        lab.state("settled")
    });

    assert_eq!(
        lab.sbc.records().len() as u32,
        2 * CALLS.iter().sum::<u32>(),
        "one record for every call"
    );
    for after in &settled {
        assert!(
            after.descriptors <= start.descriptors + 1,
            "no descriptor is left: {} before, {} after",
            start.descriptors,
            after.descriptors
        );
        assert!(
            after.threads <= start.threads,
            "no thread is left: {} before, {} after",
            start.threads,
            after.threads
        );
        let growth = after.resident as f64 / start.resident as f64 - 1.0;
        assert!(
            growth < GROWTH,
            "resident set grew by {:.1} %: {} KiB to {} KiB",
            growth * 100.0,
            start.resident,
            after.resident
        );
        let remembered = after.in_use - start.in_use;
        assert!(remembered < REMEMBERED, "{remembered} bytes more in use");
    }
    let added = settled[1].in_use - settled[0].in_use;
    assert!(
        added < ADDED,
        "{added} bytes more in use after a second load"
    );
}
