//! Who is told what, and what nobody is told.

use std::time::UNIX_EPOCH;

use super::super::outside::AT_ONCE;
use super::super::samples::{flow, message};
use super::super::store::{Bounds, Trace};
use super::*;

fn seen(news: &[News]) -> Vec<(u64, Option<CallId>, String)> {
    let text = |what: &Told| match what {
        Told::Seen(seen) => match &seen.what {
            What::Message(crossed) => {
                let text = String::from_utf8_lossy(&crossed.bytes);
                format!(
                    "{} {}",
                    text.split(' ').next().unwrap_or_default(),
                    crossed.remote
                )
            }
            What::Fact { text, .. } => text.clone(),
        },
        Told::Leg(side, id) => format!("leg {side:?} {id}"),
        Told::Carrier(side) => format!("carrier {side:?}"),
    };
    let followed = news.iter().filter_map(|news| match news {
        News::Seen(followed) => Some(followed),
        News::Follows { .. } => None,
    });
    followed
        .map(|followed| (followed.by.into(), followed.call, text(&followed.what)))
        .collect()
}

fn say(trace: &mut Trace, start: &str, call_id: &str) {
    let flow = flow(Transport::Udp);
    let bytes = message(start, call_id);
    trace.message(UNIX_EPOCH, true, (flow.id, Some(flow)), None, &bytes);
}

fn everything() -> Follow {
    Follow {
        all: true,
        ..Follow::default()
    }
}

fn of(word: &str) -> Follow {
    Follow {
        word: Some(word.into()),
        ..Follow::default()
    }
}

fn trace() -> Trace {
    Trace::new(Bounds {
        per_call: 100,
        bytes: 1 << 20,
    })
}

#[test]
fn a_number_is_followed_from_its_first_message_through_the_call_it_becomes() {
    let mut trace = trace();
    trace.follow(1, of("+1 219 555 0714"));
    say(&mut trace, "INVITE sip:x SIP/2.0", "one");
    trace.leg(UNIX_EPOCH, CallId(5), Side::A, "one");
    trace.said(UNIX_EPOCH, CallId(5), "a word");
    let news = trace.news();
    let follows = News::Follows {
        by: 1,
        call: CallId(5),
    };
    assert!(news.contains(&follows), "{news:?}");
    let at = "10.0.0.20:5060";
    assert_eq!(
        seen(&news),
        [
            (1, None, format!("INVITE {at}")),
            (1, Some(CallId(5)), "leg A one".into()),
            (1, Some(CallId(5)), "a word".into()),
        ]
    );
    trace.unfollow(1);
    trace.said(UNIX_EPOCH, CallId(5), "another");
    assert!(trace.news().is_empty());
}

#[test]
fn a_call_followed_late_is_told_from_its_beginning() {
    let mut trace = trace();
    say(&mut trace, "INVITE sip:x SIP/2.0", "one");
    trace.leg(UNIX_EPOCH, CallId(5), Side::A, "one");
    trace.follow_call(CallId(5), 2);
    trace.follow_call(CallId(5), 2);
    trace.follow_call(CallId(6), 2);
    say(&mut trace, "BYE sip:x SIP/2.0", "one");
    let told: Vec<String> = seen(&trace.news())
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    assert_eq!(
        told,
        ["INVITE 10.0.0.20:5060", "leg A one", "BYE 10.0.0.20:5060"]
    );
}

#[test]
fn what_is_said_on_a_connection_being_opened_waits_for_its_addresses() {
    let mut trace = trace();
    trace.follow(1, everything());
    let flow = flow(Transport::Tcp);
    let bytes = message("INVITE sip:x SIP/2.0", "one");
    let tcp = Some(Transport::Tcp);
    trace.message(UNIX_EPOCH, false, (flow.id, None), tcp, &bytes);
    assert!(seen(&trace.news()).is_empty());
    trace.opened(flow);
    assert_eq!(seen(&trace.news())[0].2, "INVITE 10.0.0.20:5060");
}

