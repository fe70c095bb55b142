use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::Transport::{Tcp, Tls, Udp};

/// A zone, one record a line: `NAME NAPTR order preference service replacement`,
/// `NAME SRV priority weight port target`, `NAME A address`.
struct Zone(Vec<Vec<&'static str>>);

impl Zone {
    fn of(text: &'static str) -> Zone {
        let words = |line: &'static str| line.split_whitespace().collect();
        Zone(text.lines().map(words).collect())
    }

    fn of_kind(&self, name: &str, kind: &str) -> impl Iterator<Item = &Vec<&'static str>> {
        let named = (name.to_owned(), kind.to_owned());
        self.0
            .iter()
            .filter(move |line| line.len() > 2 && line[0] == named.0 && line[1] == named.1)
    }

    fn answer(&self, question: &Question) -> Answer {
        let number = |word: &str| word.parse().expect("a number");
        match question {
            Question::Naptr(name) => Answer::Naptr(
                self.of_kind(name, "NAPTR")
                    .map(|line| Naptr {
                        order: number(line[2]),
                        preference: number(line[3]),
                        flags: "s".into(),
                        service: line[4].into(),
                        replacement: line[5].into(),
                    })
                    .collect(),
            ),
            Question::Srv(name) => Answer::Srv(
                self.of_kind(name, "SRV")
                    .map(|line| Srv {
                        priority: number(line[2]),
                        weight: number(line[3]),
                        port: number(line[4]),
                        target: line[5].into(),
                    })
                    .collect(),
            ),
            Question::Addresses(name) => Answer::Addresses(
                self.of_kind(name, "A")
                    .map(|line| line[2].parse().expect("an address"))
                    .collect(),
            ),
        }
    }

    /// Walks a lookup to its end: what was asked, and what was found.
    fn locate(&self, host: &str, port: u16, transports: &[Transport]) -> (Vec<Question>, Located) {
        let mut lookup = Lookup::new(host, port, transports);
        let mut asked = Vec::new();
        loop {
            let questions = lookup.questions();
            if questions.is_empty() {
                break;
            }
            for question in &questions {
                lookup.answer(question, self.answer(question), None);
            }
            asked.extend(questions);
        }
        (asked, lookup.located().expect("no question is open"))
    }
}

/// The order with dice that always fall the same way.
fn places(located: &Located, dice: u32) -> Vec<String> {
    located
        .order(|| dice)
        .iter()
        .map(|(transport, address)| format!("{} {address}", transport.param()))
        .collect()
}

const ZONE: &str = "\
    two.example NAPTR 50 50 SIP+D2T _sip._tcp.two.example.
    two.example NAPTR 90 50 SIP+D2U _sip._udp.elsewhere.example
    two.example NAPTR 10 50 SIP+D2S _sip._sctp.two.example
    _sip._tcp.two.example SRV 20 0 5070 b.two.example
    _sip._tcp.two.example SRV 10 0 5080 a.two.example.
    _sip._udp.elsewhere.example SRV 0 0 5060 a.two.example
    a.two.example A 192.0.2.1
    a.two.example A 192.0.2.2
    a.two.example A 2001:db8::1
    b.two.example A 192.0.2.3
    plain.example A 192.0.2.9
    _sip._tcp.closed.example SRV 0 0 0 .
    closed.example A 192.0.2.66
    _sips._tcp.safe.example SRV 0 0 5099 a.two.example
    _sip._udp.odd.example SRV 0 0 5060 nowhere.example";

