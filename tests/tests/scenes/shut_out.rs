//! Strangers who go on: floods, scanners, guessers of passwords; and who is never shut out.

use std::net::SocketAddr;

use b2bua::Level;
use b2bua::settings::{Rate, Unknown};
use b2bua::{Input, Load};
use sdp::Codec;
use sim::World;
use sim::scene::*;
use sim::world::Beginning;
use sim::world::Party::{Meta, Pbx, Sbc};
use sip::Transport;

/// Where the simulated Meta calls from.
fn networks_of_meta<N: std::str::FromStr>() -> Vec<N> {
    "69.171.224.0/19".parse().into_iter().collect()
}

/// The world of a configuration that knows where Meta is.
fn guarded(change: impl FnOnce(&mut Beginning)) -> World {
    silent_world_with(|b| {
        b.settings.carrier.networks = networks_of_meta();
        change(b);
    })
}

fn stranger(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 5062))
}

/// A request as scanners send it; `n` makes it another one.
fn request(method: &str, uri: &str, n: u32, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.66:5062;branch=z9hG4bK-{method}-{n};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@198.51.100.66>;tag=scan{n}\r\nTo: <{uri}>\r\nCall-ID: scan-{n}\r\n\
         CSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// The first lines of what strangers were told, without provisional answers.
fn told(world: &World) -> Vec<String> {
    let lines = world
        .told_strangers
        .iter()
        .filter_map(|text| text.lines().next());
    lines
        .filter(|line| !line.starts_with("SIP/2.0 1"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_stranger_who_keeps_asking_is_heard_no_more_and_a_neighbour_is() {
    let mut world = guarded(|_| {});
    for n in 0..100 {
        let invite = request("INVITE", "sip:100@10.0.0.5", n, "");
        world.stranger_says(Transport::Udp, stranger(66), &invite);
        world.pass(ms(500));
    }
    let refused = told(&world);
    assert!(refused.iter().all(|line| line.starts_with("SIP/2.0 403")));
    let distinct = world.core.counters().refused["forbidden"];
    assert_eq!(distinct, 20, "the twentieth was one too many");
    assert_eq!(world.barred.len(), 1);
    assert_eq!(world.core.counters().banned, 1);
    let warned = world
        .log
        .iter()
        .filter(|line| line.text.contains("banned for 600 s"));
    assert_eq!(warned.count(), 1);

    world.told_strangers.clear();
    world.stranger_says(
        Transport::Udp,
        stranger(67),
        &request("OPTIONS", "sip:10.0.0.5", 1, ""),
    );
    assert_eq!(told(&world), ["SIP/2.0 200 OK"]);
    // Ten minutes later it may ask again.
    world.pass(secs(600));
    world.told_strangers.clear();
    world.stranger_says(
        Transport::Udp,
        stranger(66),
        &request("INVITE", "sip:100@10.0.0.5", 900, ""),
    );
    assert_eq!(told(&world).len(), 1);
    world.story(secs(200)).is_clean();
    assert_eq!(world.core.counters().banned, 0);
}

#[test]
fn a_scanner_that_names_itself_gets_no_answer_at_all() {
    for agent in ["friendly-scanner", "SIPVicious 0.3", "sipcli/v1.8"] {
        let mut world = guarded(|_| {});
        let named = format!("User-Agent: {agent}\r\n");
        world.stranger_says(
            Transport::Udp,
            stranger(1),
            &request("OPTIONS", "sip:100@10.0.0.5", 1, &named),
        );
        // Shut out, whatever it calls itself afterwards.
        world.stranger_says(
            Transport::Udp,
            stranger(1),
            &request("OPTIONS", "sip:100@10.0.0.5", 2, ""),
        );
        assert!(
            world.told_strangers.is_empty(),
            "{agent}: {:?}",
            world.told_strangers
        );
        assert_eq!(world.core.counters().dropped, 2);
        assert!(world.core.is_idle());
    }
}

#[test]
fn a_flood_from_one_place_leaves_a_call_and_the_memory_alone() {
    let mut world = guarded(|_| {});
    world.user_calls(user().hanging_up_after(secs(10)));
    world.pass(secs(3));
    for n in 0..10_000 {
        world.stranger_says(
            Transport::Udp,
            stranger(9),
            &request("INVITE", "sip:100@10.0.0.5", n, ""),
        );
    }
    let answered = told(&world).len();
    assert!(
        answered <= 25,
        "{answered} answers, most of them once more because no ACK came"
    );
    world.story(secs(120)).is_clean();
    assert_eq!(world.records[0].cause.label(), "normal");
    assert_eq!(world.records[0].carrier_duration, Some(10));
}

#[test]
fn where_strangers_are_dropped_nobody_seems_to_listen() {
    let mut world = guarded(|b| b.settings.admission.unknown = Unknown::Drop);
    for (n, method) in [
        "INVITE",
        "OPTIONS",
        "REGISTER",
        "BYE",
        "CANCEL",
        "SUBSCRIBE",
        "PING",
    ]
    .iter()
    .enumerate()
    {
        for transport in [Transport::Udp, Transport::Tcp] {
            let request = request(method, "sip:100@10.0.0.5", n as u32, "");
            world.stranger_says(transport, stranger(66), &request);
        }
    }
    world.stranger_says(
        Transport::Tls,
        stranger(66),
        &request("OPTIONS", &format!("sip:{HOST}"), 77, ""),
    );
    assert!(
        world.told_strangers.is_empty(),
        "{:?}",
        world.told_strangers
    );
    assert!(world.core.is_idle());
    // Calls go on as ever, both ways.
    world.user_calls(user().hanging_up_after(secs(2)));
    world.pass(secs(30));
    world.agent_calls(agent().hanging_up_after(secs(2)));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 2);
}

/// An INVITE over TLS with an answer to `challenge`, or without one.
fn guess(user: &str, n: u32, challenge: Option<&str>) -> String {
    let uri = format!("sip:{user}@{HOST};transport=tls");
    let credentials = challenge.map_or(String::new(), |challenge| {
        let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
        format!(
            "Proxy-Authorization: Digest username=\"{}\", realm=\"{HOST}\", nonce=\"{}\", uri=\"{uri}\", \
             response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, cnonce=\"x\", qop=auth, nc=00000001\r\n",
            user.trim_start_matches('+'),
            nonce.unwrap_or_default(),
        )
    });
    request("INVITE", &uri, n, &credentials)
        .replace("SIP/2.0/UDP", "SIP/2.0/TLS")
        .replace(
            "CSeq: 1",
            &format!("CSeq: {}", 1 + u32::from(challenge.is_some())),
        )
        .replace(
            ";branch=z9hG4bK",
            &format!(";branch=z9hG4bK{}", u32::from(challenge.is_some())),
        )
}

/// What a stranger over TLS hears who calls `user`, challenged and after a wrong answer, with
/// everything taken out that is different each time.
fn conversation(world: &mut World, source: SocketAddr, user: &str, n: u32) -> Vec<String> {
    world.told_strangers.clear();
    world.stranger_says(Transport::Tls, source, &guess(user, n, None));
    let challenge = world
        .told_strangers
        .iter()
        .flat_map(|text| text.lines())
        .find(|line| line.starts_with("Proxy-Authenticate"))
        .map(str::to_owned);
    world.stranger_says(
        Transport::Tls,
        source,
        &guess(user, n, challenge.as_deref()),
    );
    let plain = |line: &str| {
        let line = line.split(";tag=").next().unwrap_or_default();
        let line = line.split("nonce=\"").next().unwrap_or_default();
        line.replace(user, "USER")
            .replace(user.trim_start_matches('+'), "USER")
    };
    let texts = world.told_strangers.iter();
    texts
        .flat_map(|text| text.lines().map(plain))
        .filter(|line| !line.starts_with("Via") && !line.starts_with("Call-ID"))
        .collect()
}

#[test]
fn a_guesser_cannot_tell_a_number_from_no_number() {
    for unknown in [Unknown::Refuse, Unknown::Drop] {
        for challenge in [true, false] {
            let mut world = guarded(|b| {
                b.settings.admission.unknown = unknown;
                with_number(&mut b.settings, |n| n.challenge = challenge);
            });
            let right = conversation(&mut world, stranger(1), NUMBER, 1);
            let wrong = conversation(&mut world, stranger(2), "+17125550260", 2);
            let nobody = conversation(&mut world, stranger(3), "reception", 3);
            assert!(
                right.iter().any(|line| line.starts_with("SIP/2.0 407")),
                "{right:?}"
            );
            assert!(
                right.iter().any(|line| line.starts_with("SIP/2.0 403")),
                "{right:?}"
            );
            assert_eq!(right, wrong);
            assert_eq!(right, nobody);
            assert_eq!(world.core.counters().wrong_digests, 3);
            world.story(secs(200)).is_clean();
            assert!(world.records.is_empty());
        }
    }
}

#[test]
fn a_thousand_guesses_of_a_password_end_after_ten() {
    let mut world = guarded(|_| {});
    for n in 0..500 {
        conversation(&mut world, stranger(1), NUMBER, n);
        world.pass(ms(200));
    }
    assert!(
        world.core.counters().wrong_digests <= 10,
        "{:?}",
        world.core.counters()
    );
    let warned = world
        .log
        .iter()
        .find(|line| line.text.contains("is banned"));
    assert!(
        warned.is_some_and(|line| line.text.contains("10 of them wrong digests")),
        "{warned:?}"
    );
    world.story(secs(200)).is_clean();
}

#[test]
fn meta_at_an_address_nobody_listed_is_never_shut_out() {
    // Its list is out of date: every call is challenged, and every answer is right.
    let mut world = silent_world_with(|b| {
        b.settings.carrier.networks = "192.0.2.0/24".parse().into_iter().collect();
    });
    for i in 0..60_u32 {
        let mut call = user().hanging_up_after(secs(1));
        call.caller = format!("+1219555{i:04}");
        world.user_calls(call);
        world.pass(ms(200));
    }
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 60);
    assert!(world.barred.is_empty());
}

#[test]
fn a_forged_flood_in_the_name_of_a_trunk_or_of_meta_shuts_nobody_out() {
    // With the list of networks switched off as well: the published ones are spared all the same.
    for networks in [networks_of_meta(), Vec::new()] {
        let mut world = silent_world_with(|b| {
            b.settings.carrier.networks = networks;
            b.settings.admission.spared = networks_of_meta();
        });
        let pbx = SocketAddr::from(([10, 0, 0, 20], 5099));
        let meta = SocketAddr::from(([69, 171, 251, 115], 5062));
        for n in 0..200 {
            for source in [pbx, meta] {
                world.stranger_says(
                    Transport::Udp,
                    source,
                    &request("BYE", "sip:100@10.0.0.5", n, ""),
                );
                world.tell_core(Input::Malformed(source.ip()));
            }
        }
        assert!(world.barred.is_empty());
        world.user_calls(user().hanging_up_after(secs(2)));
        world.story(secs(120)).is_clean();
        assert_eq!(world.records.len(), 1);
    }
}

#[test]
fn a_flood_from_everywhere_is_counted_whole_and_does_not_fill_the_log() {
    let mut world = guarded(|_| {});
    for n in 0..3_000_u32 {
        let [.., high, low] = n.to_be_bytes();
        let source = SocketAddr::from(([198, 18, high, low], 5060));
        let invite = request("INVITE", "sip:100@10.0.0.5", n, "");
        world.stranger_says(Transport::Udp, source, &invite);
    }
    let refused: u64 = world.core.counters().refused.values().sum();
    assert_eq!(refused, 3_000);
    let told = |level| {
        let of = |line: &&b2bua::LogLine| line.text.starts_with("INVITE refused");
        let lines = world.log.iter().filter(of);
        lines.filter(|line| line.level == level).count()
    };
    let (loud, quiet) = (told(Level::Warn), told(Level::Debug));
    // A hundred at once, and ten in each second it took.
    let most = 110 + 10 * world.at().as_secs() as usize;
    assert!(
        loud >= 100 && loud <= most && loud + quiet == 3_000,
        "{loud} {quiet}"
    );
}

#[test]
fn no_sip_at_all_is_an_offence_too() {
    let mut world = guarded(|_| {});
    for _ in 0..20 {
        world.tell_core(Input::Malformed(stranger(5).ip()));
    }
    assert_eq!(world.barred.len(), 1);
}

#[test]
fn a_source_that_calls_too_fast_hears_503_until_its_bucket_fills_again() {
    let mut world = guarded(|b| {
        b.settings.admission.calls = Some(Rate {
            per_second: 2,
            burst: 4,
        });
    });
    for i in 0..6_u32 {
        let mut call = user().hanging_up_after(secs(2));
        call.caller = format!("+1219555{i:04}");
        world.user_calls(call);
    }
    world.pass(secs(10));
    let told = world.messages(Sbc, Meta, "SIP/2.0 503");
    assert_eq!(told.len(), 2, "{}", world.ladder());
    assert!(told[0].header("Retry-After").is_some());
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(120)).is_clean();
    assert_eq!(world.records.len(), 5);
}

#[test]
fn a_machine_held_for_a_moment_refuses_nobody() {
    let mut world = guarded(|_| {});
    world.pass(secs(1));
    world.tell_core(Input::Load(Load {
        lag: secs(2),
        media: 100,
        ..Load::default()
    }));
    world.user_calls(user().hanging_up_after(secs(2)));
    world.story(secs(60)).is_clean();
    assert_eq!(world.records.len(), 1);
    assert_eq!(world.records[0].cause.label(), "normal");
}

#[test]
fn under_load_new_callers_hear_503_and_those_on_the_line_never_notice() {
    let mut world = guarded(|_| {});
    world.user_calls(user().hanging_up_after(secs(30)));
    world.pass(secs(3));
    let overloaded = Load {
        media: 97,
        ..Load::default()
    };
    for _ in 0..10 {
        world.tell_core(Input::Load(overloaded));
    }
    let mut other = user();
    other.caller = "+12195550001".into();
    world.user_calls(other);
    world.agent_calls({
        let mut call = agent();
        call.to = "+12195550002".into();
        call
    });
    world.pass(secs(3));
    for (peer, name) in [(Meta, "Meta"), (Pbx, "the PBX")] {
        let told = world.messages(Sbc, peer, "SIP/2.0 503");
        assert_eq!(told.len(), 1, "{name}: {}", world.ladder());
        assert!(told[0].header("Retry-After").is_some(), "{}", told[0].text);
    }
    assert_eq!(world.core.counters().refused.get("overload"), Some(&2));
    // The load goes, and calls come back.
    for _ in 0..16 {
        world.tell_core(Input::Load(Load::default()));
    }
    let mut late = user().hanging_up_after(secs(2));
    late.caller = "+12195550003".into();
    world.user_calls(late);
    world.story(secs(120)).is_clean();
    let ends: Vec<_> = world
        .records
        .iter()
        .map(|record| record.cause.label())
        .collect();
    assert_eq!(ends, ["normal", "normal"]);
    assert!(
        world
            .records
            .iter()
            .any(|record| record.carrier_duration == Some(30))
    );
}

#[test]
fn where_only_a_call_that_passes_finds_room_one_that_would_be_decoded_hears_503() {
    // A PBX of PCMA: a user who has it too is passed on, an agent reaches a user with Opus.
    let mut world = guarded(|b| {
        b.meta.numbers[0].g711 = true;
        let (opus, pcma, keys) = (Codec::Opus, Codec::Pcma, Codec::TelephoneEvent);
        with_number(&mut b.settings, |n| n.codecs = vec![opus, pcma, keys]);
        with_trunk(&mut b.settings, |t| t.codecs = vec![pcma, keys]);
    });
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(user().hanging_up_after(secs(20)));
    world.pass(secs(3));
    // The call takes a quarter of what a thread may be asked for: there is room for three more like it.
    let load = Load {
        media: 24,
        media_ran: 24,
        ..Load::default()
    };
    for _ in 0..3 {
        world.tell_core(Input::Load(load));
    }
    world.agent_calls({
        let mut call = agent();
        call.to = "+12195550002".into();
        call
    });
    let mut other = user().hanging_up_after(secs(5));
    other.caller = "+12195550001".into();
    world.pbx.script(agent_answers(secs(1)));
    world.user_calls(other);
    let story = world.story(secs(120));
    assert_eq!(story.refused(Pbx).0, 503);
    assert!(story.messages(Sbc, Meta, "SIP/2.0 503").is_empty());
    assert_eq!(world.core.counters().refused.get("overload"), Some(&1));
    let codecs = world.records.iter().filter_map(|record| {
        let [a, b] = &record.legs;
        Some([a.as_ref()?.codec, b.as_ref()?.codec])
    });
    assert_eq!(codecs.collect::<Vec<_>>(), [[Codec::Pcma; 2]; 2]);
}
