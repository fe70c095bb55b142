//! From rules as written to rules that run: judged once, when the configuration is read.

use sip::{Name, NameAddr, Text};

use super::model::{HeaderRule, Verb, Wrong, wrong};
use super::names::{Names, name, names, token};
use super::pattern::Pattern;
use super::template::{Facts, Template};
use crate::profile::PeerProfile;

/// The most rules of one list.
const MOST: usize = 64;

/// The rules for the INVITEs towards one peer, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    pub(super) pass: Vec<Names>,
    pub(super) rules: Vec<Rule>,
    /// The host of From is the peer's law.
    pub(super) from_host_fixed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Add(Name, Template),
    Set(Name, Option<Pattern>, Template),
    Remove(Names, Option<Pattern>),
    Rename(Name, Name, Option<Pattern>),
    Copy(Name, Name, Option<Pattern>, Option<Template>),
}

impl HeaderRules {
    /// No rules yet, towards such a peer.
    pub fn towards(peer: &PeerProfile) -> Self {
        Self {
            from_host_fixed: peer.from_host_fixed,
            ..Self::default()
        }
    }

    /// Lets a header of the caller's INVITE pass to the other leg: a name, or a beginning and `*`.
    pub fn pass(&mut self, peer: &PeerProfile, text: &str) -> Result<(), Wrong> {
        let names = names(peer, text)?;
        for own in [Name::From, Name::To, Name::UserAgent] {
            if names.fit(&own) {
                return wrong(
                    format!("`{text}` stands for {own}, which every leg has of its own"),
                    format!("leave it out; a rule may set {own} from ${{header.{own}}}"),
                );
            }
        }
        self.pass.push(names);
        self.enough(self.pass.len())
    }

    /// Compiles one more rule, to run after the others.
    pub fn push(&mut self, peer: &PeerProfile, written: &HeaderRule) -> Result<(), Wrong> {
        let rule = rule(peer, written)?;
        self.rules.push(rule);
        self.enough(self.rules.len())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.pass.is_empty() && self.rules.is_empty()
    }

    /// Whether the caller's INVITE has to be kept for them.
    pub(crate) fn reads_caller(&self) -> bool {
        let reads = |rule: &Rule| match rule {
            Rule::Add(_, value) | Rule::Set(_, _, value) => value.reads_caller(),
            Rule::Copy(..) => true,
            Rule::Remove(..) | Rule::Rename(..) => false,
        };
        !self.pass.is_empty() || self.rules.iter().any(reads)
    }

    fn enough(&self, count: usize) -> Result<(), Wrong> {
        match count > MOST {
            true => wrong(
                format!("the list has more than {MOST} entries"),
                "fold some of them into one with `*` or a pattern",
            ),
            false => Ok(()),
        }
    }
}

