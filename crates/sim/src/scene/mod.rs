//! The small language of scenes: a usual world, usual calls, and questions about how it went.
//!
//! ```
//! use std::time::Duration;
//! use sim::scene::{secs, silent_world, user};
//!
//! let mut world = silent_world();
//! world.user_calls(user().hanging_up_after(secs(10)));
//! let story = world.story(secs(60));
//! assert_eq!(story.record().cause.label(), "normal");
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use b2bua::profile::PBX;
use b2bua::settings::{
    AdmissionPolicy, Carrier, MetadataPass, Number, NumberLimits, Trunk, TrunkPolicy,
};
use b2bua::{E164, Record, Settings};
use sdp::{Codec, Suite};
use sip::{Secret, Target, TimerSettings, Transport};

use crate::meta::knobs::{
    BusinessNumber, BusinessScript, MediaPlace, MetaSettings, Then, UserCall,
};
use crate::net::Link;
use crate::pbx::knobs::{AgentCall, PbxScript, PbxSettings, PbxThen};
use crate::report::{Ended, Heard, What};
use crate::world::{Beginning, Party, Passed, Places, World};

/// The business number of every usual scene.
pub const NUMBER: &str = "+17125550259";
/// The WhatsApp user.
pub const USER: &str = "+12195550714";
/// The SIP server configured for the number.
pub const HOST: &str = "meta-voip.example.com";
/// Its SIP password.
pub const PASSWORD: &str = "9fT3kWq7ZsL2xVb8Rm4N";
/// What the user says, Hz.
pub const USER_TONE: f64 = 1_000.0;
/// What the agent says, Hz.
pub const AGENT_TONE: f64 = 400.0;

/// Seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The usual beginning: one number, one trunk over UDP, Opus toward Meta, A-law toward the PBX,
/// 20 ms to Meta, 1 ms to the PBX, audio on.
pub fn beginning() -> Beginning {
    let address = |ip: [u8; 4]| IpAddr::from(ip);
    let pbx_sip = SocketAddr::new(address([10, 0, 0, 20]), 5060);
    let sbc_private = SocketAddr::new(address([10, 0, 0, 5]), 5060);
    let place = |ip, first_port| MediaPlace {
        address: address(ip),
        first_port,
        ports: 10_000,
        silent: false,
    };
    Beginning {
        settings: settings(),
        meta: MetaSettings {
            numbers: vec![BusinessNumber::new(NUMBER, HOST, 5061, PASSWORD)],
            media: place([157, 240, 19, 130], 3480),
            ..MetaSettings::default()
        },
        pbx: PbxSettings {
            media: place([10, 0, 0, 20], 40_000),
            codecs: vec![Codec::Pcma, Codec::TelephoneEvent],
            ..PbxSettings::new(pbx_sip, sbc_private)
        },
        meta_link: Link::default(),
        pbx_link: Link::after(ms(1)),
        places: Places::default(),
        audio: true,
        seed: 1,
    }
}

/// The settings of the core in the usual beginning.
pub fn settings() -> Settings {
    let target = |transport, host: &str, port| Target {
        transport,
        host: host.into(),
        port,
        from: None,
        at: None,
    };
    let number = Number {
        e164: E164::parse(NUMBER).unwrap_or_else(|| unreachable!("{NUMBER} is a number")),
        host: HOST.into(),
        port: 5061,
        domain: HOST.into(),
        realm: HOST.into(),
        username: NUMBER.trim_start_matches('+').into(),
        password: Some(Secret::new(PASSWORD.to_owned())),
        challenge: true,
        plus: true,
        trunk: "office".into(),
        routes: Vec::new(),
        codecs: vec![Codec::Opus, Codec::TelephoneEvent],
        suites: vec![Suite::AesCm128HmacSha1_80],
        no_answer: secs(25),
        ring_limit: secs(60),
        limits: NumberLimits::default(),
    };
    let trunk = Trunk {
        transports: Vec::new(),
        backups: Vec::new(),
        ping: None,
        name: "office".into(),
        profile: Arc::new(PBX),
        target: target(Transport::Udp, "10.0.0.20", 5060),
        domain: "10.0.0.20".into(),
        sent_by: "10.0.0.5:5060".into(),
        networks: "10.0.0.20/32".parse().into_iter().collect(),
        codecs: vec![Codec::Pcma, Codec::TelephoneEvent],
        ptime: 20,
        media: Default::default(),
        max_calls: 1_000,
        pstn: false,
        access: Default::default(),
        comfort: Default::default(),
        policy: TrunkPolicy::default(),
    };
    Settings {
        node: 1,
        carrier: Carrier {
            profile: Arc::new(whatsapp::META),
            domain: "wa.meta.vc".into(),
            target: target(Transport::Tls, "wa.meta.vc", 5061),
            networks: Vec::new(),
            ptime: 20,
            rtcp_mux: true,
        },
        numbers: vec![Arc::new(number)],
        trunks: vec![Arc::new(trunk)],
        groups: Vec::new(),
        aliases: None,
        timers: TimerSettings::default(),
        nonce_ttl: secs(60),
        max_calls: 1_000,
        admission: AdmissionPolicy::default(),
        registrar: Default::default(),
        metadata: MetadataPass {
            enabled: true,
            prefix: "X-WA-".into(),
            reference: "X-WA-Call-Id".into(),
        },
        product: "wa-sbc".into(),
    }
}

