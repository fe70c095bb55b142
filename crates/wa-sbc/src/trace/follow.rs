//! Stories somebody follows: all that was seen of them goes on at once, and what is seen from now on as it
//! happens. Nobody follows usually; then this costs one look at an empty table.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use b2bua::CallId;
use bytes::Bytes;
use sdp::Side;
use sip::{Flow, Transport};

use super::ring::Kind;
use super::seen::{Crossed, Seen, Wanted, What};

/// A set of followers: one bit each.
pub(crate) type By = u8;

/// What followers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The story of a call is followed, and by whom.
    Follows { by: By, call: CallId },
    /// Something was seen in it.
    Seen(Followed),
}

/// Something seen in a story that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    /// By whom.
    pub(crate) by: By,
    /// The story; it keeps its number when the INVITE becomes a call.
    pub(crate) story: u64,
    /// The call it has become.
    pub(crate) call: Option<CallId>,
    /// What.
    pub(crate) what: Told,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A message, a fact.
    Seen(Seen),
    /// A leg has this Call-ID.
    Leg(Side, String),
    /// The side the carrier is on.
    Carrier(Side),
}

/// Who follows what.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Follow every story.
    all: By,
    /// Follow stories in whose messages a word stands.
    words: Vec<(By, Wanted)>,
    stories: HashMap<u64, By>,
    news: Vec<News>,
    /// Said on connections that are still being opened: waits for their addresses.
    held: Vec<Followed>,
}

impl Following {
    /// Whether nobody follows anything.
    pub(super) fn is_idle(&self) -> bool {
        self.all == 0 && self.words.is_empty() && self.stories.is_empty()
    }

    /// Somebody follows stories that begin from now on: all, those with a word, or none by themselves.
    pub(super) fn begin(&mut self, by: By, all: bool, word: Option<&str>) {
        if all {
            self.all |= by;
        }
        self.words.extend(word.map(|word| (by, Wanted::of(word))));
    }

    /// These no longer follow anything.
    pub(super) fn end(&mut self, by: By) {
        self.all &= !by;
        self.words.retain(|(of, _)| of & by == 0);
        self.stories.retain(|_, of| {
            *of &= !by;
            *of != 0
        });
        if self.is_idle() {
            *self = Self::default();
        }
    }

    /// Who follows a story.
    pub(super) fn by(&self, story: u64) -> By {
        match self.stories.is_empty() {
            true => 0,
            false => self.stories.get(&story).copied().unwrap_or(0),
        }
    }

    /// Who does not follow a story yet and should, for what stands in a message of it.
    pub(super) fn wanted(&self, story: u64, message: &[u8]) -> By {
        let words = self.words.iter();
        let found = words.filter(|(_, word)| word.is_in(message));
        let by = found.fold(self.all, |all, (by, _)| all | by);
        by & !self.by(story)
    }

    pub(super) fn add(&mut self, story: u64, by: By) {
        *self.stories.entry(story).or_default() |= by;
    }

    pub(super) fn forget(&mut self, story: u64) {
        if !self.stories.is_empty() {
            self.stories.remove(&story);
        }
    }

    /// The story of a call is followed.
    pub(super) fn follows(&mut self, by: By, call: CallId) {
        self.news.push(News::Follows { by, call });
    }

    /// Something for followers.
    pub(super) fn tell(&mut self, followed: Followed) {
        match &followed.what {
            Told::Seen(seen) if is_nowhere(seen) => self.held.push(followed),
            _ => self.news.push(News::Seen(followed)),
        }
    }

    /// A connection stories waited for is open, or never will be: what was said on it can be told.
    pub(super) fn opened(&mut self, stories: &[u64], flow: Option<Flow>) {
        let (ready, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|followed| stories.contains(&followed.story));
        self.held = held;
        for mut followed in ready {
            if let (Told::Seen(seen), Some(flow)) = (&mut followed.what, flow)
                && let What::Message(crossed) = &mut seen.what
                && crossed.transport == flow.transport
            {
                (crossed.local, crossed.remote) = (flow.local, flow.remote);
            }
            self.news.push(News::Seen(followed));
        }
    }

    /// What there is to tell since this was asked last.
    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

fn is_nowhere(seen: &Seen) -> bool {
    match &seen.what {
        What::Message(crossed) => crossed.remote.port() == 0,
        What::Fact { .. } => false,
    }
}

/// What an entry of the memory tells a follower.
pub(super) fn told(at: SystemTime, kind: Kind, text: &[u8]) -> Option<Told> {
    let words = || String::from_utf8_lossy(text).into_owned();
    let what = match kind {
        Kind::Message {
            inward,
            gap,
            transport,
            local,
            remote,
        } => What::Message(crossed((inward, gap), transport, (local, remote), text)),
        Kind::Fact(gap) => What::Fact { gap, text: words() },
        Kind::Leg(side) => return Some(Told::Leg(side, words())),
        Kind::Gone => return None,
    };
    Some(Told::Seen(Seen { at, what }))
}

fn crossed(
    (inward, gap): (bool, super::seen::Gap),
    transport: Transport,
    (local, remote): (SocketAddr, SocketAddr),
    text: &[u8],
) -> Crossed {
    Crossed {
        inward,
        gap,
        transport,
        local,
        remote,
        bytes: Bytes::copy_from_slice(text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

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

    fn trace() -> Trace {
        Trace::new(Bounds {
            per_call: 100,
            bytes: 1 << 20,
        })
    }

    #[test]
    fn a_number_is_followed_from_its_first_message_through_the_call_it_becomes() {
        let mut trace = trace();
        trace.follow(1, false, Some("+1 219 555 0714"));
        say(&mut trace, "INVITE sip:x SIP/2.0", "one");
        say(&mut trace, "OPTIONS sip:x SIP/2.0", "none");
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
        trace.follow(1, true, None);
        let flow = flow(Transport::Tcp);
        let bytes = message("INVITE sip:x SIP/2.0", "one");
        let tcp = Some(Transport::Tcp);
        trace.message(UNIX_EPOCH, false, (flow.id, None), tcp, &bytes);
        assert!(seen(&trace.news()).is_empty());
        trace.opened(flow);
        assert_eq!(seen(&trace.news())[0].2, "INVITE 10.0.0.20:5060");
    }
}
