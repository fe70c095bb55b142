//! Two endpoints and a network that loses, repeats and reorders: calls end, nothing is left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use sip::{
    ClientKey, Dialog, Endpoint, Event, Ident, Method, Output, Request, Response, TimerSettings,
    Transport, parse,
};

use crate::bench::{UDP, flow, outgoing};

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives(u64),
    Lost,
    Twice(u64, u64),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let delay = 1u64..900;
    let fate = prop_oneof![
        5 => delay.clone().prop_map(Fate::Arrives),
        2 => Just(Fate::Lost),
        1 => (delay.clone(), delay).prop_map(|(a, b)| Fate::Twice(a, b)),
    ];
    prop::collection::vec(fate, 1..60)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    AnsweredThenBye,
    Refused,
    Cancelled,
}

/// How the caller's INVITE ended.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Status(u16),
    Failed,
}

struct Side {
    endpoint: Endpoint,
    /// When the 2xx is to be sent again, and until its ACK comes.
    repeat: Option<(Instant, Duration, sip::ServerKey, Response)>,
    /// When nobody will pick up any more.
    gives_up: Option<(Instant, sip::ServerKey, Response)>,
}

struct Network {
    now: Instant,
    sides: [Side; 2],
    in_flight: BTreeMap<(Instant, u64), (usize, Bytes)>,
    fates: std::iter::Cycle<std::vec::IntoIter<Fate>>,
    datagrams: u64,
    transport: Transport,
    story: Story,
    invite: Option<(ClientKey, Request)>,
    acks: BTreeMap<sip::DialogId, Bytes>,
    end: Option<End>,
}

impl Network {
    fn new(story: Story, transport: Transport, fates: Vec<Fate>) -> Network {
        #[allow(clippy::disallowed_methods)] // the one origin of the turned clock
        let now = Instant::now();
        let side = |node| Side {
            endpoint: Endpoint::new(TimerSettings::default(), Ident::new(node, [5; 32])),
            repeat: None,
            gives_up: None,
        };
        Network {
            now,
            sides: [side(1), side(2)],
            in_flight: BTreeMap::new(),
            fates: fates.into_iter().cycle(),
            datagrams: 0,
            transport,
            story,
            invite: None,
            acks: BTreeMap::new(),
            end: None,
        }
    }

    fn run(&mut self) {
        let mut invite = outgoing(Method::Invite);
        invite.headers.push("Contact", "<sip:us@192.0.2.1>");
        let flow = flow(2, self.transport, "192.0.2.7:5070");
        let key = self.sides[0].endpoint.request(
            self.now,
            flow.id,
            self.transport,
            "192.0.2.1:5060",
            invite.clone(),
        );
        self.invite = Some((key, invite));
        self.drain();
        for _ in 0..100_000 {
            let Some(next) = self.next() else { return };
            self.now = next;
            if let Some(((at, n), _)) = self.in_flight.first_key_value().map(|(k, v)| (*k, v))
                && at <= next
            {
                let (to, bytes) = self.in_flight.remove(&(at, n)).unwrap();
                let message = parse(bytes).unwrap();
                self.sides[to].endpoint.receive(self.now, flow, message);
            }
            for side in &mut self.sides {
                side.endpoint.timeout(self.now);
                side.repeat(self.now);
            }
            self.drain();
        }
        panic!("it never ends");
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.sides.iter().flat_map(|side| {
            [
                side.endpoint.next_timeout(),
                side.repeat.as_ref().map(|(at, ..)| *at),
                side.gives_up.as_ref().map(|(at, ..)| *at),
            ]
        });
        let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
        timers.chain([arrival]).flatten().min()
    }

    fn drain(&mut self) {
        for at in 0..2 {
            while let Some(output) = self.sides[at].endpoint.poll() {
                match output {
                    Output::Send { bytes, .. } => self.carry(1 - at, bytes),
                    Output::Event(event) => self.user(at, event),
                }
            }
        }
    }

    fn carry(&mut self, to: usize, bytes: Bytes) {
        let fate = match self.transport {
            Transport::Udp => self.fates.next().unwrap(),
            _ => Fate::Arrives(10),
        };
        let delays = match fate {
            Fate::Lost => vec![],
            Fate::Arrives(ms) => vec![ms],
            Fate::Twice(a, b) => vec![a, b],
        };
        for ms in delays {
            self.datagrams += 1;
            let at = self.now + Duration::from_millis(ms);
            self.in_flight
                .insert((at, self.datagrams), (to, bytes.clone()));
        }
    }

    fn user(&mut self, at_side: usize, event: Event) {
        match event {
            Event::Request { key, request, .. } if request.method == Method::Invite => {
                let mut ringing = Response::to(&request, 180, "");
                ringing.tag_to("theirs");
                self.sides[at_side]
                    .endpoint
                    .respond(self.now, key, ringing.clone());
                let status = match self.story {
                    Story::AnsweredThenBye => 200,
                    Story::Refused => 486,
                    Story::Cancelled => {
                        let mut nobody = Response::to(&request, 480, "");
                        nobody.tag_to("theirs");
                        let at = self.now + Duration::from_secs(60);
                        self.sides[at_side].gives_up = Some((at, key, nobody));
                        return;
                    }
                };
                let mut answer = Response::to(&request, status, "");
                answer.tag_to("theirs");
                answer.headers.push("Contact", "<sip:peer@192.0.2.7>");
                self.sides[at_side]
                    .endpoint
                    .respond(self.now, key, answer.clone());
                if status == 200 {
                    let interval = Duration::from_millis(500);
                    self.sides[at_side].repeat = Some((self.now + interval, interval, key, answer));
                }
            }
            Event::Request { key, request, .. } => {
                self.sides[at_side].endpoint.respond(
                    self.now,
                    key,
                    Response::to(&request, 200, ""),
                );
            }
            Event::Ack { .. } => self.sides[at_side].repeat = None,
            Event::Cancelled { key, cancel } => {
                self.sides[at_side].gives_up = None;
                let mut invite = cancel;
                invite.headers.set("CSeq", "1 INVITE");
                let mut terminated = Response::to(&invite, 487, "");
                terminated.tag_to("theirs");
                self.sides[at_side]
                    .endpoint
                    .respond(self.now, key, terminated);
            }
            Event::Response { key, response, .. } => self.answered(key, response),
            Event::Failed { key, .. } if self.is_invite(key) => self.end = Some(End::Failed),
            Event::Failed { .. }
            | Event::NoAck { .. }
            | Event::LateAnswer { .. }
            | Event::CancelCrossed { .. } => {}
        }
    }

