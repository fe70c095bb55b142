//! The names of then become the names of now: what the core minted in the capture is replaced, in what
//! the far sides say, by what it mints in the replay.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use sim::meta::digest::{Hash, Inputs, Parameters, response};
use sip::{Message, Name};

use super::scene::Scene;
use crate::trace::Gap;

/// A kind of message: where, start, method of its CSeq.
type Key = (Gap, String, String);

/// The dictionary.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// What left in the capture and has not left in the replay, by kind.
    then: HashMap<Key, VecDeque<Message>>,
    /// Every message that left, then and now: what leaves again is a repetition.
    said: [HashSet<Bytes>; 2],
    names: Vec<(String, String)>,
    /// Call-ID and CSeq of then to CSeq of now.
    cseqs: HashMap<(String, u32), u32>,
    /// Call-ID and CSeq of requests that were forbidden then.
    forbidden: HashSet<(String, u32)>,
}

impl Echo {
    /// Something left in the capture; repetitions are none of our business.
    pub(super) fn left_then(&mut self, gap: Gap, bytes: &Bytes) {
        if let Ok(message) = sip::parse(bytes.clone())
            && self.said[0].insert(bytes.clone())
        {
            if let Message::Response(response) = &message
                && response.status == 403
            {
                self.forbidden.extend(call_id(&message).zip(cseq(&message)));
            }
            self.then
                .entry(key(gap, &message))
                .or_default()
                .push_back(message);
        }
    }

    /// Something leaves now; whether for the first time.
    pub(super) fn leaves_now(&mut self, gap: Gap, bytes: &Bytes) -> bool {
        let Ok(now) = sip::parse(bytes.clone()) else {
            return true;
        };
        if !self.said[1].insert(bytes.clone()) {
            return false;
        }
        let Some(then) = self
            .then
            .get_mut(&key(gap, &now))
            .and_then(VecDeque::pop_front)
        else {
            return true;
        };
        let is_request = matches!(now, Message::Request(_));
        if is_request
            && let (Some(call_id), Some(old), Some(new)) = (call_id(&then), cseq(&then), cseq(&now))
        {
            self.cseqs.insert((call_id, old), new);
        }
        let pairs = [
            (call_id(&then), call_id(&now)),
            (tag(&then, true), tag(&now, true)),
            (tag(&then, false), tag(&now, false)),
            (branch(&then), branch(&now)),
        ];
        for (old, new) in pairs
            .into_iter()
            .chain(nonces(&then).into_iter().zip(nonces(&now)))
        {
            if let (Some(old), Some(new)) = (old, new)
                && old != new
                && old.len() >= 4
                && !self.names.iter().any(|(known, _)| *known == old)
            {
                self.names.push((old, new));
            }
        }
        true
    }

    /// What a far side said then, as it would say it now.
    pub(super) fn now(&self, scene: &Scene, bytes: &Bytes) -> Option<Message> {
        let text = String::from_utf8_lossy(bytes);
        let (head, _) = text.split_once("\r\n\r\n")?;
        let body = bytes.slice(bytes.len().min(head.len() + 4)..);
        let mut head = head.to_owned();
        let before = sip::parse(bytes.clone()).ok()?;
        let right = self.answered_right(&before, scene);
        for (old, new) in &self.names {
            head = head.replace(old.as_str(), new);
        }
        let mut message = sip::parse([head.as_bytes(), b"\r\n\r\n", &body].concat().into()).ok()?;
        match &mut message {
            Message::Response(response) => {
                if let (Some(id), Some(old)) = (call_id(&before), cseq(&before))
                    && let Some(new) = self.cseqs.get(&(id, old))
                {
                    let method = method(&before);
                    response.headers.set(Name::CSeq, format!("{new} {method}"));
                }
            }
            Message::Request(request) => {
                for name in [Name::ProxyAuthorization, Name::Authorization] {
                    if let Some(value) = request
                        .headers
                        .first(&name)
                        .map(|v| v.as_str().into_owned())
                        && let Some(right) = right
                    {
                        let method = request.method.to_string();
                        if let Some(value) = answered(&value, &method, scene, right) {
                            request.headers.set(name, value);
                        }
                    }
                }
            }
        }
        Some(message)
    }

