//! What people do: the usual calls, and what the called side makes of them.

use std::time::Duration;

use super::{AGENT_TONE, NUMBER, USER, USER_TONE};
use crate::meta::knobs::{BusinessScript, Then, UserCall};
use crate::pbx::knobs::{AgentCall, PbxScript, PbxThen};

/// A WhatsApp user who calls the business and says a tone.
pub fn user() -> UserCall {
    let mut call = UserCall::new(USER, NUMBER);
    (call.talk.tone, call.talk.expect) = (Some(USER_TONE), Some(AGENT_TONE));
    call
}

/// An agent who calls the WhatsApp user and says a tone.
pub fn agent() -> AgentCall {
    let mut call = AgentCall::new(NUMBER, USER);
    (call.talk.tone, call.talk.expect) = (Some(AGENT_TONE), Some(USER_TONE));
    call
}

/// The agent picks up after so long, and says a tone.
pub fn agent_answers(after: Duration) -> PbxScript {
    let mut script = PbxScript {
        then: PbxThen::Answer(after),
        ..PbxScript::default()
    };
    (script.talk.tone, script.talk.expect) = (Some(AGENT_TONE), Some(USER_TONE));
    script
}

/// The PBX refuses after so long.
pub fn pbx_refuses(after: Duration, status: u16, reason: &str) -> PbxScript {
    PbxScript {
        then: PbxThen::Refuse(after, status, reason.into()),
        ..PbxScript::default()
    }
}

/// The PBX rings for ever.
pub fn nobody_answers() -> PbxScript {
    PbxScript {
        then: PbxThen::Never,
        ..PbxScript::default()
    }
}

/// The user picks up after so long, and says a tone.
pub fn user_answers(after: Duration) -> BusinessScript {
    let mut script = BusinessScript {
        then: Then::Answer(after),
        ..BusinessScript::default()
    };
    (script.talk.tone, script.talk.expect) = (Some(USER_TONE), Some(AGENT_TONE));
    script
}

/// Meta refuses after so long, past all its checks.
pub fn user_refuses(after: Duration, status: u16, reason: &str) -> BusinessScript {
    BusinessScript {
        then: Then::Refuse(after, status, reason.into()),
        ..BusinessScript::default()
    }
}

/// Meta refuses the INVITE itself: 403 and its kin.
pub fn meta_refuses(status: u16, reason: &str) -> BusinessScript {
    BusinessScript {
        refuse: Some((status, reason.into())),
        ..BusinessScript::default()
    }
}

impl UserCall {
    /// The user hangs up so long after the answer.
    #[must_use]
    pub fn hanging_up_after(mut self, after: Duration) -> Self {
        self.talk.hang_up_after = Some(after);
        self
    }

    /// The user gives up when unanswered so long.
    #[must_use]
    pub fn giving_up_after(mut self, after: Duration) -> Self {
        self.cancel_after = Some(after);
        self
    }

    /// The user presses digits so long after the answer.
    #[must_use]
    pub fn pressing(mut self, after: Duration, digits: &str) -> Self {
        (self.talk.digits_after, self.talk.digits) = (Some(after), digits.into());
        self
    }
}

impl AgentCall {
    /// The agent hangs up so long after the answer.
    #[must_use]
    pub fn hanging_up_after(mut self, after: Duration) -> Self {
        self.talk.hang_up_after = Some(after);
        self
    }

    /// The agent gives up when unanswered so long.
    #[must_use]
    pub fn giving_up_after(mut self, after: Duration) -> Self {
        self.cancel_after = Some(after);
        self
    }

    /// The agent presses digits so long after the answer.
    #[must_use]
    pub fn pressing(mut self, after: Duration, digits: &str) -> Self {
        (self.talk.digits_after, self.talk.digits) = (Some(after), digits.into());
        self
    }
}
