//! The words and numbers of a trunk: rules compiled once, every objection with its remedy.

use b2bua::profile::PeerProfile;
use b2bua::rules::{HeaderRule, HeaderRules, NumberPlan, Rewriting, Show, Verb};
use b2bua::settings::{Identity, TrunkPolicy};
use toml::Spanned;

use super::Resolver;
use crate::config::{file, policy};

impl Resolver<'_, '_> {
    pub(super) fn policy(&mut self, written: &file::Trunk) -> TrunkPolicy {
        let (pbx, meta) = (&b2bua::profile::PBX, &whatsapp::profile::META);
        let (hours, outside) = self.hours(&written.hours);
        TrunkPolicy {
            hours,
            outside,
            dead_after: written.dead_after,
            alive_after: written.alive_after,
            to_pbx: self.header_rules(
                pbx,
                ("trunk.pass_to_pbx", &written.pass_to_pbx),
                ("trunk.to_pbx", &written.to_pbx),
            ),
            to_carrier: self.header_rules(
                meta,
                ("trunk.pass_to_meta", &written.pass_to_meta),
                ("trunk.to_meta", &written.to_meta),
            ),
            numbers: self.number_plan(&written.numbers),
            identity: self.identity(&written.identity),
        }
    }

    fn header_rules(
        &mut self,
        peer: &PeerProfile,
        (pass_key, pass): (&str, &[Spanned<String>]),
        (key, written): (&str, &[Spanned<policy::Rule>]),
    ) -> HeaderRules {
        let mut rules = HeaderRules::towards(peer);
        for name in pass {
            if let Err(wrong) = rules.pass(peer, name.get_ref()) {
                self.object(name.span(), pass_key, wrong.problem, wrong.remedy);
            }
        }
        for place in written {
            let Some(rule) = header_rule(place.get_ref()) else {
                self.object(
                    place.span(),
                    key,
                    "a rule has exactly one of add, set, remove, rename and copy",
                    "write { set = \"X-Customer\", value = \"${user}\" }, one verb a rule",
                );
                continue;
            };
            if let Err(wrong) = rules.push(peer, &rule) {
                self.object(place.span(), key, wrong.problem, wrong.remedy);
            }
        }
        rules
    }

    fn identity(&mut self, written: &Spanned<String>) -> Identity {
        match written.get_ref().as_str() {
            "from" => Identity::From,
            "asserted" => Identity::Asserted,
            other => {
                let problem = format!("`{other}` is no way to tell who calls");
                let remedy = "write \"from\", or \"asserted\" for a P-Asserted-Identity as well";
                self.object(written.span(), "trunk.identity", problem, remedy);
                Identity::From
            }
        }
    }

    fn number_plan(&mut self, written: &policy::Numbers) -> NumberPlan {
        for (key, place) in [
            ("trunk.numbers.country", &written.country),
            ("trunk.numbers.national_prefix", &written.national_prefix),
            (
                "trunk.numbers.international_prefix",
                &written.international_prefix,
            ),
        ] {
            let text = place.get_ref();
            if text.len() > 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
                self.object(
                    place.span(),
                    key,
                    format!("`{text}` is not made of digits"),
                    "write the digits alone, as in country = \"49\", national_prefix = \"0\"",
                );
            }
        }
        let show = match written.show.get_ref().as_str() {
            "plus" => Show::Plus,
            "digits" => Show::Digits,
            "international" => Show::International,
            "national" if !written.country.get_ref().is_empty() => Show::National,
            "national" => {
                self.object(
                    written.show.span(),
                    "trunk.numbers.show",
                    "without a country no number is national",
                    "add country = \"49\", or whatever the country code is",
                );
                Show::Plus
            }
            other => {
                let problem = format!("`{other}` is no form of a number");
                let remedy = "write \"plus\", \"digits\", \"international\" or \"national\"";
                self.object(written.show.span(), "trunk.numbers.show", problem, remedy);
                Show::Plus
            }
        };
        NumberPlan {
            country: written.country.get_ref().clone(),
            national: written.national_prefix.get_ref().clone(),
            international: written.international_prefix.get_ref().clone(),
            show,
            dialled: self.rewritings("trunk.numbers.dialled", &written.dialled),
            shown: self.rewritings("trunk.numbers.shown", &written.shown),
        }
    }

    fn rewritings(&mut self, key: &str, written: &[Spanned<policy::Rewriting>]) -> Vec<Rewriting> {
        let mut all = Vec::new();
        for place in written {
            let policy::Rewriting {
                prefix,
                matches,
                becomes,
            } = place.get_ref();
            let rewriting = match (prefix, matches) {
                (Some(prefix), None) => Rewriting::prefix(prefix, becomes),
                (None, Some(pattern)) => Rewriting::fits(pattern, becomes),
                _ => Err("it has either `prefix` or `match`".to_owned()),
            };
            match rewriting {
                Ok(rewriting) => all.push(rewriting),
                Err(problem) => self.object(
                    place.span(),
                    key,
                    problem,
                    "write { prefix = \"9\", becomes = \"\" } or \
                     { match = '^(\\d{10})$', becomes = \"+1${1}\" }",
                ),
            }
        }
        all
    }
}

/// The rule, if it has exactly one verb.
fn header_rule(written: &policy::Rule) -> Option<HeaderRule> {
    let policy::Rule {
        add,
        set,
        remove,
        rename,
        copy,
        to,
        value,
        matches,
    } = written;
    let verbs = [
        (Verb::Add, add),
        (Verb::Set, set),
        (Verb::Remove, remove),
        (Verb::Rename, rename),
        (Verb::Copy, copy),
    ];
    let mut named = verbs
        .into_iter()
        .filter_map(|(verb, header)| Some((verb, header.clone()?)));
    let (verb, header) = named.next()?;
    named.next().is_none().then_some(HeaderRule {
        verb,
        header,
        to: to.clone(),
        value: value.clone(),
        matches: matches.clone(),
    })
}
