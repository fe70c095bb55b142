//! A record as a line of JSON.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use b2bua::record::LegMedia;
use b2bua::{CallId, Cause, Record};
use sdp::report::LegReport;
use sdp::{Side, Suite};
use serde::Serialize;
use whatsapp::headers::CallFacts;

/// A record of the node with this number as one line of JSON, without the line end.
pub fn line(node: u16, record: &Record) -> String {
    let line = Line::of(node, record, true);
    serde_json::to_string(&line).expect("plain figures and texts can always be written")
}

/// The same before media said its last word.
pub(super) fn early_line(node: u16, record: &Record) -> String {
    let line = Line::of(node, record, false);
    serde_json::to_string(&line).expect("plain figures and texts can always be written")
}

/// What no other record of any node is called, whatever was restarted: the time of the INVITE, the
/// node, and its count of calls. Cut into groups too short to look like a telephone number.
pub fn key(node: u16, id: CallId, started: SystemTime) -> String {
    let time = format!("{:012x}", since_1970(started));
    let (a, rest) = time.split_at(4);
    let (b, c) = rest.split_at(4);
    format!("{a}-{b}-{c}.{node}.{}", id.0)
}

/// Field order is the order in the line. Times are milliseconds since 1970.
#[derive(Serialize)]
struct Line<'a> {
    key: String,
    id: u64,
    /// Whether what media measured is in it: not if the program was killed before.
    complete: bool,
    direction: &'a str,
    reference: Option<&'a str>,
    carrier_call_id: Option<&'a str>,
    pbx_call_id: Option<&'a str>,
    number: String,
    number_id: Option<String>,
    user: &'a str,
    user_id: Option<String>,
    trunk: &'a str,
    far_leg: &'static str,
    started_ms: u64,
    ringing_ms: Option<u64>,
    answered_ms: Option<u64>,
    ended_ms: u64,
    duration_ms: u64,
    carrier_duration_s: Option<u64>,
    pulses: Option<u64>,
    answer_to_first_audio_ms: FirstAudio,
    released_by: &'a str,
    cause: &'a str,
    text: String,
    hint: &'static str,
    sip: u16,
    q850: u8,
    peer_status: Option<u16>,
    peer_text: Option<&'a str>,
    cta_payload: Option<String>,
    deeplink_payload: Option<String>,
    carrier: Leg<'a>,
    pbx: Leg<'a>,
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Leg<'a> {
    codec: Option<&'a str>,
    keying: Option<&'a str>,
    suite: Option<&'a str>,
    packets_received: u64,
    packets_sent: u64,
    octets_received: u64,
    octets_sent: u64,
    lost: u64,
    loss: f64,
    reordered: u64,
    duplicates: u64,
    #[serde(skip_serializing_if = "is_zero")]
    late: u64,
    #[serde(skip_serializing_if = "is_zero")]
    recut: u64,
    jitter_ms: f64,
    concealed_ms: u64,
    remote_loss: Option<f32>,
    remote_lost: Option<u64>,
    remote_jitter_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    first_received_ms: Option<u64>,
    first_sent_ms: Option<u64>,
    first_audio_sent_ms: Option<u64>,
    last_received_ms: Option<u64>,
    last_sent_ms: Option<u64>,
    held_ms: u64,
    clock_drift_ppm: Option<f32>,
    mos_received: Option<f32>,
    mos_sent: Option<f32>,
    digits: u32,
    undecryptable: u64,
    foreign: u64,
    malformed: u64,
    clipped: u64,
    rtcp_received: u64,
    rtcp_sent: u64,
}

/// From the answer to the first packet that carried the other side's audio, by the side it went to.
#[derive(Serialize)]
struct FirstAudio {
    carrier: Option<u64>,
    pbx: Option<u64>,
}