    /// Whether the digest answer of a request was right; of one that is blanked, whether it passed for right
    /// then. `None` without one.
    fn answered_right(&self, message: &Message, scene: &Scene) -> Option<bool> {
        let Message::Request(request) = message else {
            return None;
        };
        let value =
            first(message, &Name::ProxyAuthorization).or(first(message, &Name::Authorization))?;
        let parameters = Parameters::read(&value)?;
        let given = parameters.value("response")?;
        let right = computed(&parameters, &request.method.to_string(), scene)?;
        let blanked = given.bytes().all(|byte| byte == b'0');
        let passed = || {
            let request = call_id(message).zip(cseq(message));
            request.is_none_or(|request| !self.forbidden.contains(&request))
        };
        Some(if blanked { passed() } else { right == given })
    }

    /// What left then and does not now, in the order of kinds.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self
            .then
            .iter()
            .flat_map(|((gap, start, method), left)| {
                left.iter()
                    .map(move |_| format!("{} {start} ({method})", gap.label()))
            })
            .collect();
        missing.sort();
        missing
    }

    /// Whether a message of this kind left then.
    pub(super) fn knew(&self, gap: Gap, bytes: &Bytes) -> bool {
        sip::parse(bytes.clone()).is_ok_and(|message| {
            self.then
                .get(&key(gap, &message))
                .is_some_and(|left| !left.is_empty())
        })
    }
}

fn key(gap: Gap, message: &Message) -> Key {
    let start = match message {
        Message::Request(request) => request.method.to_string(),
        Message::Response(response) => response.status.to_string(),
    };
    (gap, start, method(message))
}

fn first(message: &Message, name: &Name) -> Option<String> {
    message
        .headers()
        .first(name)
        .map(|value| value.as_str().into_owned())
}

fn call_id(message: &Message) -> Option<String> {
    first(message, &Name::CallId)
}

fn cseq(message: &Message) -> Option<u32> {
    first(message, &Name::CSeq)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn method(message: &Message) -> String {
    let cseq = first(message, &Name::CSeq).unwrap_or_default();
    cseq.split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

fn tag(message: &Message, from: bool) -> Option<String> {
    let tag = match message {
        Message::Request(request) if from => request.from_tag(),
        Message::Request(request) => request.to_tag(),
        Message::Response(response) if from => response.from_tag(),
        Message::Response(response) => response.to_tag(),
    };
    tag.map(|tag| tag.as_str().into_owned())
}

/// The branch of a request of ours; a response has the far side's.
fn branch(message: &Message) -> Option<String> {
    match message {
        Message::Request(_) => {
            let via = first(message, &Name::Via)?;
            let value = via.split("branch=").nth(1)?;
            Some(value.split([';', ',', ' ']).next()?.to_owned())
        }
        Message::Response(_) => None,
    }
}

fn nonces(message: &Message) -> Vec<Option<String>> {
    let challenges = message.headers().all(&Name::ProxyAuthenticate);
    challenges
        .map(|value| {
            Parameters::read(&value.as_str())?
                .value("nonce")
                .map(str::to_owned)
        })
        .collect()
}

fn computed(parameters: &Parameters, method: &str, scene: &Scene) -> Option<String> {
    Some(response(&Inputs {
        hash: Hash::named(parameters.value("algorithm"))?,
        username: parameters.value("username")?,
        realm: parameters.value("realm")?,
        password: &scene.password,
        method,
        uri: parameters.value("uri")?,
        nonce: parameters.value("nonce")?,
        qop: parameters.value("nc").zip(parameters.value("cnonce")),
    }))
}

/// The credentials with an answer to the nonce of now: right, or as wrong as it was.
fn answered(value: &str, method: &str, scene: &Scene, right: bool) -> Option<String> {
    let parameters = Parameters::read(value)?;
    let given = parameters.value("response")?;
    let mut now = computed(&parameters, method, scene)?;
    if !right {
        now = now.chars().rev().collect();
    }
    Some(value.replace(given, &now))
}