/// The usual world with audio.
pub fn world() -> World {
    World::new(beginning())
}

/// The usual world, signalling only.
pub fn silent_world() -> World {
    World::new(Beginning {
        audio: false,
        ..beginning()
    })
}

/// The usual world with something changed.
pub fn world_with(change: impl FnOnce(&mut Beginning)) -> World {
    let mut beginning = beginning();
    change(&mut beginning);
    World::new(beginning)
}

/// The usual world, signalling only, with something changed.
pub fn silent_world_with(change: impl FnOnce(&mut Beginning)) -> World {
    world_with(|beginning| {
        beginning.audio = false;
        change(beginning);
    })
}

/// Changes the one number of the usual settings.
pub fn with_number(settings: &mut Settings, change: impl FnOnce(&mut Number)) {
    if let Some(number) = settings.numbers.first_mut() {
        change(Arc::make_mut(number));
    }
}

/// Changes the one trunk of the usual settings.
pub fn with_trunk(settings: &mut Settings, change: impl FnOnce(&mut Trunk)) {
    if let Some(trunk) = settings.trunks.first_mut() {
        change(Arc::make_mut(trunk));
    }
}

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

/// A message with its Content-Length made right again after its body was changed on the way.
pub fn refitted(text: &str) -> String {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return text.to_owned();
    };
    let lines: Vec<String> = head
        .split("\r\n")
        .map(|line| match line.split_once(':') {
            Some((name, _)) if name.trim().eq_ignore_ascii_case("content-length") => {
                format!("{name}: {}", body.len())
            }
            _ => line.to_owned(),
        })
        .collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
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

impl World {
    /// Lets the calls end and looks at what is left: nothing, or this panics with the ladder.
    pub fn story(&mut self, limit: Duration) -> Story<'_> {
        let quiet = self.until_quiet(limit);
        assert!(
            quiet,
            "after {limit:?} something is left: core idle {}, calls {}, ports {}, Meta {:?}, PBX {:?}\n{}",
            self.core.is_idle(),
            self.core.calls(),
            self.ports_in_use(),
            self.meta.calls().collect::<Vec<_>>(),
            self.pbx.calls().collect::<Vec<_>>(),
            self.ladder(),
        );
        self.check_the_end();
        Story { world: self }
    }

    /// What holds when every call is over, whatever happened before: one record per admitted INVITE,
    /// no port leased, nothing forbidden asked of Meta, no bug of ours.
    fn check_the_end(&self) {
        let counters = self.core.counters();
        let admitted = usize::try_from(counters.admitted).unwrap_or(usize::MAX);
        assert_eq!(
            self.records.len(),
            admitted,
            "one record per admitted INVITE\n{}",
            self.ladder()
        );
        assert_eq!(self.ports_in_use(), 0, "ports are still leased");
        assert_eq!(counters.bugs, 0, "bugs of ours\n{}", self.ladder());
        assert_eq!(
            self.meta.counts().forbidden,
            0,
            "Meta was asked what nobody may ask it\n{}",
            self.ladder()
        );
    }
}

