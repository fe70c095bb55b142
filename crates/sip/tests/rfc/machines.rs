//! The four transaction machines (RFC 3261 §17, RFC 6026) under random orders of everything that can happen to them, against
//! a reading of the RFCs of its own: what is sent and told at which millisecond, and that every one of them ends.

use proptest::prelude::*;
use sip::{ClientKey, Counts, Method, Request, ServerKey, Transport};

use crate::bench::{Bench, TLS, UDP, answer, cases, incoming, ms, outgoing};

const T1: u64 = 500;
const T2: u64 = 4_000;
const T4: u64 = 5_000;
/// 64·T1.
const LONG: u64 = 32_000;

/// Something that happens to a transaction.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many milliseconds pass.
    Wait(u64),
    /// A response with this status: of the peer where we asked, of our user where we were asked.
    Status(u16),
    /// The peer's request comes again.
    Again,
    /// The peer's ACK comes.
    Ack,
    /// The connection breaks.
    Lost,
}

use Step::{Ack, Again, Lost, Status, Wait};

fn steps(statuses: &'static [u16], others: &'static [Step]) -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![
        3 => (0u64..1_000).prop_map(Wait),
        3 => (0u64..12_000).prop_map(Wait),
        // The very moments at which timers fire.
        2 => prop::sample::select(vec![T1, 3 * T1, T2, T4, LONG]).prop_map(Wait),
    ];
    let status = prop::sample::select(statuses).prop_map(Status);
    let other = prop::sample::select(others);
    prop::collection::vec(prop_oneof![3 => wait, 3 => status, 1 => other], 0..25)
}

/// A machine as the RFCs draw it: the time, what it has said, what is due.
struct Drawn {
    reliable: bool,
    now: u64,
    said: Vec<String>,
    state: &'static str,
    /// When something is sent again, what, and the interval that led there.
    again: Option<(u64, String, u64)>,
    /// When the state is left by itself, and what is said then.
    over: Option<(u64, Option<String>)>,
}

impl Drawn {
    fn new(transport: Transport, state: &'static str) -> Drawn {
        Drawn {
            reliable: transport != UDP,
            now: 0,
            said: Vec::new(),
            state,
            again: None,
            over: None,
        }
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        self.said.push(format!("{} {what}", self.now));
    }

    fn repeats(&mut self, what: String) {
        self.again = (!self.reliable).then(|| (self.now + T1, what, T1));
    }

    fn until(&mut self, time: u64, words: Option<&str>) {
        self.over = Some((self.now + time, words.map(str::to_owned)));
    }

    /// Into a state that absorbs what is still under way, for `time` where the transport may repeat it.
    fn absorbs(&mut self, state: &'static str, time: u64) {
        self.again = None;
        if self.reliable {
            self.ends();
        } else {
            self.state = state;
            self.until(time, None);
        }
    }

    fn ends(&mut self) {
        self.state = "Terminated";
        (self.again, self.over) = (None, None);
    }

    fn is_over(&self) -> bool {
        self.state == "Terminated"
    }

    /// Time passes; `next` gives the interval after one.
    fn pass(&mut self, time: u64, next: impl Fn(&str, u64) -> u64) {
        let end = self.now + time;
        loop {
            let again = self.again.as_ref().map_or(u64::MAX, |(at, ..)| *at);
            let over = self.over.as_ref().map_or(u64::MAX, |(at, _)| *at);
            if again.min(over) > end {
                self.now = end;
                return;
            }
            if again <= over {
                let (at, what, interval) = self.again.take().expect("it is due");
                self.now = at;
                self.say(&what);
                let interval = next(self.state, interval);
                self.again = Some((at + interval, what, interval));
            } else {
                let (at, words) = self.over.take().expect("it is due");
                self.now = at;
                if let Some(words) = words {
                    self.say(words);
                }
                self.ends();
            }
        }
    }
}

/// What a bench did, with the time.
struct Told {
    bench: Bench,
    now: u64,
    said: Vec<String>,
}

impl Told {
    fn note(&mut self) {
        let now = self.now;
        let words = self.bench.drain();
        self.said
            .extend(words.iter().map(|words| format!("{now} {words}")));
    }

    fn pass(&mut self, time: u64) {
        self.said.extend(self.bench.wait(ms(time)));
        self.now += time;
    }