fn rule(peer: &PeerProfile, written: &HeaderRule) -> Result<Rule, Wrong> {
    let HeaderRule {
        verb,
        header,
        to,
        value,
        matches,
    } = written;
    let word = verb.word();
    let takes = |key: &str, given: bool, verbs: &[Verb]| match given && !verbs.contains(verb) {
        true => wrong(
            format!("`{word}` has no use for `{key}`"),
            format!("leave `{key}` out"),
        ),
        false => Ok(()),
    };
    takes("to", to.is_some(), &[Verb::Rename, Verb::Copy])?;
    takes(
        "value",
        value.is_some(),
        &[Verb::Add, Verb::Set, Verb::Copy],
    )?;
    takes(
        "match",
        matches.is_some(),
        &[Verb::Set, Verb::Remove, Verb::Rename, Verb::Copy],
    )?;
    let pattern = matches.as_deref().map(Pattern::new).transpose();
    let pattern = pattern.or_else(|why| {
        wrong(
            format!("`match` is no regular expression: {why}"),
            "write one like '^\\+49(\\d+)$', in single quotes",
        )
    })?;
    let groups = pattern.as_ref().map(Pattern::groups);
    let template = value
        .as_deref()
        .map(|text| Template::new(text, groups))
        .transpose();
    let template = template.or_else(|why| {
        wrong(
            format!("`value`: {why}"),
            "use ${user}, ${number}, ${display}, ${domain}, ${trunk}, ${reference}, ${header.NAME} \
             or ${1}; $$ is a dollar sign",
        )
    })?;
    let target = |key: &str| match to {
        Some(to) => name(peer, to),
        None => wrong(
            format!("`{word}` does not say what the header becomes"),
            format!("add {key} = \"X-Name\""),
        ),
    };
    match verb {
        Verb::Remove => {
            let names = names(peer, header)?;
            if names.fit(&Name::From) || names.fit(&Name::To) {
                return own(*verb, header);
            }
            Ok(Rule::Remove(names, pattern))
        }
        Verb::Rename => {
            let (from, to) = (name(peer, header)?, target("to")?);
            if is_own(&from) || is_own(&to) {
                return own(*verb, header);
            }
            Ok(Rule::Rename(from, to, pattern))
        }
        Verb::Copy => {
            // What is only read may be anything but secrets.
            let from = token(header)?;
            let secret = [Name::Authorization, Name::ProxyAuthorization].contains(&from);
            let to = match (to, secret) {
                (_, true) => name(peer, header)?,
                (Some(to), _) => name(peer, to)?,
                (None, _) => name(peer, header)?,
            };
            if is_own(&to) {
                return own(*verb, header);
            }
            Ok(Rule::Copy(from, to, pattern, template))
        }
        Verb::Add | Verb::Set => {
            let name = name(peer, header)?;
            let Some(template) = template else {
                return wrong(
                    format!("`{word}` does not say what the header becomes"),
                    "add value = \"…\"",
                );
            };
            if *verb == Verb::Add {
                if is_own(&name) {
                    return own(*verb, header);
                }
                return Ok(Rule::Add(name, template));
            }
            if is_own(&name) {
                address(peer, &name, &template)?;
            }
            Ok(Rule::Set(name, pattern, template))
        }
    }
}

/// Headers every request has once.
fn is_own(name: &Name) -> bool {
    matches!(name, Name::From | Name::To)
}

fn own<T>(verb: Verb, header: &str) -> Result<T, Wrong> {
    wrong(
        format!(
            "a request has one From and one To: `{}` would change that",
            verb.word()
        ),
        format!("write set = \"{header}\" with a value"),
    )
}

