//! Transactions (RFC 3261 §17): how a message finds its own, and the four machines, one per file.
//!
//! A machine is a pure table: state and event in, state and actions out. The
//! [`Endpoint`](crate::Endpoint) performs the actions and runs the timers.

pub(crate) mod client;
pub(crate) mod invite_client;
pub(crate) mod invite_server;
pub(crate) mod server;

use sha2::{Digest, Sha256};

use crate::{CSeq, Method, Request, Text, Via};

/// What a client machine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAction {
    /// Send the request again, and later once more.
    Resend,
    /// Hand the response to the user.
    Tell,
    /// Send the ACK of a failure (again).
    Ack,
    /// Say that nobody answered.
    TimedOut,
    /// Say that the flow was lost.
    FlowLost,
}

/// What a server machine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerAction {
    /// Send the user's response and remember it.
    Send,
    /// Send the last response again.
    Repeat,
    /// Hand the ACK to the user.
    PassAck,
    /// Say that no ACK came.
    NoAck,
}

/// What names a transaction among all others.
pub(crate) type MatchKey = Box<[u8]>;

/// The server transaction a request belongs to (RFC 3261 §17.2.3): branch, sent-by and method of
/// the top Via alone, whatever the Vias below say. `as_method` replaces the request's method: an
/// ACK or CANCEL looks for its INVITE.
///
/// Without the magic cookie (RFC 2543) it is Request-URI, From tag, Call-ID, CSeq number and the
/// whole top Via as it came.
pub(crate) fn server_key(request: &Request, via: &Via, top: &Text, as_method: &Method) -> MatchKey {
    let mut key = Vec::with_capacity(128);
    let mut part = |bytes: &[u8]| {
        key.extend_from_slice(bytes);
        key.push(0);
    };
    part(as_method.as_bytes());
    if via.has_magic_cookie() {
        part(via.branch().unwrap_or_default().as_bytes());
        part(&via.host.as_bytes().to_ascii_lowercase());
        let default = via.known_transport().map_or(5060, |t| t.default_port());
        part(&via.port.unwrap_or(default).to_be_bytes());
    } else {
        part(request.uri.as_str().as_bytes());
        part(request.from_tag().unwrap_or_default().as_bytes());
        part(request.call_id().cloned().unwrap_or_default().as_bytes());
        part(&request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes());
        part(top.as_bytes());
    }
    if key.len() > LONGEST_KEY {
        // A stranger's long branch is not to be kept for every transaction of its.
        return Box::from(Sha256::digest(&key).as_slice());
    }
    key.into_boxed_slice()
}

/// Longer keys are kept as their hash.
const LONGEST_KEY: usize = 256;

/// The client transaction a response belongs to (RFC 3261 §17.1.3): our branch and the method in
/// CSeq.
pub(crate) fn client_key(branch: &str, cseq: &CSeq) -> MatchKey {
    let method = cseq.method.as_bytes();
    let mut key = Vec::with_capacity(branch.len() + method.len() + 1);
    key.extend_from_slice(method);
    key.push(0);
    key.extend_from_slice(branch.as_bytes());
    key.into_boxed_slice()
}

/// The whole table of a machine as text, for the snapshots.
#[cfg(test)]
pub(crate) fn table<S, E, A>(
    states: &[S],
    events: &[E],
    next: impl Fn(S, E) -> Option<(S, &'static [A])>,
) -> String
where
    S: Copy + std::fmt::Debug,
    E: Copy + std::fmt::Debug,
    A: std::fmt::Debug + 'static,
{
    let mut text = String::new();
    for &state in states {
        for &event in events {
            let from = format!("{state:?}");
            let on = format!("{event:?}");
            let to = match next(state, event) {
                Some((to, actions)) => {
                    let mut line = format!("{to:?}");
                    for action in actions {
                        line.push_str(&format!(" + {action:?}"));
                    }
                    line
                }
                None => "absorbed".to_owned(),
            };
            text.push_str(&format!("{from:<11} {on:<12} {to}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, parse};

    fn key(uri: &str, via: &str, call_id: &str) -> MatchKey {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\r\n"
        );
        let Message::Request(request) = parse(text.into()).unwrap() else {
            unreachable!()
        };
        let top = request.headers.list(&crate::Name::Via).next().unwrap();
        server_key(&request, &request.top_via().unwrap(), &top, &request.method)
    }

    #[test]
    fn with_a_cookie_only_branch_and_sent_by_count() {
        let a = key("sip:x", "SIP/2.0/TLS Host:5061;branch=z9hG4bKa;rport", "1");
        assert_eq!(a, key("sip:y", "SIP/2.0/TLS host;branch=z9hG4bKa", "2"));
        assert_ne!(
            a,
            key("sip:x", "SIP/2.0/TLS host:5062;branch=z9hG4bKa", "1")
        );
        assert_ne!(
            a,
            key("sip:x", "SIP/2.0/TLS host:5061;branch=z9hG4bKb", "1")
        );
        assert_ne!(
            a,
            key("sip:x", "SIP/2.0/TLS other:5061;branch=z9hG4bKa", "1")
        );
    }

    #[test]
    fn a_branch_without_end_makes_no_key_without_end() {
        let via = |end: char| format!("SIP/2.0/UDP h;branch=z9hG4bK{}{end}", "x".repeat(9000));
        let a = key("sip:x", &via('a'), "1");
        assert_eq!(a.len(), 32);
        assert_eq!(a, key("sip:x", &via('a'), "1"));
        assert_ne!(a, key("sip:x", &via('b'), "1"));
    }

    #[test]
    fn without_a_cookie_the_whole_request_counts() {
        let a = key("sip:x", "SIP/2.0/UDP host", "1");
        assert_eq!(a, key("sip:x", "SIP/2.0/UDP host", "1"));
        assert_ne!(a, key("sip:y", "SIP/2.0/UDP host", "1"));
        assert_ne!(a, key("sip:x", "SIP/2.0/UDP host", "2"));
        assert_ne!(a, key("sip:x", "SIP/2.0/UDP host;branch=1", "1"));
    }
}
