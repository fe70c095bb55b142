//! `make bench-captures`: what captures cost. 200 calls talk (G.711 on both legs, SRTP towards Meta), 20 of them by way of a
//! trunk of their own; the processor time of each thread is read while nobody, one call, those 20 and all 200 are captured.
//!
//! The far sides are the simulated Meta and two simulated PBXs, which share the machine with what is measured: processor time
//! is what the kernel counts of wa-sbc's threads alone.

use std::time::Duration;

use tests::captured::{LIMIT, Lab, said};
use tests::sbc::NUMBER;
use tests::simulated::{Simulated, pbx_address};

use super::process::Process;

/// Calls of users, by way of the trunk `first`.
const MANY: u32 = 180;
/// Calls of agents, by way of the trunk `other`.
const SOME: u32 = 20;
/// How long is counted.
const COUNTED: Duration = Duration::from_secs(10);
/// Rounds; the order within one is from none to all.
const ROUNDS: usize = 2;

pub(crate) fn run() {
    let lab = Lab::new("bench-captures", |place, setup| {
        let (other, pbx) = (place.address(32), pbx_address(place));
        setup.meta_codecs = vec!["PCMA"];
        setup.log = "warn";
        // Both trunks are the number's; the one its calls go to has the name of the usual trunk.
        setup.trunk = Some(format!(
            "[[group]]\nname = \"office\"\nmembers = [{{ trunk = \"first\" }}, {{ trunk = \"other\", priority = 2 }}]\n\
             [[trunk]]\nname = \"first\"\npeer = \"sip:{pbx};transport=udp\"\nnetworks = [\"{}/32\"]\n\
             codecs = [\"PCMA\", \"telephone-event\"]\n",
            pbx.ip()
        ));
        setup.tables += &format!(
            "[[trunk]]\nname = \"other\"\npeer = \"sip:{other}:5060;transport=udp\"\n\
             networks = [\"{other}/32\"]\ncodecs = [\"PCMA\", \"telephone-event\"]\n"
        );
    });
    let ends = "180";
    let (many, some) = (MANY.to_string(), SOME.to_string());
    let mut desk = Simulated::pbx(&lab.place, "pbx", &["--codecs", "PCMA", "--at-most", ends]);
    let mut users = Simulated::meta(
        &lab.place,
        &lab.authority,
        "meta",
        &[
            "--g711",
            "--calls",
            &many,
            "--rate",
            "20",
            "--exit-after",
            "1000",
            "--at-most",
            ends,
        ],
    );
    let sbc = lab.sbc.sip.to_string();
    let mut other = std::process::Command::new(tests::sbc::binary());
    let listen = std::net::SocketAddr::new(lab.place.address(32), pbx_address(&lab.place).port());
    other.args(["sim", "pbx", "--listen", &listen.to_string(), "--sbc", &sbc]);
    other.args(["--codecs", "PCMA", "--from", NUMBER, "--to", "+12195559000"]);
    other.args([
        "--calls",
        &some,
        "--rate",
        "20",
        "--exit-after",
        "1000",
        "--at-most",
        ends,
    ]);
    let mut agents = Simulated::start(&lab.place, "agents", &mut other, listen);
    desk.wait_for("confirmed", MANY as usize, LIMIT);
    agents.wait_for("answered", SOME as usize, LIMIT);
    std::thread::sleep(Duration::from_secs(2));

    let process = Process::new(lab.sbc.running.pid());
    println!(
        "µs a second of talk, by thread, for all {} calls together",
        MANY + SOME
    );
    for _ in 0..ROUNDS {
        for (captured, of) in [
            (0, None),
            (1, Some(["--number", "+12195550714"].as_slice())),
            (SOME, Some(["--trunk", "other"].as_slice())),
            (MANY + SOME, Some(["--all"].as_slice())),
        ] {
            let name = of.map(|of| lab.begin(of));
            std::thread::sleep(Duration::from_secs(1));
            let before = process.threads();
            std::thread::sleep(COUNTED);
            let spent = process.threads().since(&before);
            let seconds = COUNTED.as_secs() as u32;
            let total = spent.total().as_secs_f64() * 1e3 / f64::from(seconds);
            println!(
                "{captured:>3} captured: {total:.1} ms/s; {}",
                spent.per_call(seconds)
            );
            if let Some(name) = name {
                let stopped = lab.ask(&["capture", "--stop", &name]);
                println!("    {}", said(&stopped).lines().next().unwrap_or_default());
                let _ = std::fs::remove_dir_all(lab.place.path("captures"));
            }
        }
    }
    users.running.terminate();
}
