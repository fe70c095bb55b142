//! REFER on a leg (RFC 3515): read, answered, and reported by NOTIFY.
//!
//! The subscription a REFER makes lives in the dialog it came in and as long as the transfer; it is
//! never refreshed, because it is over before it could expire. `Refer-Sub: false` (RFC 4488) asks for
//! none.

use sip::{DialogId, Method, Name, NameAddr, Replaces, Request, Scheme, ServerKey, Text, Uri};

use super::{Phase, SipLeg, words};
use crate::context::Context;
use crate::leg::LegEvent;

/// Longer than any transfer takes, in seconds.
const EXPIRES: u32 = 180;

/// Where a peer wants its place in the call to go.
#[derive(Debug)]
pub(crate) struct Referral {
    key: ServerKey,
    request: Request,
    /// The new target, without headers.
    pub(crate) uri: Uri,
    /// Headers the new target is to be called with: Replaces (RFC 3891), and Require if it asks for it.
    pub(crate) headers: Vec<(Name, Text)>,
    /// Whether the peer wants to hear how it goes.
    pub(crate) reports: bool,
}

impl Referral {
    /// The dialog the new target is to give up for the call, as the target knows it.
    pub(crate) fn replaces(&self) -> Option<DialogId> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(name, _)| *name == Name::Replaces)?;
        Replaces::read(value).map(|replaces| replaces.dialog)
    }
}

/// The subscription of one REFER.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The value of Event in every NOTIFY.
    event: Text,
}

impl SipLeg {
    /// Whether a request belongs to this leg's dialog, or to one its INVITE may still become.
    pub(crate) fn has_any_dialog_of(&self, request: &Request) -> bool {
        let early = match &self.phase {
            Phase::Calling(calling) => calling.has_early_of(request),
            _ => false,
        };
        early || self.has_dialog_of(request)
    }

    /// A REFER of the peer: the call decides, unless it cannot be read.
    pub(super) fn referred(
        &mut self,
        cx: &mut Context<'_>,
        key: ServerKey,
        request: Request,
    ) -> Option<LegEvent> {
        if !matches!(self.phase, Phase::Confirmed { .. }) {
            self.respond_in_dialog(cx, key, &request, 603);
            return None;
        }
        let Some((uri, headers)) = target(&request) else {
            self.respond_in_dialog(cx, key, &request, 400);
            return None;
        };
        let reports = request
            .headers
            .first(&Name::from("Refer-Sub"))
            .is_none_or(|value| !value.as_str().trim().eq_ignore_ascii_case("false"));
        Some(LegEvent::Referred(Box::new(Referral {
            key,
            request,
            uri,
            headers,
            reports,
        })))
    }

    /// Declines a REFER.
    pub(crate) fn refuse_referral(&self, cx: &mut Context<'_>, referral: &Referral, status: u16) {
        self.respond_in_dialog(cx, referral.key, &referral.request, status);
    }

    /// Takes a REFER up: 202, and the subscription, if it wants one. `again`: it is not the first of its
    /// dialog, so its NOTIFYs name it (RFC 3515 §2.4.6).
    pub(crate) fn accept_referral(
        &self,
        cx: &mut Context<'_>,
        referral: &Referral,
        again: bool,
    ) -> Option<Subscription> {
        let mut response = words::response(&referral.request, 202, "", &cx.settings.product);
        response.headers.push(Name::Contact, self.contact.clone());
        if !referral.reports {
            response.headers.push("Refer-Sub", Text::fixed("false"));
        }
        cx.respond(referral.key, response);
        let cseq = referral.request.cseq().map_or(0, |cseq| cseq.number);
        referral.reports.then(|| Subscription {
            event: match again {
                true => Text::from(format!("refer;id={cseq}")),
                false => Text::fixed("refer"),
            },
        })
    }

