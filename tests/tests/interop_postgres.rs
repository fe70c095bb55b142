//! Records in a PostgreSQL table, with the real binary and Debian's server: the server stopped under load, the program killed
//! meanwhile, a table of an older version.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tests::certificates::Authority;
use tests::place::{Place, wait_until};
use tests::postgres::{Cluster, PASSWORD, USER, programs};
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, meta_address, pbx_address};
use tests::tools::{present, skip};

const LIMIT: Duration = Duration::from_secs(30);

/// The name the program calls the database by.
const HOST: &str = "db.example.com";

/// A database, and a configuration whose records go there.
struct Lab {
    place: Place,
    authority: Authority,
    cluster: Cluster,
    setup: Setup,
}

/// A database whose certificate has this name. `None`: this machine has no server, and the story is skipped.
fn lab(story: &'static str, certified: &str) -> Option<Lab> {
    if !present(story, &["psql", "setpriv"])
        || (programs().is_none() && !skip(story, "no PostgreSQL server"))
    {
        return None;
    }
    let place = Place::new(story);
    let authority = Authority::new(&place);
    let identity = authority.identity(&place, &[certified]);
    let listen = SocketAddr::new(place.address(61), 5432);
    let cluster = Cluster::start(&place, listen, &identity);
    let password = place.write("postgres-password", format!("{PASSWORD}\n"));
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.log = "info";
    setup.record_lines = format!(
        "[records.postgres]\nurl = \"postgresql://{USER}@{HOST}:{}/postgres?hostaddr={}\"\n\
         password = {{ file = \"{}\" }}\nca = \"{}\"\n",
        listen.port(),
        listen.ip(),
        password.display(),
        authority.certificate.display()
    );
    Some(Lab {
        place,
        authority,
        cluster,
        setup,
    })
}

/// The Call-IDs of the carrier's leg, as often as they stand there.
fn stored(cluster: &Cluster) -> Vec<String> {
    let asked = cluster.ask("SELECT carrier_call_id FROM call_records");
    asked.unwrap_or_default()
}

/// The Call-IDs of calls whose end the far side has seen.
fn seen(meta: &Simulated) -> BTreeSet<String> {
    let started = meta.events("started");
    let call_ids: BTreeMap<u64, &str> = started
        .iter()
        .filter_map(|started| Some((started["call"].as_u64()?, started["call_id"].as_str()?)))
        .collect();
    meta.events("ended")
        .iter()
        .filter(|ended| ended["by"] == "us" && ended["confirmed"] == true)
        .filter_map(|ended| Some((*call_ids.get(&ended["call"].as_u64()?)?).to_owned()))
        .collect()
}

#[test]
fn with_the_database_stopped_and_the_program_killed_every_record_is_there_once() {
    let Some(Lab {
        place,
        authority,
        mut cluster,
        mut setup,
    }) = lab("postgres", HOST)
    else {
        return;
    };
    setup.record_lines += "longest_pause = 1\n";
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let _pbx = Simulated::pbx(
        &place,
        "pbx",
        &["--silent", "--answer-after", "0.1", "--at-most", "40"],
    );
    let calls = [
        "--silent",
        "--calls",
        "600",
        "--rate",
        "40",
        "--hang-up-after",
        "0.3",
        "--at-most",
        "40",
    ];
    let meta = Simulated::meta(&place, &authority, "meta", &calls);
    wait_until("records are in the table", LIMIT, || {
        stored(&cluster).len() >= 20
    });
    cluster.stop();
    let before = seen(&meta).len();
    wait_until("calls end meanwhile", LIMIT, || {
        seen(&meta).len() >= before + 60
    });
    sbc.running.signal("KILL");
    let ended = seen(&meta);
    drop(meta);

    // A table as an older version would have left it.
    cluster.resume(&place);
    let was_there = stored(&cluster).len();
    assert!(was_there < ended.len(), "{was_there} of {}", ended.len());
    cluster
        .ask("ALTER TABLE call_records DROP COLUMN sip, DROP COLUMN trunk")
        .expect("a table");
    let again = Sbc::start(&place, &authority, &setup);
    wait_until("every record is in the table", LIMIT, || {
        stored(&cluster)
            .into_iter()
            .collect::<BTreeSet<_>>()
            .is_superset(&ended)
    });
    let all = stored(&cluster);
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!(all.len(), different.len(), "none stands there twice");

    // The columns are views of the record, those of the older table too.
    let odd = cluster.ask(
        "SELECT key FROM call_records WHERE key <> record->>'key' OR sip IS DISTINCT FROM 200 OR trunk <> 'office' \
         OR direction <> 'user_initiated' OR ended < started OR started < now() - interval '10 minutes'",
    );
    let clean = odd.expect("an answer");
    let cut: Vec<String> = cluster
        .ask("SELECT key FROM call_records WHERE record->>'complete' = 'false'")
        .expect("an answer");
    // What a kill cut off has no figures of media, and nothing else is odd about it.
    assert!(clean.iter().all(|key| cut.contains(key)), "{clean:?}");
    let encrypted = cluster.ask(&format!(
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = '{USER}' AND ssl AND pid <> pg_backend_pid()"
    ));
    assert_eq!(
        encrypted.expect("an answer"),
        ["1"],
        "the program speaks TLS"
    );
    let tables = cluster
        .ask("SELECT count(*) FROM information_schema.tables WHERE table_name = 'call_records'");
    assert_eq!(tables.expect("an answer"), ["1"]);
    let columns = cluster
        .ask("SELECT column_name FROM information_schema.columns WHERE table_name = 'call_records' ORDER BY 1");
    let expected = [
        "answered",
        "carrier_call_id",
        "carrier_duration_s",
        "cause",
        "direction",
        "duration_ms",
        "ended",
        "far_leg",
        "key",
        "number",
        "number_id",
        "pbx_call_id",
        "pulses",
        "q850",
        "record",
        "reference",
        "released_by",
        "ringing",
        "sip",
        "started",
        "trunk",
        "user_id",
        "wa_user",
    ];
    assert_eq!(columns.expect("an answer"), expected);
    drop(again);
}

#[test]
fn a_certificate_of_nobody_we_know_gets_no_record() {
    // Made for another name than the one that is called.
    let Some(Lab {
        place,
        authority,
        cluster,
        setup,
    }) = lab("postgres-tls", "elsewhere.example.com")
    else {
        return;
    };
    let mut sbc = Sbc::start(&place, &authority, &setup);
    let _pbx = Simulated::pbx(
        &place,
        "pbx",
        &["--silent", "--answer-after", "0.1", "--at-most", "20"],
    );
    let calls = [
        "--silent",
        "--calls",
        "1",
        "--hang-up-after",
        "0.3",
        "--at-most",
        "20",
    ];
    let _meta = Simulated::meta(&place, &authority, "meta", &calls);
    sbc.wait_for_records(1, LIMIT);
    sbc.running
        .wait_for("records are not taken; they wait on disk", LIMIT);
    let said = sbc.running.log();
    assert!(said.contains("certificate"), "{said}");
    assert!(!said.contains(PASSWORD));
    let tables = cluster
        .ask("SELECT count(*) FROM information_schema.tables WHERE table_name = 'call_records'");
    assert_eq!(tables.expect("an answer"), ["0"]);
}