/// From and To have to stay addresses, without a tag, and From at the host the peer insists on.
fn address(peer: &PeerProfile, name: &Name, template: &Template) -> Result<(), Wrong> {
    let nobody = sip::Headers::new();
    let sample = Facts {
        user: "user",
        number: "number",
        display: "display",
        domain: "domain.invalid",
        trunk: "trunk",
        reference: "reference",
        caller: &nobody,
    };
    let becomes = template.address(&sample, None);
    let from_caller = becomes.is_empty() && template.reads_caller();
    let law = peer.from_host_fixed && *name == Name::From;
    if from_caller && !law {
        // Judged again when it is applied.
        return Ok(());
    }
    let read = NameAddr::read(&Text::from(becomes.as_str()));
    let read = read.filter(|address| address.tag().is_none() && becomes.contains('<'));
    let Some(read) = read else {
        return wrong(
            format!("`value` would make {name} no address, or give it a tag"),
            "write it like \"${display}\" <sip:${user}@${domain}>",
        );
    };
    if law && (read.uri.host() != "domain.invalid" || read.uri.port().is_some()) {
        return wrong(
            format!("{} refuses calls whose From has another host", peer.name),
            "write the host as ${domain}: <sip:${number}@${domain}>",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PBX;

    const STRICT: PeerProfile = PeerProfile {
        name: "strict",
        fixed_headers: &["To"],
        from_host_fixed: true,
        ..PBX
    };

    fn written(verb: Verb, header: &str) -> HeaderRule {
        HeaderRule {
            verb,
            header: header.into(),
            to: None,
            value: None,
            matches: None,
        }
    }

    fn with_value(verb: Verb, header: &str, value: &str) -> HeaderRule {
        HeaderRule {
            value: Some(value.into()),
            ..written(verb, header)
        }
    }

    fn problem(peer: &PeerProfile, rule: &HeaderRule) -> String {
        let mut rules = HeaderRules::towards(peer);
        rules
            .push(peer, rule)
            .map_or_else(|wrong| wrong.problem, |()| String::new())
    }

    #[test]
    fn what_the_call_stands_on_no_rule_touches_in_any_spelling() {
        let fixed = [
            "Via",
            "v",
            "ROUTE",
            "Record-Route",
            "Contact",
            "m",
            "CSeq",
            "call-id",
            "i",
            "Request-URI",
            "Authorization",
            "Proxy-Authorization",
            "Max-Forwards",
            "Content-Length",
            "l",
            "Require",
            "Supported",
            "Session-Expires",
        ];
        for header in fixed {
            for peer in [&PBX, &STRICT] {
                let mut attempts = vec![
                    with_value(Verb::Add, header, "x"),
                    with_value(Verb::Set, header, "x"),
                    written(Verb::Remove, header),
                    written(Verb::Copy, header),
                ];
                for verb in [Verb::Rename, Verb::Copy] {
                    attempts.push(HeaderRule {
                        to: Some(header.into()),
                        ..written(verb, "X-A")
                    });
                }
                for rule in attempts {
                    let problem = problem(peer, &rule);
                    assert!(
                        problem.contains("is fixed by the call"),
                        "{rule:?}: {problem}"
                    );
                }
                assert!(
                    HeaderRules::towards(peer).pass(peer, header).is_err(),
                    "{header}"
                );
            }
        }
        for beginning in ["C*", "Co*", "Re*", "*", "Via*"] {
            let rule = written(Verb::Remove, beginning);
            assert_ne!(problem(&PBX, &rule), "", "{beginning}");
        }
    }

    #[test]
    fn a_strict_peer_keeps_its_to_and_the_host_of_its_from() {
        let set = |header, value| with_value(Verb::Set, header, value);
        for (rule, fine) in [
            (set("To", "<sip:1@${domain}>"), false),
            (set("From", "<sip:${number}@evil.example.com>"), false),
            (set("From", "<sip:${number}@${trunk}.example.com>"), false),
            (set("From", "<sip:${number}@${domain}:5070>"), false),
            (set("From", "<sip:${number}@${domain}>;tag=1"), false),
            (
                set("From", "<sip:x@evil>, <sip:${number}@${domain}>"),
                false,
            ),
            (set("From", "${header.From}"), false),
            (set("From", "\"Sales\" <sip:${number}@${domain}>"), true),
        ] {
            assert_eq!(problem(&STRICT, &rule).is_empty(), fine, "{rule:?}");
        }
        assert_eq!(problem(&PBX, &set("To", "<sip:100@pbx>")), "");
        assert_eq!(problem(&PBX, &set("From", "${header.From}")), "");
    }

    #[test]
    fn a_rule_that_makes_no_sense_says_what_would() {
        let rule =
            |verb, header: &str, to: Option<&str>, value: Option<&str>, matches: Option<&str>| {
                HeaderRule {
                    verb,
                    header: header.into(),
                    to: to.map(Into::into),
                    value: value.map(Into::into),
                    matches: matches.map(Into::into),
                }
            };
        for (rule, says) in [
            (
                rule(Verb::Add, "X-A", None, None, None),
                "does not say what the header becomes",
            ),
            (
                rule(Verb::Rename, "X-A", None, None, None),
                "does not say what the header becomes",
            ),
            (
                rule(Verb::Remove, "X-A", None, Some("x"), None),
                "`remove` has no use for `value`",
            ),
            (
                rule(Verb::Add, "X-A", None, Some("x"), Some("x")),
                "`add` has no use for `match`",
            ),
            (
                rule(Verb::Set, "X-A", Some("X-B"), Some("x"), None),
                "`set` has no use for `to`",
            ),
            (
                rule(Verb::Set, "X A", None, Some("x"), None),
                "is no name of a header",
            ),
            (
                rule(Verb::Set, "X-*", None, Some("x"), None),
                "is no name of a header",
            ),
            (
                rule(Verb::Set, "X-A", None, Some("${1}"), None),
                "needs `match`",
            ),
            (
                rule(Verb::Set, "X-A", None, Some("x"), Some("(")),
                "no regular expression",
            ),
            (
                rule(Verb::Remove, "From", None, None, None),
                "one From and one To",
            ),
            (
                rule(Verb::Add, "f", None, Some("<sip:a@b>"), None),
                "one From and one To",
            ),
            (
                rule(Verb::Rename, "X-A", Some("From"), None, None),
                "one From and one To",
            ),
        ] {
            let problem = problem(&PBX, &rule);
            assert!(problem.contains(says), "{rule:?}: {problem}");
        }
        let pass = HeaderRules::towards(&PBX).pass(&PBX, "From");
        assert!(pass.is_err_and(|wrong| wrong.problem.contains("of its own")));
    }
}