    /// Plays the steps to both, a machine and its drawing, until the drawing is over; `next` gives the interval after one of the
    /// timer that repeats, and `happens` what a step that is no time means.
    fn plays<'s>(
        mut self,
        mut drawn: Drawn,
        steps: impl IntoIterator<Item = &'s Step>,
        next: fn(&str, u64) -> u64,
        mut happens: impl FnMut(&mut Bench, &mut Drawn, Step),
    ) -> Result<(), TestCaseError> {
        for step in steps {
            if drawn.is_over() {
                break;
            }
            if let Wait(time) = *step {
                self.pass(time);
                drawn.pass(time, next);
            } else {
                happens(&mut self.bench, &mut drawn, *step);
                self.note();
            }
        }
        self.ends_as(&mut drawn, next)
    }

    fn ends_as(
        mut self,
        drawn: &mut Drawn,
        next: impl Fn(&str, u64) -> u64,
    ) -> Result<(), TestCaseError> {
        self.pass(4 * LONG);
        drawn.pass(4 * LONG, next);
        prop_assert_eq!(&self.said, &drawn.said);
        prop_assert!(drawn.is_over(), "{}", drawn.state);
        prop_assert_eq!(self.bench.endpoint.counts(), Counts::default());
        prop_assert_eq!(self.bench.endpoint.next_timeout(), None);
        Ok(())
    }
}

// ---- we ask ----

fn asks(transport: Transport, method: Method) -> (Told, ClientKey, Request) {
    let mut bench = Bench::new(transport);
    let (key, request) = bench.send(outgoing(method));
    let told = Told {
        bench,
        now: 0,
        said: Vec::new(),
    };
    (told, key, request)
}

/// §17.1.1.2: timer A doubles, without an end of its own.
fn doubles(_: &str, interval: u64) -> u64 {
    2 * interval
}

/// §17.1.1 and RFC 6026 §7.2.
fn invite_client(transport: Transport, steps: &[Step]) -> Result<(), TestCaseError> {
    let (told, _, invite) = asks(transport, Method::Invite);
    let mut drawn = Drawn::new(transport, "Calling");
    drawn.repeats("send INVITE".into());
    drawn.until(LONG, Some("failed Timeout"));
    told.plays(
        drawn,
        steps.iter().chain(&[Status(486)]),
        doubles,
        |bench, drawn, step| match step {
            Status(status) => {
                bench.receive(answer(&invite, status));
                match (drawn.state, status) {
                    ("Calling" | "Proceeding", ..=199) => {
                        drawn.say(format!("response {status}"));
                        drawn.state = "Proceeding";
                        (drawn.again, drawn.over) = (None, None);
                    }
                    ("Calling" | "Proceeding", ..=299) => {
                        drawn.say(format!("response {status}"));
                        drawn.state = "Accepted";
                        drawn.again = None;
                        drawn.until(LONG, None);
                    }
                    ("Calling" | "Proceeding", _) => {
                        drawn.say("send ACK");
                        drawn.say(format!("response {status}"));
                        drawn.absorbs("Completed", LONG);
                    }
                    // RFC 6026: every 2xx is the user's, for it is his to acknowledge.
                    ("Accepted", 200..=299) => drawn.say(format!("response {status}")),
                    ("Completed", 300..) => drawn.say("send ACK"),
                    _ => {}
                }
            }
            Lost => {
                bench.endpoint.flow_lost(bench.now, bench.flow.id);
                if matches!(drawn.state, "Calling" | "Proceeding") {
                    drawn.say("failed FlowLost");
                    drawn.ends();
                }
            }
            Wait(_) | Again | Ack => {}
        },
    )
}

/// §17.1.2.2: timer E doubles up to T2, and is T2 in Proceeding.
fn up_to_t2(state: &str, interval: u64) -> u64 {
    match state {
        "Proceeding" => T2,
        _ => (2 * interval).min(T2),
    }
}

/// §17.1.2.
fn other_client(transport: Transport, steps: &[Step]) -> Result<(), TestCaseError> {
    let (told, _, bye) = asks(transport, Method::Bye);
    let mut drawn = Drawn::new(transport, "Trying");
    drawn.repeats("send BYE".into());
    drawn.until(LONG, Some("failed Timeout"));
    told.plays(drawn, steps, up_to_t2, |bench, drawn, step| match step {
        Status(status) => {
            bench.receive(answer(&bye, status));
            match (drawn.state, status) {
                ("Trying" | "Proceeding", ..=199) => {
                    drawn.say(format!("response {status}"));
                    drawn.state = "Proceeding";
                }
                ("Trying" | "Proceeding", _) => {
                    drawn.say(format!("response {status}"));
                    drawn.absorbs("Completed", T4);
                }
                _ => {}
            }
        }
        Lost => {
            bench.endpoint.flow_lost(bench.now, bench.flow.id);
            if matches!(drawn.state, "Trying" | "Proceeding") {
                drawn.say("failed FlowLost");
                drawn.ends();
            }
        }
        Wait(_) | Again | Ack => {}
    })
}

