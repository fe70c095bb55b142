//! Stories somebody follows: all that was seen of them goes on at once, and what is seen from now on as it
//! happens. Nobody follows usually; then this costs one look at an empty table.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use b2bua::CallId;
use bytes::Bytes;
use ipnet::IpNet;
use sdp::Side;
use sip::{Flow, Transport};

use super::reach::{Fit, Reach};
use super::ring::Kind;
use super::scan;
use super::seen::{Crossed, Seen, Wanted, What};

/// A set of followers: one bit each.
pub(crate) type By = u8;

/// Call-IDs outside calls that are followed at once.
const OUTSIDE: usize = 1024;

/// What somebody wants to follow from now on, beside the calls named by [`super::Trace::follow_call`].
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// Everything.
    pub(crate) all: bool,
    /// Stories in whose messages this stands.
    pub(crate) word: Option<String>,
    /// What is a trunk's before it is a call.
    pub(crate) trunk: Option<Reach>,
    /// Where PBXs that speak TLS are; over TLS everybody else is the carrier.
    pub(crate) secure: Vec<IpNet>,
}

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
    /// It never will be one: OPTIONS, REGISTER, a request for a call nobody knows.
    pub(crate) outside: bool,
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
    /// Follow what is a trunk's.
    trunks: Vec<(By, Reach)>,
    stories: HashMap<u64, By>,
    /// Stories outside calls, by the hash of their Call-ID, and in which order they began.
    outside: HashMap<u64, u64>,
    began: VecDeque<u64>,
    /// Where PBXs that speak TLS are.
    secure: Vec<IpNet>,
    news: Vec<News>,
    /// Said on connections that are still being opened: waits for their addresses.
    held: Vec<Followed>,
}

impl Following {
    /// Whether nobody follows anything.
    pub(super) fn is_idle(&self) -> bool {
        self.all == 0 && self.words.is_empty() && self.trunks.is_empty() && self.stories.is_empty()
    }

    /// Somebody follows stories that begin from now on.
    pub(super) fn begin(&mut self, by: By, follow: Follow) {
        let Follow {
            all,
            word,
            trunk,
            secure,
        } = follow;
        if all {
            self.all |= by;
        }
        self.words.extend(word.map(|word| (by, Wanted::of(&word))));
        self.trunks.extend(trunk.map(|trunk| (by, trunk)));
        self.secure = secure;
    }

    /// These no longer follow anything.
    pub(super) fn end(&mut self, by: By) {
        self.all &= !by;
        self.words.retain(|(of, _)| of & by == 0);
        self.trunks.retain(|(of, _)| of & by == 0);
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

    /// Who does not follow a story yet and should, for what stands in a message of it. A story that is no call
    /// yet is a trunk's if no other trunk can get it, or once we refused it.
    pub(super) fn wanted(
        &self,
        story: u64,
        is_call: bool,
        (inward, remote): (bool, Option<IpAddr>),
        message: &[u8],
    ) -> By {
        let mut by = self.named(message);
        if !is_call {
            let enough = match !inward && scan::is_refusal(message) {
                true => Fit::Maybe,
                false => Fit::Surely,
            };
            by |= self.of_trunks(enough, remote, message);
        }
        by & !self.by(story)
    }

    fn named(&self, message: &[u8]) -> By {
        let words = self.words.iter();
        let found = words.filter(|(_, word)| word.is_in(message));
        found.fold(self.all, |all, (by, _)| all | by)
    }

    fn of_trunks(&self, enough: Fit, remote: Option<IpAddr>, message: &[u8]) -> By {
        let trunks = self.trunks.iter();
        let fit = trunks.filter(|(_, trunk)| trunk.fits(remote, message) >= enough);
        fit.fold(0, |all, (by, _)| all | by)
    }

    /// The story of a message outside calls whose Call-ID has this hash, and who follows it; `next` is the
    /// number of one that begins. `None`: nobody does.
    pub(super) fn outside(
        &mut self,
        hash: u64,
        next: u64,
        remote: Option<IpAddr>,
        message: &[u8],
    ) -> Option<(u64, By)> {
        let known = self.outside.get(&hash).copied();
        let by = self.named(message) | self.of_trunks(Fit::Maybe, remote, message);
        let by = by | known.map_or(0, |story| self.by(story));
        if by == 0 {
            return None;
        }
        let story = known.unwrap_or(next);
        if known.is_none() {
            if self.began.len() >= OUTSIDE
                && let Some(oldest) = self.began.pop_front()
                && let Some(story) = self.outside.remove(&oldest)
            {
                self.stories.remove(&story);
            }
            self.outside.insert(hash, story);
            self.began.push_back(hash);
        }
        self.add(story, by);
        Some((story, by))
    }

    /// Whether a PBX that speaks TLS is there.
    pub(super) fn is_pbx(&self, remote: Option<IpAddr>) -> bool {
        remote.is_some_and(|remote| self.secure.iter().any(|network| network.contains(&remote)))
    }

    /// Stories that are followed.
    #[cfg(test)]
    pub(super) fn stories(&self) -> usize {
        self.stories.len()
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
        for count in 0..3 * OUTSIDE {
            say(&mut trace, "OPTIONS sip:x SIP/2.0", &format!("{count}"));
        }
        assert_eq!(trace.news().len(), 3 * OUTSIDE);
        assert_eq!(trace.followed(), OUTSIDE);
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
}