#[test]
fn every_line_of_the_figure() {
    let zone = Zone::of(ZONE);
    // Host, port, transports; what is asked; where it leads.
    type Case = (
        &'static str,
        u16,
        &'static [Transport],
        usize,
        &'static [&'static str],
    );
    let cases: &[Case] = &[
        ("192.0.2.7", 0, &[Udp], 0, &["udp 192.0.2.7:5060"]),
        ("192.0.2.7", 5070, &[Tls], 0, &["tls 192.0.2.7:5070"]),
        ("2001:db8::7", 0, &[Tls], 0, &["tls [2001:db8::7]:5061"]),
        // A port rules SRV out, whatever is there.
        (
            "a.two.example",
            5065,
            &[Tcp],
            1,
            &[
                "tcp 192.0.2.1:5065",
                "tcp [2001:db8::1]:5065",
                "tcp 192.0.2.2:5065",
            ],
        ),
        // SRV by priority; the transport is given, so nobody asks for NAPTR.
        (
            "two.example",
            0,
            &[Tcp],
            3,
            &[
                "tcp 192.0.2.1:5080",
                "tcp [2001:db8::1]:5080",
                "tcp 192.0.2.2:5080",
                "tcp 192.0.2.3:5070",
            ],
        ),
        (
            "safe.example",
            0,
            &[Tls],
            2,
            &[
                "tls 192.0.2.1:5099",
                "tls [2001:db8::1]:5099",
                "tls 192.0.2.2:5099",
            ],
        ),
        // No SRV: the name itself.
        ("plain.example", 0, &[Tls], 2, &["tls 192.0.2.9:5061"]),
        // NAPTR chooses the transport, and where its SRV records are.
        (
            "two.example",
            0,
            &[Udp, Tcp],
            5,
            &[
                "tcp 192.0.2.1:5080",
                "tcp [2001:db8::1]:5080",
                "tcp 192.0.2.2:5080",
                "tcp 192.0.2.3:5070",
                "udp 192.0.2.1:5060",
                "udp [2001:db8::1]:5060",
                "udp 192.0.2.2:5060",
            ],
        ),
        // Neither NAPTR nor SRV: the most wanted transport.
        ("plain.example", 0, &[Udp, Tcp], 4, &["udp 192.0.2.9:5060"]),
        // "Not here" is an answer.
        ("closed.example", 0, &[Tcp], 1, &[]),
        // A server without an address is none.
        ("odd.example", 0, &[Udp], 2, &[]),
        ("unknown.example", 0, &[Udp], 2, &[]),
    ];
    for (host, port, transports, questions, expected) in cases {
        let (asked, located) = zone.locate(host, *port, transports);
        assert_eq!(
            places(&located, 0),
            *expected,
            "{host}:{port} {transports:?}"
        );
        assert_eq!(
            asked.len(),
            *questions,
            "{host}:{port} {transports:?}: {asked:?}"
        );
    }
}

fn servers(weights: &[u16]) -> Located {
    let server = |(index, weight): (usize, &u16)| Server {
        transport: Udp,
        weight: *weight,
        port: index as u16,
        addresses: vec!["192.0.2.1".parse().expect("an address")],
    };
    Located {
        ranks: vec![weights.iter().enumerate().map(server).collect()],
        ttl: Duration::ZERO,
    }
}

#[test]
fn servers_of_one_rank_come_first_as_often_as_their_weights_say() {
    let located = servers(&[60, 20, 20, 0]);
    let mut first: HashMap<u16, u32> = HashMap::new();
    for dice in 0..101_000 {
        let order = located.order(|| dice);
        assert_eq!(order.len(), 4, "nobody is left out");
        let (_, place): (Transport, SocketAddr) = order[0];
        *first.entry(place.port()).or_default() += 1;
    }
    // 0 falls on the one without weight, 1 to 60 on the first, and so on.
    assert_eq!(first[&0], 60_000);
    assert_eq!(first[&1], 20_000);
    assert_eq!(first[&2], 20_000);
    assert_eq!(first[&3], 1_000);
}

#[test]
fn servers_without_weights_are_all_there() {
    assert_eq!(servers(&[0, 0, 0]).order(|| 7).len(), 3);
    assert_eq!(servers(&[]).order(|| 7), []);
}

#[test]
fn the_shortest_time_to_live_counts() {
    let mut lookup = Lookup::new("two.example", 0, &[Tcp]);
    let zone = Zone::of(ZONE);
    for ttl in [300, 40, 900] {
        for question in lookup.questions() {
            let ttl = Some(Duration::from_secs(ttl));
            lookup.answer(&question, zone.answer(&question), ttl);
        }
    }
    assert_eq!(
        lookup.located().expect("at its end").ttl,
        Duration::from_secs(40)
    );
}

#[test]
fn answers_nobody_asked_for_change_nothing() {
    let mut lookup = Lookup::new("two.example", 0, &[Tcp]);
    let before = lookup.questions();
    lookup.answer(
        &Question::Srv("_sip._tcp.other.example".into()),
        Answer::Srv(Vec::new()),
        None,
    );
    lookup.answer(
        &Question::Naptr("two.example".into()),
        Answer::Naptr(Vec::new()),
        None,
    );
    assert_eq!(lookup.questions(), before);
    assert_eq!(lookup.located(), None);
}
