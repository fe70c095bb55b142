//! Texts with variables in them: `"${display}" <sip:${user}@${domain}>`.
//!
//! | variable | what it stands for |
//! |---|---|
//! | `${user}` | the carrier's user, as this leg names him |
//! | `${number}` | the business number, as this leg names it |
//! | `${display}` | the caller's display name |
//! | `${domain}` | our own host on this leg |
//! | `${trunk}` | the name of the trunk |
//! | `${reference}` | the carrier's reference of the call |
//! | `${header.NAME}` | the first such header of the caller's INVITE |
//! | `${0}` to `${9}` | what the rule's pattern found: all of it, and its groups |
//! | `$$` | a dollar sign |
//!
//! What a caller sends cannot leave its place: inside quotes a variable is escaped, inside an
//! address it keeps only what a user part may hold.

use std::fmt::Write as _;

use regex::Captures;
use sip::{Headers, Name};

/// The most bytes a template may become.
const LONGEST: usize = 1_024;

/// A text with variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Known(Known),
    Header(Name),
    Group(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    User,
    Number,
    Display,
    Domain,
    Trunk,
    Reference,
}

const KNOWN: [(&str, Known); 6] = [
    ("user", Known::User),
    ("number", Known::Number),
    ("display", Known::Display),
    ("domain", Known::Domain),
    ("trunk", Known::Trunk),
    ("reference", Known::Reference),
];

/// What a template may speak of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// The carrier's user, as the called leg names him.
    pub(crate) user: &'a str,
    /// The business number, as the called leg names it.
    pub(crate) number: &'a str,
    /// The caller's display name.
    pub(crate) display: &'a str,
    /// Our own host on the called leg.
    pub(crate) domain: &'a str,
    /// The name of the trunk.
    pub(crate) trunk: &'a str,
    /// The carrier's reference of the call; empty where it is not known.
    pub(crate) reference: &'a str,
    /// The headers of the caller's INVITE.
    pub(crate) caller: &'a Headers,
}

impl Template {
    /// Reads a template that may name the groups 0 to `groups` of a pattern; the error says what
    /// is wrong with it.
    pub fn new(text: &str, groups: Option<usize>) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, behind)) = rest.split_once('$') {
            push(&mut parts, literal);
            if let Some(behind) = behind.strip_prefix('$') {
                push(&mut parts, "$");
                rest = behind;
                continue;
            }
            let Some((name, behind)) = behind.strip_prefix('{').and_then(|b| b.split_once('}'))
            else {
                return Err("a $ stands alone".into());
            };
            parts.push(variable(name, groups)?);
            rest = behind;
        }
        push(&mut parts, rest);
        if text.chars().any(char::is_control) {
            return Err("it has control characters".into());
        }
        Ok(Template(parts))
    }

    /// What it becomes in a header whose value is free text.
    pub(crate) fn text(&self, facts: &Facts<'_>, found: Option<&Captures<'_>>) -> String {
        self.render(|part| part.value(facts, found).into_owned())
    }

    /// What it becomes in a header whose value is an address.
    pub(crate) fn address(&self, facts: &Facts<'_>, found: Option<&Captures<'_>>) -> String {
        if let [part @ (Part::Header(_) | Part::Group(0))] = &self.0[..] {
            return self.render(|_| part.value(facts, found).into_owned());
        }
        let mut quotes = Quotes::default();
        self.render(|part| match part {
            Part::Literal(text) => {
                quotes.pass(text);
                text.clone()
            }
            Part::Known(Known::Domain) => part.value(facts, found).into_owned(),
            part => quotes.fit(&part.value(facts, found)),
        })
    }

    /// Whether the caller's INVITE has to be kept for it.
    pub(crate) fn reads_caller(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Header(_)))
    }

    fn render(&self, mut part: impl FnMut(&Part) -> String) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            out.extend(part(piece).chars().filter(|c| !c.is_control()));
        }
        while out.len() > LONGEST {
            out.pop();
        }
        out
    }
}

impl Part {
    fn value<'a>(
        &'a self,
        facts: &'a Facts<'_>,
        found: Option<&'a Captures<'_>>,
    ) -> std::borrow::Cow<'a, str> {
        match self {
            Part::Literal(text) => text.into(),
            Part::Known(known) => match known {
                Known::User => facts.user,
                Known::Number => facts.number,
                Known::Display => facts.display,
                Known::Domain => facts.domain,
                Known::Trunk => facts.trunk,
                Known::Reference => facts.reference,
            }
            .into(),
            Part::Header(name) => facts
                .caller
                .first(name)
                .map(sip::Text::as_str)
                .unwrap_or_default(),
            Part::Group(group) => found
                .and_then(|found| found.get(*group))
                .map_or("", |part| part.as_str())
                .into(),
        }
    }
}

