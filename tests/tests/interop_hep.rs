//! HEP3 before Kamailio, which takes it apart with code of its own: one call each way, both legs of each under one id, RTCP
//! reports, nothing secret.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tests::certificates::Authority;
use tests::http::Client;
use tests::kamailio::{Collected, Collector};
use tests::place::{Place, wait_until};
use tests::sbc::{Sbc, Setup};
use tests::simulated::{Simulated, agent_speaks, meta_address, pbx_address, user_speaks};
use tests::tools::{library_directory, present, skip};

const LIMIT: Duration = Duration::from_secs(30);

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let lines = message.lines().take_while(|line| !line.is_empty());
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.next().unwrap_or_default().trim()
}

/// `INVITE`, `200 INVITE`, …
fn word(message: &str) -> String {
    let mut words = message.split(' ');
    match (words.next(), words.next()) {
        (Some("SIP/2.0"), Some(status)) => {
            let method = header(message, "CSeq").split(' ').next_back();
            format!("{status} {}", method.unwrap_or_default())
        }
        (Some(method), _) => method.to_owned(),
        _ => String::new(),
    }
}

#[test]
fn a_collector_sees_both_legs_of_a_call_as_one_and_no_secret() {
    collected_over("udp", &[desk_calls, user_calls]);
}

#[test]
fn over_tcp_a_collector_sees_the_same_packet_by_packet() {
    collected_over("tcp", &[user_calls]);
}

fn collected_over(transport: &str, calls: &[fn(&Place, &Authority)]) {
    let story = &format!("hep/kamailio over {transport}");
    if !present(story, &["kamailio"])
        || (library_directory("kamailio/modules/sipcapture.so").is_none()
            && !skip(story, "Kamailio has no module sipcapture"))
    {
        return;
    }
    let place = Place::new(&format!("hep-{transport}"));
    let authority = Authority::new(&place);
    let listen = SocketAddr::new(place.address(51), 9060);
    let http = SocketAddr::new(place.address(1), 9090);
    let collector = Collector::start(&place, transport, listen);
    let password = place.write("hep-password", "collect\n");
    let mut setup = Setup::new(meta_address(&place), pbx_address(&place));
    setup.tables = format!(
        "[hep]\nserver = \"{listen}\"\ntransport = \"{transport}\"\nagent = 4711\npassword = {{ file = \"{}\" }}\n\
         [http]\nlisten = \"{http}\"\n",
        password.display()
    );
    let mut sbc = Sbc::start(&place, &authority, &setup);
    for call in calls {
        call(&place, &authority);
    }
    let records = sbc.wait_for_records(calls.len(), LIMIT);
    let sent = || metric(http, "wa_sbc_hep_sent_total");
    wait_until("the collector has everything", LIMIT, || {
        collector.collected().len() as f64 >= sent()
    });
    let all = collector.collected();
    assert_eq!(all.len() as f64, sent());
    assert_eq!(
        metric(http, "wa_sbc_hep_dropped_total{reason=\"queue_full\"}"),
        0.0
    );
    for packet in &all {
        assert_eq!((packet.agent, packet.password.as_str()), (4711, "collect"));
        assert!(
            packet.at.0 > 1_700_000_000 && packet.at.1 < 1_000_000,
            "{packet:?}"
        );
    }

    let posts = [sbc.tls, sbc.sip, setup.meta, setup.pbx.0];
    let by_call = |packet: &Collected| packet.correlation.clone();
    let ids: BTreeSet<String> = all.iter().map(by_call).collect();
    let mut expected = BTreeSet::new();
    for record in &records {
        let id = |key: &str| record[key].as_str().expect("a Call-ID").to_owned();
        let (carrier, pbx) = (id("carrier_call_id"), id("pbx_call_id"));
        let by_user = record["direction"] == "user_initiated";
        let correlation = if by_user { &carrier } else { &pbx };
        expected.insert(correlation.clone());
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for packet in all
            .iter()
            .filter(|packet| packet.kind == 1 && packet.correlation == *correlation)
        {
            let call_id = header(&packet.payload, "Call-ID").to_owned();
            let tls = call_id == carrier;
            assert_eq!(packet.protocol, if tls { 6 } else { 17 }, "{packet:?}");
            assert!(packet.from.port() > 0 && packet.to.port() > 0, "{packet:?}");
            let ends = [packet.from, packet.to];
            assert!(ends.iter().any(|end| posts.contains(end)), "{packet:?}");
            seen.entry(call_id).or_default().push(word(&packet.payload));
        }
        let legs: BTreeSet<String> = seen.keys().cloned().collect();
        assert_eq!(
            legs,
            [carrier.clone(), pbx.clone()].into(),
            "both legs, and nothing else"
        );
        for (leg, words) in &seen {
            let mut wanted = vec![
                "INVITE",
                "180 INVITE",
                "200 INVITE",
                "ACK",
                "BYE",
                "200 BYE",
            ];
            if *leg == carrier {
                wanted.push("407 INVITE");
            }
            for word in wanted {
                assert!(
                    words.iter().any(|seen| seen == word),
                    "{word} is not among {words:?}"
                );
            }
        }
        reports(&all, correlation, &sbc);
    }
    assert_eq!(ids, expected);
    nothing_secret(&all, calls.len());
}

