//! `[[number]]`: the business numbers.

use std::collections::HashSet;
use std::time::Duration;

use b2bua::settings::NumberLimits;
use b2bua::{E164, settings};
use sdp::Suite;
use sip::Secret;
use toml::Spanned;
use whatsapp::domain::DomainMismatch;

use super::Resolver;
use crate::config::file;

/// Meta's users see "not answered" after 30 s at the earliest (Meta reference 6).
const ANSWER_WINDOW: u64 = 30;

impl Resolver<'_, '_> {
    pub(super) fn numbers(&mut self) -> Vec<settings::Number> {
        let mut seen = HashSet::new();
        let mut numbers = Vec::new();
        let known = self.destinations().into_iter().map(str::to_owned).collect();
        let lists = self.lists;
        let written = self.file.number.iter().map(|number| (0, number));
        let listed = lists.iter().enumerate().flat_map(|(index, list)| {
            let numbers = list.numbers.iter();
            numbers.map(move |number| (index + 1, number))
        });
        for (turn, written) in written.chain(listed) {
            if let Some(list) = turn.checked_sub(1).map(|index| &lists[index]) {
                self.critic.turn_to(turn, &list.path, &list.text);
            }
            let number = self.number(written.get_ref(), &known);
            if !seen.insert(number.e164.clone()) {
                let span = written.get_ref().e164.span();
                self.object(
                    span,
                    "number.e164",
                    "this number is written twice",
                    "remove one of the two tables",
                );
            }
            numbers.push(number);
        }
        self.critic.turn_back();
        if numbers.is_empty() {
            self.object(
                0..0,
                "number",
                "there is no business number",
                "add a [[number]] table with e164, password and trunk",
            );
        }
        numbers
    }

    fn number(&mut self, written: &file::Number, known: &HashSet<String>) -> settings::Number {
        let sip = &self.file.sip;
        let text = written.e164.get_ref();
        let e164 = E164::parse(text)
            .filter(|_| text.starts_with('+'))
            .unwrap_or_else(|| {
                self.object(
                    written.e164.span(),
                    "number.e164",
                    format!("`{text}` is no number in E.164 form"),
                    "write + and the digits with the country code, as in \"+17125550259\"",
                );
                E164::parse("+00000").expect("five digits are a number")
            });
        let host = written
            .host
            .clone()
            .unwrap_or_else(|| sip.host.get_ref().clone());
        let domain = written
            .domain
            .as_ref()
            .map_or_else(|| host.clone(), |domain| domain.get_ref().clone());
        if let Some(place) = &written.domain
            && let Err(mismatch) = whatsapp::domain::check(&host, &domain)
        {
            let why = match mismatch {
                DomainMismatch::Unrelated => {
                    format!("{domain} is neither {host} nor a parent domain of it")
                }
                other => other.to_string(),
            };
            self.object(
                place.span(),
                "number.domain",
                format!("{why}: Meta answers 403 to such a From"),
                format!("write {host} or a parent domain of it, or set `host` to the name Meta has for the number"),
            );
        }
        if !known.contains(written.trunk.get_ref()) {
            self.destination(
                written.trunk.span(),
                "number.trunk",
                written.trunk.get_ref(),
            );
        }
        match written.keying.get_ref().as_str() {
            "sdes" => {}
            "dtls" => self.object(
                written.keying.span(),
                "number.keying",
                "DTLS-SRTP is not carried yet",
                "write \"sdes\", and set srtp_key_exchange_protocol to SDES in Meta's settings of the number",
            ),
            other => self.object(
                written.keying.span(),
                "number.keying",
                format!("`{other}` is no way to exchange keys"),
                "write \"sdes\"",
            ),
        }
        if *written.no_answer.get_ref() >= ANSWER_WINDOW {
            self.object(
                written.no_answer.span(),
                "number.no_answer",
                format!("after {ANSWER_WINDOW} s Meta may already have given up on the caller"),
                "write 25 or less, and let the PBX answer with an announcement before",
            );
        }
        settings::Number {
            password: self.password(written),
            username: written
                .username
                .clone()
                .unwrap_or_else(|| e164.digits().to_owned()),
            e164,
            domain,
            realm: written
                .realm
                .clone()
                .or_else(|| sip.realm.clone())
                .unwrap_or_else(|| host.clone()),
            host,
            port: sip.tls.as_ref().map_or(0, |tls| {
                let tls = tls.get_ref();
                tls.public_port.unwrap_or(tls.listen.port())
            }),
            challenge: written.challenge,
            plus: written.plus,
            trunk: written.trunk.get_ref().as_str().into(),
            routes: self.routes(&written.routes, known),
            codecs: self.codecs("number.codecs", &written.codecs),
            suites: self.suites("number.suites", &written.suites),
            no_answer: Duration::from_secs(*written.no_answer.get_ref()),
            ring_limit: Duration::from_secs(written.ring_limit),
            limits: NumberLimits {
                calls: written.max_calls,
                calls_per_user: written.calls_per_user,
                initiated_per_day: written.initiated_per_day,
                connected_per_user_and_day: written.connected_per_user_and_day,
            },
        }
    }

    fn password(&mut self, written: &file::Number) -> Option<Secret<String>> {
        let remedy = "write password = { env = \"NAME\" } or { file = \"/run/secrets/name\" }; \
                      Meta shows it with GET …/settings?include_sip_credentials=true";
        let Some(source) = &written.password else {
            self.object(
                written.e164.span(),
                "number.password",
                "there is no password, so Meta refuses our calls and we cannot verify Meta's",
                remedy,
            );
            return None;
        };
        match source.get_ref().fetch(self.environment) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                self.object(
                    source.span(),
                    "number.password",
                    problem,
                    "set it to the SIP password Meta made for the number",
                );
                None
            }
        }
    }

    pub(super) fn suites(&mut self, key: &str, written: &Spanned<Vec<String>>) -> Vec<Suite> {
        let mut suites = Vec::new();
        for name in written.get_ref() {
            match Suite::from_name(name) {
                Some(suite) => suites.push(suite),
                None => {
                    let problem = format!("`{name}` is no SRTP suite of ours");
                    let remedy =
                        "use AES_CM_128_HMAC_SHA1_80 or _32, AEAD_AES_128_GCM or AEAD_AES_256_GCM";
                    self.object(written.span(), key, problem, remedy);
                }
            }
        }
        if written.get_ref().is_empty() {
            self.object(
                written.span(),
                key,
                "there is no suite",
                "leave the key out for the default",
            );
        }
        suites
    }
}
