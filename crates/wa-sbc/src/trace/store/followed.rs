//! Stories that somebody follows while they happen.

use b2bua::CallId;
use sdp::Side;

use super::super::follow::{By, Follow, Followed, News, Told as Tells, told};
use super::Trace;

impl Trace {
    /// Somebody follows stories from now on, beside those named by [`Trace::follow_call`].
    pub(crate) fn follow(&mut self, by: By, follow: Follow) {
        self.following.begin(by, follow);
    }

    /// Stories that are followed.
    #[cfg(test)]
    pub(in crate::trace) fn followed(&self) -> usize {
        self.following.stories()
    }

    /// Somebody follows the story of a call: all that is remembered of it is told, and what comes.
    pub(crate) fn follow_call(&mut self, call: CallId, by: By) {
        if let Some(&story) = self.by_call.get(&call) {
            self.follow_story(story, by & !self.following.by(story));
        }
    }

    /// These no longer follow anything.
    pub(crate) fn unfollow(&mut self, by: By) {
        self.following.end(by);
    }

    /// Who follows a call, and the side its carrier is on.
    pub(crate) fn followers(&self, call: CallId) -> Option<(By, Side)> {
        let story = self.by_call.get(&call)?;
        let by = self.following.by(*story);
        let carrier = self.stories.get(story)?.carrier?;
        (by != 0).then_some((by, carrier))
    }

    /// What followers are to be told since this was asked last.
    pub(crate) fn news(&mut self) -> Vec<News> {
        match self.following.is_idle() {
            true => Vec::new(),
            false => self.following.news(),
        }
    }

    pub(super) fn follow_story(&mut self, story: u64, by: By) {
        let Some(known) = self.stories.get(&story).filter(|_| by != 0) else {
            return;
        };
        let (call, carrier) = (known.call, known.carrier);
        let ring = &self.rings[known.pool()];
        let mut past: Vec<Tells> = carrier.map(Tells::Carrier).into_iter().collect();
        let entries = self.entries(known);
        past.extend(entries.filter_map(|(at, head)| told(head.at, head.kind, ring.text(at))));
        self.following.add(story, by);
        for what in past {
            self.following.tell(Followed {
                by,
                story,
                call,
                outside: false,
                what,
            });
        }
        if let Some(call) = call {
            self.following.follows(by, call);
        }
    }

    /// Tells whoever follows the story.
    pub(super) fn tell(&mut self, story: u64, what: Tells) {
        let by = self.following.by(story);
        if by != 0 {
            let call = self.stories.get(&story).and_then(|told| told.call);
            self.following.tell(Followed {
                by,
                story,
                call,
                outside: false,
                what,
            });
        }
    }

    /// A message outside calls: told, and remembered by nobody here.
    pub(super) fn tell_outside(&mut self, by: By, story: u64, what: Option<Tells>) {
        if let Some(what) = what {
            self.following.tell(Followed {
                by,
                story,
                call: None,
                outside: true,
                what,
            });
        }
    }
}