// ---- we are asked ----

fn asked(transport: Transport, method: &str) -> (Told, ServerKey, Request) {
    let mut bench = Bench::new(transport);
    let (key, request) = bench.arrives(&incoming(method, "z9hG4bKone"));
    let told = Told {
        bench,
        now: 0,
        said: Vec::new(),
    };
    (told, key, request)
}

/// §17.2.1 and RFC 6026 §7.1.
fn invite_server(transport: Transport, steps: &[Step]) -> Result<(), TestCaseError> {
    let (told, key, invite) = asked(transport, "INVITE");
    let drawn = Drawn::new(transport, "Proceeding");
    // The 100 that left at once.
    let mut last = "send 100 INVITE".to_owned();
    told.plays(
        drawn,
        steps.iter().chain(&[Status(486)]),
        up_to_t2,
        |bench, drawn, step| match step {
            Status(status) => {
                bench.respond(key, answer(&invite, status));
                let words = format!("send {status} INVITE");
                match (drawn.state, status) {
                    ("Proceeding", ..=199) => {
                        drawn.say(&words);
                        last = words;
                    }
                    ("Proceeding", ..=299) => {
                        drawn.say(&words);
                        drawn.state = "Accepted";
                        drawn.until(LONG, None);
                    }
                    ("Proceeding", _) => {
                        drawn.say(&words);
                        drawn.state = "Completed";
                        drawn.repeats(words.clone());
                        drawn.until(LONG, Some("no ack"));
                        last = words;
                    }
                    // §13.3.1.4: it is the user who repeats it.
                    ("Accepted", 200..=299) => drawn.say(&words),
                    _ => {}
                }
            }
            Again => {
                bench.receive(incoming("INVITE", "z9hG4bKone"));
                if matches!(drawn.state, "Proceeding" | "Completed") {
                    drawn.say(&last);
                }
            }
            Ack => {
                bench.receive(incoming("ACK", "z9hG4bKone"));
                match drawn.state {
                    "Accepted" => drawn.say("ack"),
                    "Completed" => drawn.absorbs("Confirmed", T4),
                    _ => {}
                }
            }
            Wait(_) | Lost => {}
        },
    )
}

/// §17.2.2; a user who says nothing for 64·T1 is no longer waited for, as his peer does not wait either.
fn other_server(transport: Transport, steps: &[Step]) -> Result<(), TestCaseError> {
    let (told, key, options) = asked(transport, "OPTIONS");
    let mut drawn = Drawn::new(transport, "Trying");
    drawn.until(LONG, None);
    let mut last = String::new();
    told.plays(drawn, steps, up_to_t2, |bench, drawn, step| match step {
        Status(status) => {
            bench.respond(key, answer(&options, status));
            let words = format!("send {status} OPTIONS");
            match (drawn.state, status) {
                ("Trying" | "Proceeding", ..=199) => {
                    drawn.say(&words);
                    drawn.state = "Proceeding";
                    last = words;
                }
                ("Trying" | "Proceeding", _) => {
                    drawn.say(&words);
                    drawn.absorbs("Completed", LONG);
                    last = words;
                }
                _ => {}
            }
        }
        Again => {
            bench.receive(incoming("OPTIONS", "z9hG4bKone"));
            if matches!(drawn.state, "Proceeding" | "Completed") {
                drawn.say(&last);
            }
        }
        Wait(_) | Ack | Lost => {}
    })
}

const ANSWERS: &[u16] = &[100, 180, 183, 200, 202, 302, 407, 486, 503, 603];

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn s17_1_1_an_invite_of_ours_is_sent_told_and_acknowledged_as_the_figure_says(
        steps in steps(ANSWERS, &[Lost]),
    ) {
        for transport in [UDP, TLS] {
            invite_client(transport, &steps)?;
        }
    }

    #[test]
    fn s17_1_2_a_request_of_ours_is_sent_and_told_as_the_figure_says(
        steps in steps(ANSWERS, &[Lost]),
    ) {
        for transport in [UDP, TLS] {
            other_client(transport, &steps)?;
        }
    }

    #[test]
    fn s17_2_1_an_invite_of_a_peer_is_answered_and_repeated_as_the_figure_says(
        steps in steps(ANSWERS, &[Again, Ack]),
    ) {
        for transport in [UDP, TLS] {
            invite_server(transport, &steps)?;
        }
    }

    #[test]
    fn s17_2_2_a_request_of_a_peer_is_answered_and_repeated_as_the_figure_says(
        steps in steps(ANSWERS, &[Again]),
    ) {
        for transport in [UDP, TLS] {
            other_server(transport, &steps)?;
        }
    }
}
