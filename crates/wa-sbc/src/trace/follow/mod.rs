//! Stories somebody follows: all that was seen of them goes on at once, and what is seen from now on as it
//! happens. Nobody follows usually; then this costs one look at an empty table.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use b2bua::CallId;
use bytes::Bytes;
use ipnet::IpNet;
use sdp::Side;
use sip::{Flow, Transport};

use super::outside::Outside;
use super::reach::{Fit, Reach};
use super::ring::Kind;
use super::scan;
use super::seen::{Crossed, Seen, Wanted, What};

/// A set of followers: one bit each.
pub(crate) type By = u8;

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
    outside: Outside,
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
        let known = self.outside.story(hash);
        let by = self.named(message) | self.of_trunks(Fit::Maybe, remote, message);
        let by = by | known.map_or(0, |story| self.by(story));
        if by == 0 {
            return None;
        }
        let story = known.unwrap_or(next);
        if known.is_none()
            && let Some(forgotten) = self.outside.begin(hash, story)
        {
            self.stories.remove(&forgotten);
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
mod tests;
