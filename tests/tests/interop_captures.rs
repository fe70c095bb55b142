//! Our captures before tshark: every checksum holds, nothing is malformed, and what the core said is SIP to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::running::workspace;
use tests::tools::present;

/// What makes a packet a bad one, as a display filter.
const BAD: &str = "_ws.malformed || ip.checksum.status == Bad || tcp.checksum.status == Bad || udp.checksum.status == Bad \
    || tcp.analysis.lost_segment || tcp.analysis.retransmission \
    || ((sip || sdp || rtp || rtcp) && _ws.expert.severity >= 0x800000)";

/// The packets a filter selects, one line each.
fn tshark(file: &Path, filter: &str) -> Vec<String> {
    let checks = ["ip", "tcp", "udp"].map(|layer| format!("{layer}.check_checksum:TRUE"));
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args(checks.iter().flat_map(|check| ["-o", check]))
        .args(["-Y", filter])
        .output()
        .expect("tshark runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn tshark_reads_every_capture_without_a_malformed_packet() {
    if !present("captures/tshark", &["tshark"]) {
        return;
    }
    let entries = std::fs::read_dir(workspace().join("pcaps")).expect("pcaps/");
    let mut scenes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    scenes.retain(|scene| scene.is_dir());
    assert!(scenes.len() >= 20, "{scenes:?}");
    // tshark waits more than it works.
    std::thread::scope(|scope| {
        for some in scenes.chunks(scenes.len().div_ceil(4)) {
            scope.spawn(|| some.iter().for_each(|scene| is_read(scene)));
        }
    });
}

/// A scene without its capture fails: every one of them is read.
fn is_read(scene: &Path) {
    let file = scene.join("call.pcapng");
    let name = file.display();
    assert_eq!(tshark(&file, BAD), Vec::<String>::new(), "{name}");
    let begin = "(sip.Method == \"INVITE\" && sdp) || sip.Status-Code == 100";
    let begin = tshark(&file, begin);
    for what in ["Request: INVITE", "Status: 100"] {
        let found = begin.iter().any(|packet| packet.contains(what));
        assert!(found, "{name}: no {what} in {begin:?}");
    }
}