fn with(words: [String; 4], more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|one| (*one).to_owned());
    words.into_iter().chain(more).collect()
}

fn desk_calls(place: &Place, authority: &Authority) {
    let meta = with(user_speaks(), &["--exit-after", "1", "--at-most", "20"]);
    let pbx = with(
        agent_speaks(),
        &["--calls", "1", "--hang-up-after", "6", "--at-most", "20"],
    );
    let mut user = Simulated::meta(place, authority, "meta-1", &words(&meta));
    let mut desk = Simulated::pbx(place, "pbx-1", &words(&pbx));
    user.wait_for("ended", 1, LIMIT);
    desk.wait_for("ended", 1, LIMIT);
}

fn user_calls(place: &Place, authority: &Authority) {
    let meta = with(
        user_speaks(),
        &["--calls", "1", "--hang-up-after", "6", "--at-most", "20"],
    );
    let pbx = with(agent_speaks(), &["--exit-after", "1", "--at-most", "20"]);
    let mut desk = Simulated::pbx(place, "pbx-2", &words(&pbx));
    let mut user = Simulated::meta(place, authority, "meta-2", &words(&meta));
    user.wait_for("ended", 1, LIMIT);
    desk.wait_for("ended", 1, LIMIT);
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// Of each leg: a sender's report and one with a block about what came from there.
fn reports(all: &[Collected], correlation: &str, sbc: &Sbc) {
    for ours in [sbc.public, sbc.private] {
        let of_leg: Vec<Value> = all
            .iter()
            .filter(|packet| packet.kind == 5 && packet.correlation == correlation)
            .filter(|packet| packet.from.ip() == ours && packet.to.port() > 0)
            .map(|packet| serde_json::from_str(&packet.payload).expect("JSON"))
            .collect();
        assert!(!of_leg.is_empty(), "no report of {ours} in {correlation}");
        let last = of_leg.last().expect("not empty");
        assert_eq!(last["type"], 200, "{last}");
        let packets = last["sender_information"]["packets"].as_u64();
        assert!(packets.is_some_and(|packets| packets > 100), "{last}");
        let block = &last["report_blocks"][0];
        assert!(
            block["source_ssrc"].as_u64().is_some_and(|ssrc| ssrc > 0),
            "{last}"
        );
        assert_eq!(last["report_count"], 1, "{last}");
    }
}

fn nothing_secret(all: &[Collected], calls: usize) {
    let (mut keys, mut answers) = (0, 0);
    for message in all.iter().filter(|packet| packet.kind == 1) {
        for rest in message.payload.split("inline:").skip(1) {
            let key: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric())
                .collect();
            assert!(key.len() >= 40 && key.chars().all(|c| c == 'A'), "{key}");
            keys += 1;
        }
        for rest in message.payload.split("response=\"").skip(1) {
            let answer = rest.split('"').next().unwrap_or_default();
            assert!(
                answer.len() >= 32 && answer.chars().all(|c| c == '0'),
                "{answer}"
            );
            answers += 1;
        }
    }
    assert!(
        keys >= 2 * calls && answers >= calls,
        "{keys} keys, {answers} answers"
    );
}

fn metric(http: SocketAddr, name: &str) -> f64 {
    let token = String::new();
    let client = Client {
        address: http,
        token,
    };
    let text = client.ask("GET", "/metrics", "").body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {name}"))
}