impl<'a> Line<'a> {
    fn of(node: u16, record: &'a Record, complete: bool) -> Self {
        let carrier = record.carrier_side();
        let told = record.metadata.iter();
        let told = CallFacts::of(told.map(|(name, value)| (name.as_str(), value.as_str())));
        let (peer_status, peer_text) = match &record.cause {
            Cause::Refused { status, text, .. } => (Some(*status), Some(text.as_str())),
            _ => (None, None),
        };
        Self {
            key: key(node, record.id, record.started),
            id: record.id.0,
            complete,
            direction: record.direction.label(),
            reference: record.reference.as_deref(),
            carrier_call_id: record.carrier_call_id.as_deref(),
            pbx_call_id: record.pbx_call_id.as_deref(),
            number: record.number.plus(),
            number_id: told.phone_number_id,
            user: &record.user,
            user_id: told.user_id,
            trunk: &record.trunk,
            far_leg: if record.pstn { "pstn" } else { "voip" },
            started_ms: since_1970(record.started),
            ringing_ms: record.ringing.map(since_1970),
            answered_ms: record.answered.map(since_1970),
            ended_ms: since_1970(record.ended),
            duration_ms: millis(record.duration),
            carrier_duration_s: record.carrier_duration,
            pulses: record.pulses,
            answer_to_first_audio_ms: FirstAudio {
                carrier: record.answer_to_first_audio(carrier).map(millis),
                pbx: record.answer_to_first_audio(!carrier).map(millis),
            },
            released_by: record.released_by.label(),
            cause: record.cause.label(),
            text: record.cause.to_string(),
            hint: record.cause.hint(),
            sip: if record.answered.is_some() {
                200
            } else {
                record.cause.sip()
            },
            q850: record.cause.q850(),
            peer_status,
            peer_text,
            cta_payload: told.cta_payload,
            deeplink_payload: told.deeplink_payload,
            carrier: Leg::of(record, carrier),
            pbx: Leg::of(record, !carrier),
            metadata: &record.metadata,
        }
    }
}

impl<'a> Leg<'a> {
    fn of(record: &'a Record, side: Side) -> Self {
        let LegReport {
            packets_received,
            packets_sent,
            octets_received,
            octets_sent,
            lost,
            reordered,
            duplicates,
            late,
            recut,
            jitter,
            concealed,
            undecryptable,
            foreign,
            malformed,
            clipped,
            rtcp_received,
            rtcp_sent,
            remote_loss,
            remote_lost,
            remote_jitter,
            round_trip,
            first_received,
            first_sent,
            first_audio_sent,
            last_received,
            last_sent,
            held,
            clock_drift_ppm,
            mos_received,
            mos_sent,
            digits_received: _,
        } = record.media.legs[side.index()];
        let media: Option<LegMedia> = record.legs[side.index()];
        let suite = media.map(|media| media.suite);
        let expected = packets_received + lost;
        Self {
            codec: media.map(|media| media.codec.name()),
            keying: suite.map(|suite| if suite.is_some() { "sdes" } else { "none" }),
            suite: suite.flatten().map(suite_name),
            packets_received,
            packets_sent,
            octets_received,
            octets_sent,
            lost,
            loss: if expected == 0 {
                0.0
            } else {
                lost as f64 / expected as f64
            },
            reordered,
            duplicates,
            late,
            recut,
            jitter_ms: fine(jitter),
            concealed_ms: millis(concealed),
            remote_loss,
            remote_lost,
            remote_jitter_ms: remote_jitter.map(fine),
            round_trip_ms: round_trip.map(fine),
            first_received_ms: first_received.map(millis),
            first_sent_ms: first_sent.map(millis),
            first_audio_sent_ms: first_audio_sent.map(millis),
            last_received_ms: last_received.map(millis),
            last_sent_ms: last_sent.map(millis),
            held_ms: millis(held),
            clock_drift_ppm,
            mos_received: mos_received.map(hundredths),
            mos_sent: mos_sent.map(hundredths),
            digits: record.digits[side.index()],
            undecryptable,
            foreign,
            malformed,
            clipped,
            rtcp_received,
            rtcp_sent,
        }
    }
}

