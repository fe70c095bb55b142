//! What a record says: every field there is, in the line and in the columns of both databases. Who adds a field, adds
//! it here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use b2bua::record::{Direction, LegMedia, ReleasedBy};
use b2bua::{CallId, Cause, E164, Record, cause::Refusal};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use sdp::report::{LegReport, MediaReport};
use sdp::{Codec, Side, Suite};
use serde_json::{Value, json};

use super::entry::Entry;
use super::postgres::column;
use super::sink::Sink;
use super::sqlite::Database;
use super::tests::Scratch;
use super::views::{Kind, VIEWS};
use super::{key, line};

const INVITED: u64 = 1_795_462_591_000;

/// A call of the business that says something in every field.
fn full() -> Record {
    let at = |millis: u64| UNIX_EPOCH + Duration::from_millis(INVITED + millis);
    let ms = Duration::from_millis;
    let leg = |of: u64| LegReport {
        packets_received: 90 + of,
        packets_sent: 80 + of,
        octets_received: 9_000 + of,
        octets_sent: 8_000 + of,
        // Half of them, which every float can say.
        lost: 90 + of,
        reordered: 2,
        duplicates: 3,
        jitter: Duration::from_micros(1_500),
        concealed: ms(40),
        digits_received: 9,
        undecryptable: 4,
        foreign: 5,
        malformed: 6,
        clipped: 7,
        late: 8,
        recut: 14,
        rtcp_received: 11,
        rtcp_sent: 12,
        remote_loss: Some(0.25),
        remote_lost: Some(13),
        remote_jitter: Some(Duration::from_nanos(2_345_678)),
        round_trip: Some(Duration::from_micros(30_500)),
        first_received: Some(ms(21)),
        first_sent: Some(ms(22)),
        first_audio_sent: Some(ms(300 + of)),
        last_received: Some(ms(5_990)),
        last_sent: Some(ms(5_991)),
        held: ms(140),
        clock_drift_ppm: Some(-12.5),
        mos_received: Some(4.321),
        mos_sent: Some(4.1),
    };
    let media = |codec, suite| Some(LegMedia { codec, suite });
    Record {
        id: CallId(7),
        direction: Direction::BusinessInitiated,
        reference: Some("wacid.HBgL==".into()),
        carrier_call_id: Some("a1@sbc".into()),
        pbx_call_id: Some("b1@pbx".into()),
        number: E164::parse("+17125550259").expect("a number"),
        user: "+12195550714".into(),
        trunk: "office".into(),
        pstn: false,
        started: at(0),
        ringing: Some(at(400)),
        answered: Some(at(1_000)),
        ended: at(57_500),
        duration: ms(56_500),
        carrier_duration: Some(56),
        pulses: Some(10),
        released_by: ReleasedBy::Carrier,
        cause: Cause::Refused {
            by: Side::B,
            status: 403,
            text: "No approved call permission from user".into(),
            meaning: Refusal {
                label: "no_permission",
                sip: 403,
                q850: 21,
                hint: "ask first",
                alarm: false,
                again: None,
            },
        },
        legs: [
            media(Codec::Pcma, None),
            media(Codec::Opus, Some(Suite::AesCm128HmacSha1_80)),
        ],
        metadata: BTreeMap::from(
            [
                ("x-wa-meta-cta-payload", "order=7"),
                ("x-wa-meta-deeplink-payload", "summer"),
                ("x-wa-meta-phone-number-id", "106540352242922"),
                ("x-wa-meta-user-id", "US.13491208655302741918"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        media: MediaReport {
            legs: [leg(1), leg(2)],
        },
        digits: [3, 4],
    }
}

/// Every field of the line, by path, with what the call above has in it.
fn fields() -> Vec<(String, Value)> {
    let of_call = [
        // What names it.
        ("key", json!("01a2-09e8-f218.3.7")),
        ("id", json!(7)),
        ("complete", json!(true)),
        ("direction", json!("business_initiated")),
        ("reference", json!("wacid.HBgL==")),
        ("carrier_call_id", json!("a1@sbc")),
        ("pbx_call_id", json!("b1@pbx")),
        // Who spoke with whom, and by which way.
        ("number", json!("+17125550259")),
        ("number_id", json!("106540352242922")),
        ("user", json!("+12195550714")),
        ("user_id", json!("US.13491208655302741918")),
        ("trunk", json!("office")),
        ("far_leg", json!("voip")),
        // When, how long by either clock, and what it costs.
        ("started_ms", json!(INVITED)),
        ("ringing_ms", json!(INVITED + 400)),
        ("answered_ms", json!(INVITED + 1_000)),
        ("ended_ms", json!(INVITED + 57_500)),
        ("duration_ms", json!(56_500)),
        ("carrier_duration_s", json!(56)),
        ("pulses", json!(10)),
        ("answer_to_first_audio_ms/carrier", json!(302)),
        ("answer_to_first_audio_ms/pbx", json!(301)),
        // Why it ended: one cause and its views, and the peer's own words.
        ("released_by", json!("carrier")),
        ("cause", json!("no_permission")),
        (
            "text",
            json!("no_permission (leg B: 403 No approved call permission from user)"),
        ),
        ("hint", json!("ask first")),
        ("sip", json!(200)),
        ("q850", json!(21)),
        ("peer_status", json!(403)),
        ("peer_text", json!("No approved call permission from user")),
        // What the user came from, and everything else Meta told.
        ("cta_payload", json!("order=7")),
        ("deeplink_payload", json!("summer")),
        ("metadata/x-wa-meta-cta-payload", json!("order=7")),
        ("metadata/x-wa-meta-deeplink-payload", json!("summer")),
        (
            "metadata/x-wa-meta-phone-number-id",
            json!("106540352242922"),
        ),
        (
            "metadata/x-wa-meta-user-id",
            json!("US.13491208655302741918"),
        ),
    ];
    let leg = |of: u64, digits: u64| {
        [
            ("packets_received", json!(90 + of)),
            ("packets_sent", json!(80 + of)),
            ("octets_received", json!(9_000 + of)),
            ("octets_sent", json!(8_000 + of)),
            ("lost", json!(90 + of)),
            ("loss", json!(0.5)),
            ("reordered", json!(2)),
            ("duplicates", json!(3)),
            ("late", json!(8)),
            ("recut", json!(14)),
            ("jitter_ms", json!(1.5)),
            ("concealed_ms", json!(40)),
            ("remote_loss", json!(0.25)),
            ("remote_lost", json!(13)),
            ("remote_jitter_ms", json!(2.35)),
            ("round_trip_ms", json!(30.5)),
            ("first_received_ms", json!(21)),
            ("first_sent_ms", json!(22)),
            ("first_audio_sent_ms", json!(300 + of)),
            ("last_received_ms", json!(5_990)),
            ("last_sent_ms", json!(5_991)),
            ("held_ms", json!(140)),
            ("clock_drift_ppm", json!(-12.5)),
            ("mos_received", json!(4.32)),
            ("mos_sent", json!(4.1)),
            ("digits", json!(digits)),
            ("undecryptable", json!(4)),
            ("foreign", json!(5)),
            ("malformed", json!(6)),
            ("clipped", json!(7)),
            ("rtcp_received", json!(11)),
            ("rtcp_sent", json!(12)),
        ]
    };
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let carrier = [
        ("codec", json!("opus")),
        ("keying", json!("sdes")),
        ("suite", json!(suite)),
    ];
    let pbx = [
        ("codec", json!("PCMA")),
        ("keying", json!("none")),
        ("suite", json!(null)),
    ];
    let of = |side: &str, fields: Vec<(&str, Value)>| {
        let path = |(name, value)| (format!("{side}/{name}"), value);
        fields.into_iter().map(path).collect::<Vec<_>>()
    };
    let mut all: Vec<(String, Value)> =
        of_call.map(|(name, value)| (name.to_owned(), value)).into();
    all.extend(of(
        "carrier",
        carrier.into_iter().chain(leg(2, 4)).collect(),
    ));
    all.extend(of("pbx", pbx.into_iter().chain(leg(1, 3)).collect()));
    all
}

/// The paths of all values that are no objects.
fn paths(value: &Value, before: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if before.is_empty() {
                    name.clone()
                } else {
                    format!("{before}/{name}")
                };
                paths(value, &path, found);
            }
        }
        _ => drop(found.insert(before.to_owned())),
    }
}

