//! The compiled rules at work: what the INVITE of a leg B says, and what it hides.
//!
//! The order is: what the core wrote, what the allow-list lets pass, the rules one after the other.

use sip::{Headers, Name, NameAddr, Text};

use super::compile::{HeaderRules, Rule};
use super::names::{Names, is_of_sip};
use super::pattern::Pattern;
use super::template::Facts;

/// The most bytes of a value that passes.
const LONGEST: usize = 1_024;
/// The most lines that pass or are added.
const MOST: usize = 48;

impl HeaderRules {
    /// Changes the headers of an INVITE: From and To without their tags, and whatever else is said.
    pub(crate) fn apply(&self, headers: &mut Headers, facts: &Facts<'_>) {
        self.let_pass(headers, facts.caller);
        for rule in &self.rules {
            self.run(rule, headers, facts);
        }
    }

    fn let_pass(&self, headers: &mut Headers, caller: &Headers) {
        for (name, value) in caller.iter() {
            let passes = self.pass.iter().any(|names| names.fit(name));
            if passes && !is_of_sip(name) && value.len() <= LONGEST && headers.len() < MOST {
                headers.push(name.clone(), value.detached());
            }
        }
    }

    fn run(&self, rule: &Rule, headers: &mut Headers, facts: &Facts<'_>) {
        match rule {
            Rule::Add(name, value) => {
                let text = match is_address(name) {
                    true => value.address(facts, None),
                    false => value.text(facts, None),
                };
                push(headers, name, text);
            }
            Rule::Set(name, matches, value) => {
                let written = |found: Option<&regex::Captures<'_>>| match is_address(name) {
                    true => value.address(facts, found),
                    false => value.text(facts, found),
                };
                match matches {
                    None => self.set(headers, name, written(None)),
                    Some(pattern) => {
                        let old: Vec<String> = lines(headers, name).collect();
                        let found = old.iter().find_map(|line| pattern.captures(line));
                        if let Some(found) = found {
                            self.set(headers, name, written(Some(&found)));
                        }
                    }
                }
            }
            Rule::Remove(names, matches) => {
                retain(headers, |name, value| {
                    !(names.fit(name) && fits(matches.as_ref(), value)) || is_own(name)
                });
            }
            Rule::Rename(from, to, matches) => {
                let moved: Vec<Text> = headers
                    .all(from)
                    .filter(|value| fits(matches.as_ref(), value))
                    .cloned()
                    .collect();
                let names = Names::One(from.clone());
                retain(headers, |name, value| {
                    !(names.fit(name) && fits(matches.as_ref(), value))
                });
                for value in moved {
                    headers.push(to.clone(), value);
                }
            }
            Rule::Copy(from, to, matches, value) => {
                for line in lines(facts.caller, from) {
                    let found = matches.as_ref().map(|pattern| pattern.captures(&line));
                    let text = match (&found, value) {
                        (Some(None), _) => continue,
                        (_, None) => line.clone(),
                        (found, Some(value)) => {
                            let found = found.as_ref().and_then(Option::as_ref);
                            match is_address(to) {
                                true => value.address(facts, found),
                                false => value.text(facts, found),
                            }
                        }
                    };
                    if text.len() <= LONGEST {
                        push(headers, to, text);
                    }
                }
            }
        }
    }

    /// From and To change only into addresses, and From only at the host the peer insists on.
    fn set(&self, headers: &mut Headers, name: &Name, text: String) {
        if is_own(name) {
            let Some(address) = NameAddr::read(&Text::from(text.as_str())) else {
                return;
            };
            let host = |text: &Text| NameAddr::read(text).map(|old| old.uri.host().to_owned());
            let old = headers.first(name).and_then(host);
            let law = self.from_host_fixed && *name == Name::From;
            if address.tag().is_some() || (law && old.as_deref() != Some(address.uri.host())) {
                return;
            }
        }
        if text.is_empty() {
            return;
        }
        headers.set(name.clone(), text);
    }
}

