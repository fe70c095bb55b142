//! Questions to whoever sits at the terminal, asked again until the answer can be right.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::InitError;

/// One thing that has to be known.
pub(super) struct Question {
    /// The flag that answers it, too.
    pub(super) flag: &'static str,
    /// What is asked.
    pub(super) what: &'static str,
    /// What an answer has to look like: its objection, if it cannot be one.
    pub(super) objection: fn(&str) -> Option<&'static str>,
}

/// The answer of a flag, or of the terminal.
pub(super) fn answer(given: Option<String>, question: &Question) -> Result<String, InitError> {
    match given {
        Some(given) => Ok(given),
        None => ask(question),
    }
}

fn ask(question: &Question) -> Result<String, InitError> {
    let Question { flag, what, .. } = *question;
    if !io::stdin().is_terminal() {
        return Err(InitError::Missing { flag, what });
    }
    loop {
        let said = say_and_hear(what)?.ok_or(InitError::Missing { flag, what })?;
        match (question.objection)(&said) {
            None => return Ok(said),
            Some(why) => eprintln!("  {why}"),
        }
    }
}

/// Asked without showing what is typed.
pub(super) fn secret(flag: &'static str, what: &'static str) -> Result<String, InitError> {
    let _unseen = Unseen::begin();
    let said = say_and_hear(what)?;
    eprintln!();
    said.ok_or(InitError::Missing { flag, what })
}

/// `None`: nothing but an empty line, or the end.
fn say_and_hear(what: &str) -> io::Result<Option<String>> {
    let mut out = io::stderr().lock();
    write!(out, "{what}: ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// A terminal that does not show what is typed, for as long as this lives.
struct Unseen(Option<Termios>);

impl Unseen {
    fn begin() -> Unseen {
        let usual = tcgetattr(io::stdin()).ok();
        if let Some(usual) = &usual {
            let mut unseen = usual.clone();
            unseen.local_modes -= LocalModes::ECHO;
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &unseen);
        }
        Unseen(usual)
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Some(usual) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, usual);
        }
    }
}

pub(super) fn anything(_: &str) -> Option<&'static str> {
    None
}

pub(super) fn number(said: &str) -> Option<&'static str> {
    let digits = said.strip_prefix('+').unwrap_or_default();
    let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let is = (6..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    (!is).then_some("that is no number with its country: + and digits, as +17125550259")
}

pub(super) fn host(said: &str) -> Option<&'static str> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is = said.contains('.') && said.split('.').all(part) && said.parse::<IpAddr>().is_err();
    (!is).then_some("that is no public DNS name: one as sbc.example.com, without https:// and port")
}

pub(super) fn address(said: &str) -> Option<&'static str> {
    let is = said.parse::<IpAddr>().is_ok();
    (!is).then_some("that is no address: one as 203.0.113.7")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_cannot_be_right_are_told_from_those_that_can() {
        for right in ["+17125550259", "+49 30 1234567"] {
            assert_eq!(number(right), None, "{right}");
        }
        for wrong in ["17125550259", "+1", "+49 30 CALLNOW", ""] {
            assert!(number(wrong).is_some(), "{wrong}");
        }
        assert_eq!(host("sbc.example.com"), None);
        for wrong in [
            "https://sbc.example.com",
            "sbc",
            "sbc.example.com:5061",
            "203.0.113.7",
            "a..b",
        ] {
            assert!(host(wrong).is_some(), "{wrong}");
        }
        assert_eq!(
            (address("203.0.113.7"), address("2001:db8::7")),
            (None, None)
        );
        assert!(address("sbc.example.com").is_some());
    }
}