#[test]
fn every_field_of_a_record_is_in_the_line_and_those_one_asks_for_are_columns_in_both_databases() {
    let line = line(3, &full());
    let record: Value = serde_json::from_str(&line).expect("JSON");
    let fields = fields();
    for (path, expected) in &fields {
        assert_eq!(
            record.pointer(&format!("/{path}")),
            Some(expected),
            "{path} in {line}"
        );
    }
    let listed: BTreeSet<String> = fields.iter().map(|(path, _)| path.clone()).collect();
    let mut there = BTreeSet::new();
    paths(&record, "", &mut there);
    assert_eq!(there, listed, "every field is listed here");

    let wanted = [
        "started_ms",
        "ringing_ms",
        "answered_ms",
        "ended_ms",
        "duration_ms",
        "carrier_duration_s",
        "pulses",
        "direction",
        "number",
        "number_id",
        "user",
        "user_id",
        "trunk",
        "far_leg",
        "reference",
        "carrier_call_id",
        "pbx_call_id",
        "released_by",
        "cause",
        "sip",
        "q850",
    ];
    let views: Vec<&str> = VIEWS.iter().map(|(field, _)| *field).collect();
    assert_eq!(views, wanted);

    let scratch = Scratch::new();
    let path = scratch.path("calls.db");
    let mut database = Database::start(&path, None).expect("a database");
    let entry = Entry {
        key: key(3, CallId(7), full().started),
        line: line.clone(),
        complete: true,
    };
    database.write(&[entry]).expect("written");
    let reader = Connection::open(&path).expect("a database");
    for field in wanted {
        let cell: Cell = reader
            .query_row(&format!("SELECT {field} FROM calls"), [], |row| row.get(0))
            .expect(field);
        let shown = match cell {
            Cell::Text(text) => json!(text),
            Cell::Integer(number) => json!(number),
            other => panic!("{field}: {other:?}"),
        };
        assert_eq!(shown, record[field], "{field}");
    }
    let columns: Vec<(&str, &str, String)> = VIEWS
        .iter()
        .map(|(field, kind)| column(field, *kind))
        .collect();
    let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        names,
        [
            "started",
            "ringing",
            "answered",
            "ended",
            "duration_ms",
            "carrier_duration_s",
            "pulses",
            "direction",
            "number",
            "number_id",
            "wa_user",
            "user_id",
            "trunk",
            "far_leg",
            "reference",
            "carrier_call_id",
            "pbx_call_id",
            "released_by",
            "cause",
            "sip",
            "q850",
        ]
    );
    for ((field, kind), (_, sql, of)) in VIEWS.iter().zip(&columns) {
        assert!(of.contains(&format!("record->>'{field}'")), "{of}");
        let is_text = record[*field].is_string();
        assert_eq!(is_text, *sql == "text", "{field} is {sql}");
        assert_eq!(
            *kind == Kind::Time,
            *sql == "timestamptz",
            "{field} is {sql}"
        );
    }
}

