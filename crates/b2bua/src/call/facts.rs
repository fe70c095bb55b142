//! What a call tells about itself while it runs.

use sdp::plan::Gain;

use super::{Call, State};
use crate::admission::burden;
use crate::call_id::CallId;
use crate::context::Context;
use crate::event::{CallEvent, Facts, Happened};
use crate::io::Output;
use crate::leg::sip::SipLeg;
use crate::operator::Running;
use crate::record::Direction;
use crate::stream::Stream;

impl Call {
    /// For the operator's list.
    pub(crate) fn running(&self, id: CallId) -> Running {
        Running {
            facts: self.facts(id),
            phase: match self.state {
                State::Preparing { .. } => "preparing",
                State::Dialing { .. } | State::Pausing { .. } => "dialing",
                State::Ringing => "ringing",
                State::Answering => "answering",
                State::Talking => "talking",
                State::Releasing { .. } | State::Ended => "releasing",
            },
        }
    }

    pub(super) fn say(&self, cx: &mut Context<'_>, happened: Happened) {
        let facts = self.facts(cx.call);
        cx.out
            .push_back(Output::Event(Box::new(CallEvent { facts, happened })));
    }

    pub(super) fn facts(&self, id: CallId) -> Facts {
        let call_id = |leg: &SipLeg| leg.call_id().as_str().into_owned();
        let (a, b) = (Some(call_id(&self.a)), self.b.as_ref().map(call_id));
        let (carrier_call_id, pbx_call_id) = match self.direction {
            Direction::UserInitiated => (a, b),
            Direction::BusinessInitiated => (b, a),
        };
        Facts {
            id,
            direction: self.direction,
            reference: self.draft.metadata.reference().map(str::to_owned),
            carrier_call_id,
            pbx_call_id,
            number: self.number.e164.clone(),
            user: self.user.clone(),
            trunk: self.trunk.name.clone(),
            started: self.draft.started,
            ringing: self.draft.ringing,
            answered: self.draft.answered_at(),
        }
    }

    /// What the call weighs for its media thread: by what was agreed on, else by what probably will be.
    pub(crate) fn weight(&self) -> usize {
        let decoded = match [&self.streams[0], &self.streams[1]].map(Stream::agreed) {
            [Some(a), Some(b)] => {
                a.audio.codec != b.audio.codec
                    || self.trunk.media.gain != Gain::default()
                    || self.recut.contains(&true)
            }
            _ => burden::is_decoded(self.direction, &self.number, &self.trunk),
        };
        burden::of(decoded)
    }

    /// Whether the user and the PBX, or our own announcement, talk.
    pub(crate) fn is_answered(&self) -> bool {
        self.draft.answered_at().is_some()
    }
}
