//! One call between the simulated Meta and a PBX played by SIPp, the real binary between them. However it goes, Meta finds
//! no fault and is asked for nothing beyond its five methods.

use std::time::Duration;

use serde_json::Value;

use crate::certificates::Authority;
use crate::place::Place;
use crate::sbc::{DOMAIN, HOST, PASSWORD, Sbc, Setup, USER};
use crate::simulated::{Simulated, meta_address, pbx_address, user_speaks};
use crate::sipp::{Sipp, agent_says, succeed};
use crate::tools::present;

const LIMIT: Duration = Duration::from_secs(30);

/// A call to be played.
pub struct Desk<'a> {
    /// Its name; the directory of the test is called so.
    pub story: &'a str,
    /// What the PBX does: a scenario in `tests/sipp/`.
    pub scenario: &'a str,
    /// The user calls, else the PBX.
    pub user_calls: bool,
    /// What Meta does: arguments of `wa-sbc sim meta`.
    pub meta: &'a [&'a str],
    /// What is particular about wa-sbc.
    pub change: fn(&mut Setup),
    /// A line of the log to wait for before anybody calls.
    pub first: Option<&'a str>,
    /// Calls of SIPp, by Call-ID.
    pub dialogs: u32,
    /// The password SIPp knows.
    pub password: &'a str,
}

/// How it went.
pub struct Outcome {
    /// Meta, and what it reported.
    pub meta: Simulated,
    /// The record of the call; none where nobody was called.
    pub record: Option<Value>,
}

impl Desk<'_> {
    /// A call to which nothing is particular.
    pub const PLAIN: Desk<'static> = Desk {
        story: "desk",
        scenario: "pbx_answers",
        user_calls: true,
        meta: &[],
        change: |_| {},
        first: None,
        dialogs: 1,
        password: PASSWORD,
    };

    /// Plays it; nothing where SIPp is not installed.
    ///
    /// # Panics
    /// When the scenario does not come to its end, or Meta objects to anything.
    pub fn play(&self) -> Option<Outcome> {
        if !present(self.story, &["sipp"]) {
            return None;
        }
        let place = Place::new(self.story);
        let authority = Authority::new(&place);
        let pbx = pbx_address(&place);
        agent_says(&place, 20.0);
        let sipp = Sipp::pbx(self.scenario, pbx)
            .calls(self.dialogs)
            .fill("HOST", HOST)
            .fill("DOMAIN", DOMAIN)
            .fill("PASSWORD", self.password);
        let mut setup = Setup::new(meta_address(&place), pbx);
        (self.change)(&mut setup);
        let speaks = user_speaks();
        let mut arguments: Vec<&str> = speaks.iter().map(String::as_str).collect();
        arguments.extend(self.meta);
        if !arguments.contains(&"--at-most") {
            arguments.extend(["--at-most", "25"]);
        }
        let (mut sbc, mut meta, mut sipp) = if self.user_calls {
            let sipp = sipp.answer(&place);
            let mut sbc = Sbc::start(&place, &authority, &setup);
            if let Some(first) = self.first {
                sbc.running.wait_for(first, LIMIT);
            }
            arguments.extend(["--calls", "1"]);
            let meta = Simulated::meta(&place, &authority, "meta", &arguments);
            (sbc, meta, sipp)
        } else {
            let sbc = Sbc::start(&place, &authority, &setup);
            arguments.extend(["--exit-after", "1"]);
            let meta = Simulated::meta(&place, &authority, "meta", &arguments);
            let uri = format!("{USER}@{}", sbc.sip);
            let sipp = sipp.with(&["-auth_uri", &uri]);
            let sipp = sipp.call(&place, USER, sbc.sip);
            (sbc, meta, sipp)
        };
        succeed(&place, "pbx", &mut sipp, LIMIT);
        // Ends with status 0 only if no rule was broken and nothing forbidden was asked.
        meta.succeed(LIMIT);
        asked_nothing_forbidden(&meta);
        let called = !meta.events("ended").is_empty();
        let record = called.then(|| sbc.wait_for_records(1, LIMIT).remove(0));
        Some(Outcome { meta, record })
    }
}

impl Outcome {
    /// The record of the call.
    ///
    /// # Panics
    /// When there was none.
    pub fn record(&self) -> &Value {
        self.record.as_ref().expect("Meta was in a call")
    }
}

/// Asserts that the user heard the agent: one stream, nothing lost, no gap. SIPp plays a file as it is, so its level is not
/// judged.
///
/// # Panics
/// When she did not.
pub fn heard_the_agent(meta: &Simulated) {
    let heard = meta.events("heard").remove(0);
    assert_eq!(
        (&heard["ssrcs"], &heard["lost"], &heard["bad"]),
        (&Value::from(1), &Value::from(0), &Value::from(0)),
        "{heard}"
    );
    assert!(heard["tone_found"] == true, "{heard}");
}

/// Asserts that Meta saw no rule broken, and not one request outside INVITE, ACK, BYE, CANCEL and OPTIONS, nor an INVITE in a
/// dialog.
///
/// # Panics
/// When it did.
pub fn asked_nothing_forbidden(meta: &Simulated) {
    let summary = meta.events("summary");
    assert_eq!(
        (&summary[0]["violations"], &summary[0]["forbidden"]),
        (&Value::from(0), &Value::from(0)),
        "{summary:?}"
    );
}