/// Where in an address the next variable stands.
#[derive(Default)]
struct Quotes {
    open: bool,
}

impl Quotes {
    fn pass(&mut self, literal: &str) {
        let mut escaped = false;
        for c in literal.chars() {
            match c {
                '\\' if self.open && !escaped => escaped = true,
                '"' if !escaped => self.open = !self.open,
                _ => escaped = false,
            }
        }
    }

    fn fit(&self, value: &str) -> String {
        let mut out = String::new();
        for c in value.chars() {
            match c {
                '"' | '\\' if self.open => {
                    out.push('\\');
                    out.push(c);
                }
                c if self.open || c.is_ascii_alphanumeric() || "-_.!~*'()&=+$".contains(c) => {
                    out.push(c);
                }
                c => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        let _ = write!(out, "%{byte:02X}");
                    }
                }
            }
        }
        out
    }
}

fn push(parts: &mut Vec<Part>, literal: &str) {
    if literal.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Literal(text)) => text.push_str(literal),
        _ => parts.push(Part::Literal(literal.to_owned())),
    }
}

fn variable(name: &str, groups: Option<usize>) -> Result<Part, String> {
    if let Some(header) = name.strip_prefix("header.") {
        return match is_token(header) {
            true => Ok(Part::Header(Name::from(header))),
            false => Err(format!("`{header}` is no name of a header")),
        };
    }
    if let Ok(group) = name.parse::<usize>() {
        return match groups {
            None => Err(format!("${{{name}}} needs `match`, whose groups it means")),
            Some(groups) if group > groups => Err(format!(
                "${{{name}}} means a group that `match` does not have"
            )),
            Some(_) => Ok(Part::Group(group)),
        };
    }
    KNOWN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, known)| Part::Known(*known))
        .ok_or_else(|| format!("${{{name}}} is no variable"))
}

/// RFC 3261 §25.1 `token`.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

#[cfg(test)]
mod tests {
    use sip::Headers;

    use super::*;

    fn address(template: &str, display: &str, header: &str) -> String {
        let mut caller = Headers::new();
        caller.push(Name::from("X-From"), header);
        let facts = Facts {
            user: "+12195550714",
            number: "+17125550259",
            display,
            domain: "10.0.0.5:5060",
            trunk: "office",
            reference: "abc",
            caller: &caller,
        };
        Template::new(template, None)
            .expect("it can be read")
            .address(&facts, None)
    }

    #[test]
    fn a_name_cannot_leave_its_quotes_nor_its_address() {
        for (template, display, becomes) in [
            (
                "\"${display}\" <sip:${user}@${domain}>",
                "Ann \"x\" <sip:evil@x>",
                "\"Ann \\\"x\\\" <sip:evil@x>\" <sip:+12195550714@10.0.0.5:5060>",
            ),
            (
                "<sip:${display}@${domain}>",
                "a@b>;x",
                "<sip:a%40b%3E%3Bx@10.0.0.5:5060>",
            ),
            (
                "<sip:${header.X-From}@${domain}>",
                "",
                "<sip:%3Csip%3A42%40pbx%3E@10.0.0.5:5060>",
            ),
            ("${header.X-From}", "", "<sip:42@pbx>"),
        ] {
            assert_eq!(
                address(template, display, "<sip:42@pbx>"),
                becomes,
                "{template}"
            );
        }
    }

    #[test]
    fn a_template_that_cannot_be_read_says_why() {
        for (text, groups, why) in [
            ("a $ b", None, "a $ stands alone"),
            ("${usr}", None, "${usr} is no variable"),
            ("${1}", None, "${1} needs `match`, whose groups it means"),
            (
                "${2}",
                Some(1),
                "${2} means a group that `match` does not have",
            ),
            ("${header.a b}", None, "`a b` is no name of a header"),
            ("a\r\nb", None, "it has control characters"),
        ] {
            assert_eq!(Template::new(text, groups).expect_err(text), why);
        }
        assert!(Template::new("5 $$ for ${user}", None).is_ok());
    }
}
