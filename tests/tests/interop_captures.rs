//! Our captures before tshark: every checksum holds, nothing is malformed, and what the core said is SIP to it.

use std::path::PathBuf;
use std::process::Command;

use tests::running::workspace;
use tests::tools::present;

fn tshark(file: &PathBuf, filter: &str) -> Vec<String> {
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
    let mut captures = 0;
    for entry in std::fs::read_dir(workspace().join("pcaps"))
        .expect("pcaps/")
        .flatten()
    {
        let file = entry.path().join("call.pcapng");
        if !file.exists() {
            continue;
        }
        captures += 1;
        let bad = "_ws.malformed || ip.checksum.status == Bad || tcp.checksum.status == Bad || udp.checksum.status == Bad || tcp.analysis.lost_segment || tcp.analysis.retransmission";
        assert_eq!(
            tshark(&file, bad),
            Vec::<String>::new(),
            "{}",
            file.display()
        );
        let invites = "sip.Method == \"INVITE\" && sdp";
        assert!(
            !tshark(&file, invites).is_empty(),
            "{}: no INVITE",
            file.display()
        );
        assert!(
            !tshark(&file, "sip.Status-Code == 100").is_empty(),
            "{}",
            file.display()
        );
    }
    assert!(captures >= 20, "{captures}");
}