    fn is_invite(&self, key: ClientKey) -> bool {
        self.invite
            .as_ref()
            .is_some_and(|(invite, _)| *invite == key)
    }

    fn answered(&mut self, key: ClientKey, response: Response) {
        if !self.is_invite(key) {
            return;
        }
        let flow = flow(2, self.transport, "192.0.2.7:5070");
        if response.is_provisional() {
            if self.story == Story::Cancelled {
                self.sides[0].endpoint.cancel(self.now, key);
            }
            return;
        }
        if !response.is_success() {
            assert!(
                !matches!(self.end, Some(End::Status(_))),
                "one final failure, told once"
            );
            self.end = Some(End::Status(response.status));
            return;
        }
        let invite = self.invite.as_ref().unwrap().1.clone();
        let mut dialog = Dialog::uac(&invite, &response).unwrap();
        let endpoint = &mut self.sides[0].endpoint;
        match self.acks.get(&dialog.id()) {
            Some(bytes) => endpoint.resend(flow.id, bytes.clone()),
            None => {
                let ack = endpoint.ack(flow.id, self.transport, "192.0.2.1:5060", dialog.ack(1));
                self.acks.insert(dialog.id().clone(), ack);
                let bye = dialog.request(Method::Bye);
                endpoint.request(self.now, flow.id, self.transport, "192.0.2.1:5060", bye);
                self.end = Some(End::Status(response.status));
            }
        }
    }
}

impl Side {
    /// RFC 3261 §13.3.1.4: the 2xx again, T1 … T2, for 64·T1 (the transaction forgets by itself).
    fn repeat(&mut self, now: Instant) {
        if let Some((_, key, nobody)) = self.gives_up.take_if(|(at, ..)| *at <= now) {
            self.endpoint.respond(now, key, nobody);
        }
        let Some((at, interval, key, answer)) = self.repeat.take() else {
            return;
        };
        if at > now {
            self.repeat = Some((at, interval, key, answer));
        } else if self.endpoint.counts().invite_servers > 0 {
            self.endpoint.respond(now, key, answer.clone());
            let interval = TimerSettings::default().next_interval(interval);
            self.repeat = Some((now + interval, interval, key, answer));
        }
    }
}

fn story() -> impl Strategy<Value = Story> {
    prop_oneof![
        Just(Story::AnsweredThenBye),
        Just(Story::Refused),
        Just(Story::Cancelled)
    ]
}

proptest! {
    #![proptest_config(crate::bench::cases(300))]

    #[test]
    fn every_call_over_a_bad_network_ends_and_leaves_nothing(
        story in story(),
        fates in fates(),
    ) {
        let mut network = Network::new(story, UDP, fates);
        network.run();
        let expected = match story {
            Story::AnsweredThenBye => End::Status(200),
            Story::Refused => End::Status(486),
            Story::Cancelled => End::Status(487),
        };
        prop_assert!(
            // A CANCEL that never arrived, or a caller who heard nothing.
            [Some(expected), Some(End::Status(480)), Some(End::Failed)].contains(&network.end),
            "{:?}", network.end
        );
        for side in &network.sides {
            let left = side.endpoint.counts();
            prop_assert_eq!(left, sip::Counts::default(), "{:?}", network.end);
            prop_assert_eq!(side.endpoint.next_timeout(), None);
        }
    }
}

#[test]
fn a_call_over_a_good_network_takes_no_repetition() {
    for (story, status, most) in [
        (Story::AnsweredThenBye, 200, 7),
        (Story::Refused, 486, 5),
        (Story::Cancelled, 487, 7),
    ] {
        let mut network = Network::new(story, Transport::Tls, vec![Fate::Lost]);
        network.run();
        assert_eq!(network.end, Some(End::Status(status)));
        assert!(
            network.datagrams <= most,
            "{story:?}: {} messages",
            network.datagrams
        );
    }
}

#[test]
fn ten_thousand_calls_leave_no_transaction_behind() {
    let mut b = crate::bench::Bench::new(UDP);
    for n in 0..10_000 {
        let invite = crate::bench::incoming("INVITE", &format!("z9hG4bK{n}"));
        let (key, request) = b.arrives(&invite);
        b.respond(
            key,
            Response::to(&request, if n % 2 == 0 { 200 } else { 486 }, ""),
        );
        b.outputs();
    }
    assert_eq!(b.endpoint.counts().invite_servers, 10_000);
    while let Some(at) = b.endpoint.next_timeout() {
        b.endpoint.timeout(at);
        b.outputs();
    }
    assert_eq!(b.endpoint.counts().total(), 0);
}
