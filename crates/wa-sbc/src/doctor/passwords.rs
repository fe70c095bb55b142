//! The digest passwords of the numbers.

use super::{Check, Finding, Patient};

/// Meta challenges every call of ours, and we should challenge every call of Meta's.
pub(super) struct Passwords;

impl Check for Passwords {
    fn name(&self) -> &'static str {
        "passwords"
    }

    fn run(&self, patient: &Patient) -> Vec<Finding> {
        let mut findings = Vec::new();
        for number in patient.numbers() {
            let e164 = number.e164.plus();
            findings.push(match &number.password {
                None => Finding::fail(
                    format!("{e164} has no password: Meta refuses its calls, and nothing proves that a call to it is Meta's"),
                    "fetch it with GET /<phone number id>/settings?include_sip_credentials=true and name it with password = { file = \"…\" }",
                ),
                Some(password) if password.expose().trim().is_empty() => Finding::fail(
                    format!("the password of {e164} is empty"),
                    "look at the file or variable it comes from",
                ),
                Some(password) if password.expose().trim() != password.expose() => Finding::warn(
                    format!("the password of {e164} begins or ends with white space"),
                    "look for a stray line end or blank in the file or variable it comes from",
                ),
                Some(_) if !number.challenge => Finding::warn(
                    format!("calls to {e164} are taken without a challenge"),
                    "set challenge = true for the number, as Meta recommends",
                ),
                Some(_) => Finding::pass(format!("{e164} has a password")),
            });
        }
        findings
    }
}