fn suite_name(suite: Suite) -> &'static str {
    suite.name()
}

/// A figure that is there only where something decided on it.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Milliseconds to two digits: what is shorter is nobody's network.
fn fine(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}

/// A score to two digits.
fn hundredths(score: f32) -> f32 {
    (score * 100.0).round() / 100.0
}

pub(crate) fn since_1970(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use b2bua::E164;
    use b2bua::record::{Direction, ReleasedBy};
    use sdp::Codec;
    use sdp::report::MediaReport;

    use super::*;

    /// A record of a call that was answered.
    pub(crate) fn record(id: u64) -> Record {
        let at = |millis: u64| UNIX_EPOCH + Duration::from_millis(1_795_462_591_000 + millis);
        let leg = LegReport {
            packets_received: 99,
            lost: 1,
            jitter: Duration::from_micros(1_500),
            first_audio_sent: Some(Duration::from_millis(17)),
            last_sent: Some(Duration::from_millis(5_990)),
            held: Duration::from_millis(140),
            clock_drift_ppm: Some(-12.5),
            mos_received: Some(4.321),
            ..LegReport::default()
        };
        Record {
            id: CallId(id),
            direction: Direction::UserInitiated,
            reference: Some("call-reference=".into()),
            carrier_call_id: Some("outgoing:\"1\"".into()),
            pbx_call_id: None,
            number: E164::parse("+17125550259").expect("a number"),
            user: "+12195550714".into(),
            trunk: "office".into(),
            pstn: false,
            started: at(0),
            ringing: None,
            answered: Some(at(1_000)),
            ended: at(7_006),
            duration: Duration::from_millis(6_006),
            carrier_duration: Some(6),
            pulses: None,
            released_by: ReleasedBy::Carrier,
            cause: Cause::Normal,
            legs: [
                Some(LegMedia {
                    codec: Codec::Opus,
                    suite: Some(Suite::AesCm128HmacSha1_80),
                }),
                Some(LegMedia {
                    codec: Codec::Pcma,
                    suite: None,
                }),
            ],
            metadata: [("x-wa-meta-cta-payload".to_owned(), "order=7".to_owned())].into(),
            media: MediaReport {
                legs: [leg, LegReport::default()],
            },
            digits: [3, 0],
        }
    }

    #[test]
    fn a_record_is_one_line_with_the_carriers_leg_before_the_pbxs() {
        let line = line(3, &record(7));
        let head = r#"{"key":"01a2-09e8-f218.3.7","id":7,"complete":true,"direction":"user_initiated","reference":"call-reference=","carrier_call_id":"outgoing:\"1\"","pbx_call_id":null,"number":"+17125550259","number_id":null,"user":"+12195550714","user_id":null,"trunk":"office","far_leg":"voip","started_ms":1795462591000,"ringing_ms":null,"answered_ms":1795462592000,"ended_ms":1795462598006,"duration_ms":6006,"carrier_duration_s":6,"pulses":null,"answer_to_first_audio_ms":{"carrier":17,"pbx":null},"released_by":"carrier","cause":"normal","text":"normal","hint":"","sip":200,"q850":16,"peer_status":null,"peer_text":null,"cta_payload":"order=7","deeplink_payload":null,"carrier":{"codec":"opus","keying":"sdes","suite":"AES_CM_128_HMAC_SHA1_80","packets_received":99,"#;
        assert!(line.starts_with(head), "{line}");
        for part in [
            r#""lost":1,"loss":0.01,"#,
            r#""jitter_ms":1.5,"#,
            r#""first_audio_sent_ms":17,"last_received_ms":null,"last_sent_ms":5990,"held_ms":140,"clock_drift_ppm":-12.5,"mos_received":4.32,"mos_sent":null,"digits":3,"#,
            r#""pbx":{"codec":"PCMA","keying":"none","suite":null,"#,
            r#""metadata":{"x-wa-meta-cta-payload":"order=7"}}"#,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains('\n'));
    }
}