#[test]
fn what_is_said_outside_calls_is_told_and_not_remembered() {
    let mut trace = trace();
    say(&mut trace, "OPTIONS sip:x SIP/2.0", "before");
    trace.follow(1, everything());
    trace.follow(2, of("nobody's number"));
    say(&mut trace, "OPTIONS sip:x SIP/2.0", "asked");
    say(&mut trace, "SIP/2.0 200 OK", "asked");
    say(&mut trace, "BYE sip:x SIP/2.0", "forgotten");
    let news = trace.news();
    let told: Vec<(u64, bool)> = news
        .iter()
        .filter_map(|news| match news {
            News::Seen(seen) if seen.by == 1 => Some((seen.story, seen.outside)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(1, true), (1, true), (2, true)], "{news:?}");
    assert!(trace.is_empty());
    trace.unfollow(3);
    say(&mut trace, "OPTIONS sip:x SIP/2.0", "asked");
    assert!(trace.news().is_empty());
}

#[test]
fn stories_outside_calls_do_not_pile_up() {
    let mut trace = trace();
    trace.follow(1, everything());
    for count in 0..3 * AT_ONCE {
        say(&mut trace, "OPTIONS sip:x SIP/2.0", &format!("{count}"));
    }
    assert_eq!(trace.news().len(), 3 * AT_ONCE);
    assert_eq!(trace.followed(), AT_ONCE);
}

fn of_trunk(name: &str) -> Follow {
    Follow {
        trunk: Reach::of(name, &sim::scene::settings()),
        ..Follow::default()
    }
}

fn starts(trace: &mut Trace) -> Vec<String> {
    let told = seen(&trace.news()).into_iter();
    told.map(|(.., text)| text).collect()
}

#[test]
fn a_trunk_is_followed_where_its_pbx_asks_how_we_are_and_where_its_number_is_refused() {
    let mut trace = trace();
    assert!(Reach::of("hq", &sim::scene::settings()).is_none());
    trace.follow(1, of_trunk("office"));
    say(&mut trace, "OPTIONS sip:us SIP/2.0", "asked");
    assert_eq!(starts(&mut trace), ["OPTIONS 10.0.0.20:5060"]);
    let meta = Flow {
        remote: "[2a03:2880::1]:40000".parse().expect("an address"),
        ..flow(Transport::Tls)
    };
    let mut say = |inward, start: &str, id: &str| {
        let bytes = message(start, id);
        trace.message(UNIX_EPOCH, inward, (meta.id, Some(meta)), None, &bytes);
    };
    say(true, "INVITE sip:+17125550259@us SIP/2.0", "one");
    say(false, "SIP/2.0 403 Forbidden", "one");
    say(
        true,
        "INVITE sip:+17125550999@us SIP/2.0",
        "of another number",
    );
    say(false, "SIP/2.0 404 Not Found", "of another number");
    say(true, "OPTIONS sip:us SIP/2.0", "of another");
    let at = "[2a03:2880::1]:40000";
    assert_eq!(
        starts(&mut trace),
        [format!("INVITE {at}"), format!("SIP/2.0 {at}")]
    );
}

#[test]
fn a_number_of_two_trunks_is_followed_for_one_of_them_when_it_is_refused() {
    let mut settings = sim::scene::settings();
    let mut other = (*settings.trunks[0]).clone();
    (other.name, other.networks) = ("other".into(), Vec::new());
    other.target.host = "10.0.0.21".into();
    settings.trunks.push(other.into());
    settings.groups.push(b2bua::settings::Group {
        name: "both".into(),
        members: ["office", "other"]
            .map(|trunk| b2bua::settings::Member {
                trunk: trunk.into(),
                priority: 1,
                weight: 1,
            })
            .into(),
    });
    let mut number = (*settings.numbers[0]).clone();
    number.trunk = "both".into();
    settings.numbers = vec![number.into()];
    let mut trace = trace();
    let trunk = Reach::of("office", &settings);
    assert!(trunk.is_some());
    trace.follow(
        1,
        Follow {
            trunk,
            ..Follow::default()
        },
    );
    let meta = Flow {
        remote: "192.0.2.9:40000".parse().expect("an address"),
        ..flow(Transport::Tls)
    };
    for (status, told) in [("407 Prove it", 0), ("503 Later", 4)] {
        let invite = "INVITE sip:+17125550259@us SIP/2.0";
        let challenge = format!("SIP/2.0 {status}");
        for (inward, start) in [(true, invite), (false, &challenge)] {
            let bytes = message(&format!("{start}\r\nTo: <sip:+17125550259@us>"), "one");
            trace.message(UNIX_EPOCH, inward, (meta.id, Some(meta)), None, &bytes);
        }
        assert_eq!(starts(&mut trace).len(), told, "{status}");
    }
}
