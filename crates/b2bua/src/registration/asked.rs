//! What a REGISTER asks for (RFC 3261 §10.2, §10.3).

use std::time::Duration;

use sip::{Headers, Name, NameAddr, Scheme, Text, Uri};

use super::Registrar;

/// Contacts one REGISTER may name. Each is compared with all that hold: thousands would keep everybody waiting.
const MOST: usize = 100;

/// A REGISTER that is not taken: a status, and the header that says more.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) header: Option<(Name, Text)>,
}

/// What a REGISTER wants with one contact.
pub(super) struct Wanted {
    pub(super) contact: Uri,
    pub(super) instance: Option<String>,
    pub(super) q: u16,
    pub(super) expires: Duration,
}

/// What a REGISTER asks for.
pub(super) enum Asked {
    /// No Contact: which there are.
    Nothing,
    /// `Contact: *`.
    RemoveAll,
    Contacts(Vec<Wanted>),
}

pub(super) fn read(headers: &Headers, registrar: &Registrar) -> Result<Asked, Refusal> {
    let values: Vec<Text> = headers.list(&Name::Contact).take(MOST + 1).collect();
    if values.len() > MOST {
        return Err(refused(403));
    }
    let general = headers
        .first(&Name::Expires)
        .and_then(|value| seconds(&value.as_str()));
    if values.iter().any(|value| value.as_str().trim() == "*") {
        // RFC 3261 §10.2.2: alone, and only to remove.
        let lawful = values.len() == 1 && general == Some(0);
        return if lawful {
            Ok(Asked::RemoveAll)
        } else {
            Err(refused(400))
        };
    }
    if values.is_empty() {
        return Ok(Asked::Nothing);
    }
    let mut wanted = Vec::new();
    for value in &values {
        let contact = NameAddr::read(value).ok_or(refused(400))?;
        if contact.uri.scheme() != Scheme::Sip || contact.uri.host().is_empty() {
            return Err(refused(400));
        }
        let asked = contact.param("expires").and_then(seconds).or(general);
        let expires = match asked.map(Duration::from_secs) {
            None => registrar.max_expires,
            Some(none) if none.is_zero() => none,
            Some(short) if short < registrar.min_expires => {
                let least = registrar.min_expires.as_secs().to_string();
                return Err(Refusal {
                    status: 423,
                    header: Some((Name::MinExpires, Text::from(least))),
                });
            }
            Some(long) => long.min(registrar.max_expires),
        };
        wanted.push(Wanted {
            instance: contact.param("+sip.instance").map(str::to_owned),
            q: contact.param("q").map_or(1_000, thousandths),
            contact: contact.uri,
            expires,
        });
    }
    Ok(Asked::Contacts(wanted))
}

/// RFC 3261 §20.19: what is no number of seconds means nothing was said.
fn seconds(text: &str) -> Option<u64> {
    text.trim().parse::<u32>().ok().map(u64::from)
}

/// `0.7` is 700; what cannot be read is as good as any.
fn thousandths(q: &str) -> u16 {
    let value = q.trim().parse::<f64>().unwrap_or(1.0);
    (value.clamp(0.0, 1.0) * 1_000.0).round() as u16
}

pub(super) fn refused(status: u16) -> Refusal {
    Refusal {
        status,
        header: None,
    }
}