/// Headers whose value is an address: variables in them are escaped.
fn is_address(name: &Name) -> bool {
    matches!(
        name,
        Name::From
            | Name::To
            | Name::PAssertedIdentity
            | Name::PPreferredIdentity
            | Name::RemotePartyId
            | Name::Diversion
            | Name::HistoryInfo
            | Name::ReferredBy
            | Name::ReplyTo
    )
}

fn is_own(name: &Name) -> bool {
    matches!(name, Name::From | Name::To)
}

fn fits(pattern: Option<&Pattern>, value: &Text) -> bool {
    pattern.is_none_or(|pattern| pattern.captures(&value.as_str()).is_some())
}

fn lines<'a>(headers: &'a Headers, name: &'a Name) -> impl Iterator<Item = String> + 'a {
    headers.all(name).map(|value| value.as_str().into_owned())
}

fn push(headers: &mut Headers, name: &Name, text: String) {
    if !text.is_empty() && headers.len() < MOST {
        headers.push(name.clone(), text);
    }
}

fn retain(headers: &mut Headers, keeps: impl Fn(&Name, &Text) -> bool) {
    let mut kept = Headers::new();
    for (name, value) in headers.iter().filter(|(name, value)| keeps(name, value)) {
        kept.push(name.clone(), value.clone());
    }
    *headers = kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{PBX, PeerProfile};
    use crate::rules::{HeaderRule, Verb};

    const STRICT: PeerProfile = PeerProfile {
        fixed_headers: &["To"],
        from_host_fixed: true,
        ..PBX
    };

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(Name::from(*name), *value);
        }
        headers
    }

    /// `verb header [to=…] [match=…] [value=…]`, as in a configuration.
    fn rule(text: &str) -> HeaderRule {
        let part = |key: &str| {
            let (_, behind) = text.split_once(&format!(" {key}="))?;
            let end = ["to", "match", "value"]
                .iter()
                .filter_map(|key| behind.find(&format!(" {key}=")))
                .min();
            Some(behind[..end.unwrap_or(behind.len())].to_owned())
        };
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or_default();
        HeaderRule {
            verb: *Verb::ALL.iter().find(|v| v.word() == verb).expect("a verb"),
            header: words.next().unwrap_or_default().to_owned(),
            to: part("to"),
            value: part("value"),
            matches: part("match"),
        }
    }

    fn applied(peer: &PeerProfile, pass: &[&str], rules: &[&str]) -> Vec<String> {
        let mut compiled = HeaderRules::towards(peer);
        for name in pass {
            compiled.pass(peer, name).expect("it may pass");
        }
        for text in rules {
            compiled
                .push(peer, &rule(text))
                .unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        }
        let caller = headers(&[
            ("From", "\"Eve\" <sip:evil@elsewhere>;tag=9"),
            ("Call-ID", "secret@pbx"),
            ("Diversion", "<sip:100@10.0.0.20>;reason=no-answer"),
            ("X-Campaign", "spring-2026"),
            ("X-Campaign", "none"),
            ("X-Agent", "Ann"),
        ]);
        let facts = Facts {
            user: "+12195550714",
            number: "+17125550259",
            display: "Ann \"B\"",
            domain: "sbc.example.com",
            trunk: "office",
            reference: "abc",
            caller: &caller,
        };
        let mut said = headers(&[
            ("From", "<sip:+17125550259@sbc.example.com>"),
            ("To", "<sip:+12195550714@far.example>"),
            ("User-Agent", "wa-sbc"),
            ("X-WA-Country", "US"),
        ]);
        compiled.apply(&mut said, &facts);
        said.iter()
            .map(|(name, value)| format!("{name}: {}", value.as_str()))
            .collect()
    }

    /// What the rules changed, of four lines to begin with.
    fn changed(peer: &PeerProfile, pass: &[&str], rules: &[&str]) -> Vec<String> {
        let before = applied(peer, &[], &[]);
        let after = applied(peer, pass, rules);
        let gone = before.iter().filter(|line| !after.contains(line));
        let came = after.iter().filter(|line| !before.contains(line));
        gone.map(|line| format!("- {line}"))
            .chain(came.map(|line| format!("+ {line}")))
            .collect()
    }

    #[test]
    fn each_verb_does_its_work_and_no_more() {
        let table: &[(&[&str], &[&str])] = &[
            (
                &["add X-A value=${number} for ${user}"],
                &["+ X-A: +17125550259 for +12195550714"],
            ),
            (
                &["add X-A value=1", "add X-A value=2"],
                &["+ X-A: 1", "+ X-A: 2"],
            ),
            (
                &["set X-WA-Country value=DE"],
                &["- X-WA-Country: US", "+ X-WA-Country: DE"],
            ),
            (
                &["set X-WA-Country match=^(U)S$ value=${1}K"],
                &["- X-WA-Country: US", "+ X-WA-Country: UK"],
            ),
            (&["set X-WA-Country match=^DE$ value=no"], &[]),
            (&["set X-New match=. value=no"], &[]),
            (&["remove x-wa-*"], &["- X-WA-Country: US"]),
            (&["remove User-Agent"], &["- User-Agent: wa-sbc"]),
            (&["remove X-WA-Country match=^DE$"], &[]),
            (
                &["rename X-WA-Country to=X-Land"],
                &["- X-WA-Country: US", "+ X-Land: US"],
            ),
            (&["rename X-WA-Country to=X-Land match=^DE$"], &[]),
            (&["copy X-Agent"], &["+ X-Agent: Ann"]),
            (
                &["copy X-Campaign to=X-Year match=^(\\w+)-(\\d+)$ value=${2} (${1})"],
                &["+ X-Year: 2026 (spring)"],
            ),
            (
                &["copy Call-ID to=X-Other-Leg"],
                &["+ X-Other-Leg: secret@pbx"],
            ),
            (&["copy X-None"], &[]),
            (&["add X-A value=${header.X-None}"], &[]),
            (
                &["set From value=\"${display}\" <sip:${number}@${domain}>"],
                &[
                    "- From: <sip:+17125550259@sbc.example.com>",
                    "+ From: \"Ann \\\"B\\\"\" <sip:+17125550259@sbc.example.com>",
                ],
            ),
        ];
        for (rules, expected) in table {
            assert_eq!(changed(&PBX, &[], rules), *expected, "{rules:?}");
            assert_eq!(changed(&STRICT, &[], rules), *expected, "{rules:?}");
        }
    }

    #[test]
    fn only_what_the_list_names_passes() {
        assert_eq!(
            changed(&STRICT, &["Diversion"], &[]),
            ["+ Diversion: <sip:100@10.0.0.20>;reason=no-answer"]
        );
        assert_eq!(
            changed(&STRICT, &["x-c*"], &[]),
            ["+ X-Campaign: spring-2026", "+ X-Campaign: none"]
        );
        assert_eq!(changed(&STRICT, &[], &[]), [""; 0]);
    }

    #[test]
    fn what_the_caller_says_never_becomes_a_from_with_a_tag_or_of_another_host() {
        // It compiles, because only the caller knows what it becomes.
        assert_eq!(
            changed(&PBX, &[], &["set From value=${header.From}"]),
            [""; 0]
        );
        let asserted = changed(&PBX, &[], &["set From value=${header.Diversion}"]);
        assert_eq!(asserted.len(), 2, "{asserted:?}");
    }

    #[test]
    fn nothing_grows_without_end() {
        let rules: Vec<String> = (0..64).map(|i| format!("add X-{i} value=1")).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        assert_eq!(applied(&PBX, &[], &rules).len(), MOST);
    }
}
