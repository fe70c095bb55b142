//! Samples bent in every way: nothing panics, and what is read prints back.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sip::{
    Challenge, Credentials, Dialog, Endpoint, Frame, Framer, Ident, Limits, Message, Name,
    NameAddr, Reason, SessionExpires, Text, TimerSettings, Uri, Via, Warning, parse,
};

use crate::bench::{Bench, UDP};

/// One bend of a message.
#[derive(Clone, Debug)]
enum Bend {
    Flip(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
    Truncate(Index),
}

fn bends() -> impl Strategy<Value = Vec<Bend>> {
    let spice = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n ".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"<".to_vec()),
        Just(b">".to_vec()),
        Just(b";".to_vec()),
        Just(b",".to_vec()),
        Just(b":".to_vec()),
        Just(b"@".to_vec()),
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b"%".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"=".to_vec()),
        Just(b"99999999999999999999".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Via: ".to_vec()),
        Just(b"\xff\xfe".to_vec()),
        vec(any::<u8>(), 1..20),
    ];
    let bend = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Bend::Flip(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Bend::Cut(a, b)),
        (any::<Index>(), spice).prop_map(|(at, what)| Bend::Insert(at, what)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Bend::Repeat(a, b)),
        any::<Index>().prop_map(Bend::Truncate),
    ];
    vec(bend, 0..6)
}

fn bent(mut bytes: Vec<u8>, bends: &[Bend]) -> Vec<u8> {
    for bend in bends {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match bend {
            Bend::Flip(at, byte) => bytes[at.index(len)] = *byte,
            Bend::Cut(a, b) => {
                let (from, to) = (a.index(len), a.index(len) + b.index(40));
                bytes.drain(from..to.min(len));
            }
            Bend::Insert(at, what) => {
                let at = at.index(len);
                bytes.splice(at..at, what.iter().copied());
            }
            Bend::Repeat(a, b) => {
                let (from, to) = (a.index(len), (a.index(len) + b.index(200)).min(len));
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
            Bend::Truncate(at) => bytes.truncate(at.index(len)),
        }
    }
    bytes
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<_> = crate::fixtures::all()
        .into_iter()
        .map(|(_, b)| b.to_vec())
        .collect();
    prop::sample::select(all)
}

/// Reads everything that can be read of a message.
fn read_all(message: &Message) {
    let headers = message.headers();
    for (_, value) in headers.iter() {
        let _ = (NameAddr::read(value), Via::read(value), Reason::read(value));
        let _ = (
            Warning::read(value),
            SessionExpires::read(value),
            Credentials::read(value),
        );
        let _ = Uri::parse(value);
    }
    for name in [Name::Via, Name::Contact, Name::Route, Name::RecordRoute] {
        let _ = headers.list(&name).count();
    }
    let _ = Challenge::all(headers, &Name::ProxyAuthenticate);
    let _ = format!("{message:?}");
    if let Message::Request(request) = message {
        if let Some(mut dialog) = Dialog::uas(request, "tag") {
            let bye = dialog.request(sip::Method::Bye);
            let _ = (dialog.first_hop(), bye.to_bytes());
        }
        let _ = sip::Response::to(request, 200, "").to_bytes();
    }
}

proptest! {
    #![proptest_config(crate::bench::cases(2000))]

    #[test]
    fn whatever_is_read_prints_back_and_reads_the_same(
        bytes in sample(),
        bends in bends(),
    ) {
        let bytes = Bytes::from(bent(bytes, &bends));
        match parse(bytes.clone()) {
            Ok(message) => {
                read_all(&message);
                let printed = message.to_bytes();
                let again = parse(printed.clone()).expect("what we print we can read");
                prop_assert_eq!(&again, &message);
                prop_assert_eq!(again.to_bytes(), printed);
            }
            Err(malformed) => {
                if let Some(reply) = malformed.reply() {
                    prop_assert!(reply.starts_with(b"SIP/2.0 "));
                }
            }
        }
    }

    #[test]
    fn a_stream_gives_the_same_frames_in_one_piece_and_in_many(
        first in sample(),
        bends in bends(),
        second in sample(),
        size in 1usize..600,
    ) {
        let mut stream = bent(first, &bends);
        stream.extend(second);
        let frames = |size: usize| {
            let mut framer = Framer::new(Limits::default());
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                framer.push(piece);
                while let Some(frame) = framer.next() {
                    found.push(match frame {
                        Frame::Message(message) => format!("{:?}", message.to_bytes()),
                        Frame::Ping => "ping".to_owned(),
                        Frame::Pong => "pong".to_owned(),
                        Frame::Malformed(m) => format!("malformed {:?}", m.kind),
                        Frame::Broken(_) => "broken".to_owned(),
                    });
                }
            }
            found
        };
        prop_assert_eq!(frames(size), frames(stream.len().max(1)));
    }

    #[test]
    fn an_endpoint_survives_bent_messages_and_forgets_them(
        messages in vec((sample(), bends()), 1..8),
    ) {
        let mut bench = Bench::new(UDP);
        bench.endpoint = Endpoint::new(TimerSettings::default(), Ident::new(1, [1; 32]));
        for (bytes, bends) in messages {
            if let Ok(message) = parse(Bytes::from(bent(bytes, &bends))) {
                bench.endpoint.receive(bench.now, bench.flow, message);
            }
            for output in bench.outputs() {
                if let sip::Output::Event(sip::Event::Request { key, request, .. }) = output {
                    let refusal = sip::Response::to(&request, 488, "");
                    bench.endpoint.respond(bench.now, key, refusal);
                }
            }
        }
        while let Some(at) = bench.endpoint.next_timeout() {
            bench.endpoint.timeout(at);
            while bench.endpoint.poll().is_some() {}
        }
        prop_assert_eq!(bench.endpoint.counts().total(), 0);
    }

    #[test]
    fn readers_of_header_values_take_any_text(text in "\\PC{0,60}") {
        let value = Text::from(text);
        let _ = (NameAddr::read(&value), Via::read(&value), Uri::parse(&value));
        let _ = (Credentials::read(&value), Warning::read(&value), Reason::read(&value));
    }

    #[test]
    fn composed_uris_read_back_as_composed(user in "\\PC{1,30}", host in "[a-z0-9.-]{1,20}") {
        let uri = Uri::sip(&user, &host);
        let again = Uri::parse(uri.as_str()).unwrap();
        prop_assert_eq!(again.host(), host);
        prop_assert!(again.user().is_some());
        prop_assert!(uri.equivalent(&again));
    }

    #[test]
    fn any_uri_is_equivalent_to_itself(text in "sips?:([a-z%0-9;=]{1,8}@)?[a-z.]{1,8}(:[0-9]{1,4})?(;[a-z=]{1,6}){0,3}") {
        if let Ok(uri) = Uri::parse(text.as_str()) {
            prop_assert!(uri.equivalent(&uri));
            prop_assert_eq!(uri.to_string(), text);
        }
    }
}