/// A world whose calls are over, and questions about them.
#[derive(Debug)]
pub struct Story<'a> {
    world: &'a World,
}

impl Story<'_> {
    /// The record of the only call.
    pub fn record(&self) -> &Record {
        match &self.world.records[..] {
            [record] => record,
            records => panic!(
                "{} records instead of one\n{}",
                records.len(),
                self.world.ladder()
            ),
        }
    }

    /// Nobody broke a rule, and nothing forbidden was sent.
    pub fn is_clean(&self) -> &Self {
        let broken = self.broken();
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.world.ladder());
        self
    }

    /// The rules that were broken, in words.
    pub fn broken(&self) -> Vec<String> {
        self.world
            .reports
            .iter()
            .filter_map(|report| match &report.what {
                What::Violation { rule } => {
                    Some(format!("{} {}: {rule}", report.peer, report.call))
                }
                What::Forbidden { method } => Some(format!(
                    "{} {}: forbidden {method}",
                    report.peer, report.call
                )),
                _ => None,
            })
            .collect()
    }

    /// What a peer said last about its only call.
    pub fn ended(&self, party: Party) -> &Ended {
        self.one(party, "end", |what| match what {
            What::Ended(ended) => Some(ended),
            _ => None,
        })
    }

    /// What a peer heard in its only call.
    pub fn heard(&self, party: Party) -> &Heard {
        self.one(party, "verdict on audio", |what| match what {
            What::Heard(heard) => Some(heard),
            _ => None,
        })
    }

    /// Status and reason with which a peer's only call was refused.
    pub fn refused(&self, party: Party) -> (u16, &str) {
        self.one(party, "refusal", |what| match what {
            What::Refused { status, reason, .. } => Some((*status, reason.as_str())),
            _ => None,
        })
    }

    /// Everything of one kind a peer told.
    pub fn all<'s, T: 's>(
        &'s self,
        party: Party,
        pick: impl Fn(&'s What) -> Option<T> + 's,
    ) -> Vec<T> {
        let name = if party == Party::Meta { "meta" } else { "pbx" };
        self.world
            .reports
            .iter()
            .filter(|r| r.peer == name)
            .filter_map(|r| pick(&r.what))
            .collect()
    }

    /// The digits a peer heard.
    pub fn digits(&self, party: Party) -> String {
        let digits = self.all(party, |what| match what {
            What::Digit { digit, .. } => Some(*digit),
            _ => None,
        });
        digits.into_iter().collect()
    }

    /// Messages of one kind: those whose start line begins so, from one party to another.
    pub fn messages(&self, from: Party, to: Party, start: &str) -> Vec<&Passed> {
        self.world.messages(from, to, start)
    }

    /// Both ends heard the other's tone: within 3 dB, no hole above 40 ms.
    pub fn both_heard_each_other(&self) -> &Self {
        for party in [Party::Meta, Party::Pbx] {
            let heard = self.heard(party);
            let well =
                heard.tone_found && heard.tone_gaps == 0 && heard.level_error_db.abs() <= 3.0;
            assert!(well, "{party:?} {heard:#?}\n{}", self.world.ladder());
        }
        self
    }

    fn one<'s, T: 's>(
        &'s self,
        party: Party,
        kind: &str,
        pick: impl Fn(&'s What) -> Option<T> + 's,
    ) -> T {
        let mut all = self.all(party, pick);
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => one,
            (last, _) => {
                let count = all.len() + usize::from(last.is_some());
                panic!(
                    "{party:?} told {count} times of an {kind}\n{}",
                    self.world.ladder()
                )
            }
        }
    }
}

impl World {
    /// Messages whose start line begins so, from one party to another.
    pub fn messages(&self, from: Party, to: Party, start: &str) -> Vec<&Passed> {
        self.passed
            .iter()
            .filter(|p| p.from == from && p.to == to && p.text.starts_with(start))
            .collect()
    }
}

impl Passed {
    /// The value of a header, its first line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    /// All values of a header, one per line.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.text
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .lines()
            .skip(1)
            .filter_map(|line| {
                let (n, value) = line.split_once(':')?;
                n.trim().eq_ignore_ascii_case(name).then_some(value.trim())
            })
            .collect()
    }

    /// The body.
    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }
}