    /// Tells the peer how the call to the new target stands; a final status ends the subscription.
    pub(crate) fn report(&mut self, cx: &mut Context<'_>, about: &Subscription, status: u16) {
        if !matches!(self.phase, Phase::Confirmed { .. }) {
            return;
        }
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let mut notify = dialog.request(Method::Notify);
        let headers = &mut notify.headers;
        headers.push(Name::Contact, self.contact.clone());
        headers.push(Name::Event, about.event.clone());
        let state = match status {
            ..200 => format!("active;expires={EXPIRES}"),
            _ => "terminated;reason=noresource".to_owned(),
        };
        headers.push(Name::SubscriptionState, state);
        if !cx.settings.product.is_empty() {
            headers.push(Name::UserAgent, cx.settings.product.as_str());
        }
        headers.push(
            Name::ContentType,
            Text::fixed("message/sipfrag;version=2.0"),
        );
        let reason = sip::reason_phrase(status);
        notify.body = format!("SIP/2.0 {status} {reason}\r\n").into();
        // Whether it is answered changes nothing: the transfer goes on.
        self.ask_aside(cx, notify);
    }
}

/// The target of a REFER and the headers it carries for it; `None` if there is not exactly one that can
/// be called.
fn target(request: &Request) -> Option<(Uri, Vec<(Name, Text)>)> {
    let mut values = request.headers.all(&Name::ReferTo);
    let value = values.next().filter(|_| values.next().is_none())?;
    let refer_to = NameAddr::read(value)?;
    let callable = matches!(
        refer_to.uri.scheme(),
        Scheme::Sip | Scheme::Sips | Scheme::Tel
    );
    let invites = refer_to
        .uri
        .param("method")
        .is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
    if !callable || !invites {
        return None;
    }
    let mut headers = Vec::new();
    for (name, value) in refer_to.uri.headers()? {
        // Of what a URI may ask for, only what a transfer needs; the rest is ignored (RFC 3261 §19.1.5).
        match Name::from(name.as_str()) {
            Name::Replaces => headers.push((Name::Replaces, Text::from(value))),
            Name::Require if value.trim().eq_ignore_ascii_case("replaces") => {
                headers.push((Name::Require, Text::fixed("replaces")));
            }
            _ => {}
        }
    }
    if let Some(by) = request.headers.first(&Name::ReferredBy) {
        headers.push((Name::ReferredBy, by.detached()));
    }
    Some((refer_to.uri.without_headers(), headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refer(refer_to: &[&str]) -> Request {
        let uri = Uri::parse("sip:us@10.0.0.5").unwrap();
        let mut request = Request::new(Method::Refer, uri);
        for value in refer_to {
            request.headers.push(Name::ReferTo, *value);
        }
        request
    }

    fn read(refer_to: &str) -> Option<(String, Vec<(Name, Text)>)> {
        target(&refer(&[refer_to])).map(|(uri, headers)| (uri.as_str().to_owned(), headers))
    }

    #[test]
    fn a_blind_and_an_attended_target() {
        assert_eq!(
            read("<sip:201@10.0.0.20;user=phone>"),
            Some(("sip:201@10.0.0.20;user=phone".into(), vec![]))
        );
        let replaces = "12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994";
        let (uri, headers) = read(&format!(
            "<sip:201@10.0.0.20?Replaces={replaces}&Require=replaces>"
        ))
        .unwrap();
        assert_eq!(uri, "sip:201@10.0.0.20");
        assert_eq!(
            headers,
            [
                (
                    Name::Replaces,
                    Text::from("12345@192.168.118.3;to-tag=12345;from-tag=5FFE-3994")
                ),
                (Name::Require, Text::from("replaces")),
            ]
        );
    }

    #[test]
    fn what_else_a_target_asks_for_is_not_done() {
        let (_, headers) =
            read("<sip:201@10.0.0.20?Route=%3Csip:evil%3E&From=me&Require=100rel>").unwrap();
        assert!(headers.is_empty());
    }

    #[test]
    fn a_line_break_in_a_header_is_no_header() {
        assert_eq!(
            read("<sip:201@10.0.0.20?Replaces=a%0d%0aX-Evil:%20b>"),
            None
        );
    }

    #[test]
    fn nobody_two_bodies_and_other_methods_are_no_target() {
        assert!(target(&refer(&[])).is_none());
        assert!(target(&refer(&["<sip:a@b>", "<sip:c@d>"])).is_none());
        assert!(read("<http://example.com>").is_none());
        assert!(read("<sip:a@b;method=BYE>").is_none());
    }
}
