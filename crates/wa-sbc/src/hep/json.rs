//! An RTCP report in the JSON collectors of HEP read: names as captagent, rtpengine and Homer have them,
//! figures as they stand in the packet (RFC 3550 §6.4).

use sdp::report::{Block, SenderReport, SentReport};
use serde_json::{Map, Value, json};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// 1970 in seconds since 1900.
const UNIX: u64 = 2_208_988_800;

/// The report as text.
pub(super) fn of(report: &SentReport) -> String {
    let mut object = Map::new();
    if let Some(sender) = &report.sender {
        object.insert("sender_information".into(), sent(sender));
    }
    let kind = match report.sender {
        Some(_) => SENDER_REPORT,
        None => RECEIVER_REPORT,
    };
    let blocks: Vec<Value> = report.block.iter().map(received).collect();
    object.insert("ssrc".into(), report.ssrc.into());
    object.insert("type".into(), kind.into());
    object.insert("report_count".into(), blocks.len().into());
    object.insert("report_blocks".into(), blocks.into());
    Value::Object(object).to_string()
}

fn sent(sender: &SenderReport) -> Value {
    let fraction = u64::from(sender.ntp as u32);
    json!({
        "ntp_timestamp_sec": (sender.ntp >> 32).wrapping_sub(UNIX),
        "ntp_timestamp_usec": (fraction * 1_000_000) >> 32,
        "rtp_timestamp": sender.timestamp,
        "packets": sender.packets,
        "octets": sender.octets,
    })
}

fn received(block: &Block) -> Value {
    json!({
        "source_ssrc": block.ssrc,
        "fraction_lost": block.fraction_lost,
        "packets_lost": block.lost,
        "highest_seq_no": block.highest,
        "ia_jitter": block.jitter,
        "lsr": block.last_report,
        "dlsr": block.delay,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(report: &SentReport) -> Value {
        serde_json::from_str(&of(report)).expect("JSON")
    }

    #[test]
    fn a_report_has_what_it_has_and_nothing_else() {
        let block = Block {
            ssrc: 9,
            fraction_lost: 12,
            lost: -3,
            highest: 70_000,
            jitter: 14,
            last_report: 5,
            delay: 65_536,
        };
        let mut report = SentReport {
            to: ([192, 0, 2, 1], 4_001).into(),
            multiplexed: false,
            ssrc: 42,
            sender: Some(SenderReport {
                ntp: (UNIX + 1_700_000_000) << 32 | 0x8000_0000,
                timestamp: 77,
                packets: 5,
                octets: 800,
            }),
            block: Some(block),
        };
        assert_eq!(
            read(&report),
            json!({
                "sender_information": {
                    "ntp_timestamp_sec": 1_700_000_000, "ntp_timestamp_usec": 500_000,
                    "rtp_timestamp": 77, "packets": 5, "octets": 800,
                },
                "ssrc": 42, "type": 200, "report_count": 1,
                "report_blocks": [{
                    "source_ssrc": 9, "fraction_lost": 12, "packets_lost": -3,
                    "highest_seq_no": 70_000, "ia_jitter": 14, "lsr": 5, "dlsr": 65_536,
                }],
            })
        );
        (report.sender, report.block) = (None, None);
        assert_eq!(
            read(&report),
            json!({"ssrc": 42, "type": 201, "report_count": 0, "report_blocks": []})
        );
    }
}