#[test]
fn a_database_of_an_earlier_version_gets_the_columns_it_lacks_and_keeps_its_records() {
    let scratch = Scratch::new();
    let path = scratch.path("calls.db");
    let old = Connection::open(&path).expect("a database");
    old.execute_batch(
        "CREATE TABLE calls (
            key TEXT PRIMARY KEY,
            line TEXT NOT NULL,
            started_ms INTEGER AS (json_extract(line, '$.started_ms')),
            number TEXT AS (json_extract(line, '$.number')),
            user TEXT AS (json_extract(line, '$.user')),
            reference TEXT AS (json_extract(line, '$.reference')),
            cause TEXT AS (json_extract(line, '$.cause'))
        );
        CREATE INDEX calls_started ON calls (started_ms);
        PRAGMA user_version = 1;",
    )
    .expect("as it was");
    let before = line(3, &full());
    old.execute(
        "INSERT INTO calls (key, line) VALUES ('old', ?1)",
        [&before],
    )
    .expect("written");
    drop(old);
    for _ in 0..2 {
        drop(Database::start(&path, None).expect("it opens, and again"));
    }
    let reader = Connection::open(&path).expect("a database");
    let row: (String, String, i64) = reader
        .query_row("SELECT line, pbx_call_id, q850 FROM calls", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("a record");
    assert_eq!(row, (before, "b1@pbx".to_owned(), 21));
}
