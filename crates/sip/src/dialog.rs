//! Dialogs: a conversation of two user agents (RFC 3261 §12).
//!
//! ```text
//!            we answered (UAS)                 we asked (UAC)
//! local      To of the INVITE + our tag        From of the INVITE
//! remote     From of the INVITE                To of the response
//! target     Contact of the INVITE             Contact of the response
//! routes     Record-Route in order             Record-Route reversed
//! ```
//!
//! Everything taken from a message is kept and sent byte for byte: a peer's proxy that finds one
//! byte of its Record-Route changed loses our requests (Meta reference 5.2).

use std::fmt;
use std::sync::Arc;

use crate::message::with_tag;
use crate::{Headers, Method, Name, NameAddr, Request, Response, Target, Text, Transport, Uri};

/// What names a dialog (RFC 3261 §12).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogId {
    /// The Call-ID.
    pub call_id: Text,
    /// Our tag.
    pub local_tag: Text,
    /// The peer's tag; empty if it sent none (RFC 2543 peers).
    pub remote_tag: Text,
}

impl DialogId {
    /// The dialog a received request belongs to; `None` if it has no To tag, so belongs to none.
    pub fn of_incoming(request: &Request) -> Option<DialogId> {
        Some(DialogId {
            call_id: request.call_id()?.clone(),
            local_tag: request.to_tag()?,
            remote_tag: request.from_tag().unwrap_or_default(),
        })
    }

    /// The dialog a response to a request of ours makes or belongs to.
    pub fn of_response(response: &Response) -> Option<DialogId> {
        Some(DialogId {
            call_id: response.call_id()?.clone(),
            local_tag: response.from_tag()?,
            remote_tag: response.to_tag().unwrap_or_default(),
        })
    }
}

impl DialogId {
    fn detached(self) -> DialogId {
        DialogId {
            call_id: self.call_id.detached(),
            local_tag: self.local_tag.detached(),
            remote_tag: self.remote_tag.detached(),
        }
    }
}

fn record_routes(headers: &Headers) -> Vec<Text> {
    let routes = headers.list(&Name::RecordRoute);
    let mut routes: Vec<Text> = routes.map(|route| route.detached()).collect();
    routes.shrink_to_fit();
    routes
}

/// Where a request leaves to (RFC 3261 §8.1.2): the first Route, or else the remote target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Host name or address, without brackets; `maddr` if the URI has it.
    pub host: String,
    /// The port, if one is written; without one SRV records may know better (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// The transport the URI asks for.
    pub transport: Transport,
}

impl Hop {
    /// The hop a URI leads to.
    pub fn of(uri: &Uri) -> Hop {
        let host = uri
            .param("maddr")
            .filter(|m| !m.is_empty())
            .unwrap_or(uri.host());
        Hop {
            host: host.to_owned(),
            port: uri.port(),
            transport: uri.transport(),
        }
    }

    /// The port, or the transport's default.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.transport.default_port())
    }

    /// The flow that leads there, from any address of ours.
    pub fn target(&self) -> Target {
        Target {
            transport: self.transport,
            host: self.host.clone(),
            port: self.port_or_default(),
            from: None,
            at: None,
        }
    }
}

/// Why a request inside a dialog is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer.
    pub status: u16,
    /// The reason phrase to answer.
    pub reason: &'static str,
}

/// A dialog as seen from our side; plain data, with copies of its own: it outlives the messages
/// it was made from and does not keep their buffers.
#[derive(Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Shared with whoever finds the dialog by it.
    id: Arc<DialogId>,
    /// The From value of our requests, tag included.
    local: Text,
    /// The To value of our requests, tag included.
    remote: Text,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    route_set: Vec<Text>,
    remote_target: Uri,
}

impl Dialog {
    /// The dialog our response with this tag makes of a received INVITE (RFC 3261 §12.1.1).
    /// `None` without a Contact to send requests to.
    pub fn uas(invite: &Request, local_tag: &str) -> Option<Dialog> {
        let to = invite.headers.first(&Name::To)?;
        let local = if invite.to_tag().is_some() {
            to.clone()
        } else {
            with_tag(to, local_tag)
        };
        let local_tag = NameAddr::tag_of(&local)?;
        Some(Dialog {
            id: DialogId {
                call_id: invite.call_id()?.clone(),
                local_tag,
                remote_tag: invite.from_tag().unwrap_or_default(),
            }
            .detached()
            .into(),
            local: local.detached(),
            remote: invite.headers.first(&Name::From)?.detached(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq()?.number),
            route_set: record_routes(&invite.headers),
            remote_target: invite.contact()?.uri.detached(),
        })
    }

    /// The dialog a response to our INVITE makes (RFC 3261 §12.1.2): a 2xx, or a 1xx with a To
    /// tag. A response without a Contact keeps the Request-URI as target: better than no ACK.
    pub fn uac(invite: &Request, response: &Response) -> Option<Dialog> {
        if response.status <= 100 || response.status >= 300 {
            return None;
        }
        if response.is_provisional() && response.to_tag().is_none() {
            return None;
        }
        let mut dialog = Dialog {
            id: DialogId::of_response(response)?.detached().into(),
            local: invite.headers.first(&Name::From)?.detached(),
            remote: response.headers.first(&Name::To)?.detached(),
            local_cseq: invite.cseq()?.number,
            remote_cseq: None,
            route_set: Vec::new(),
            remote_target: invite.uri.detached(),
        };
        dialog.update_from_2xx(response);
        Some(dialog)
    }

    /// Takes route set and target from the 2xx that confirms an early dialog (RFC 3261
    /// §13.2.2.4).
    pub fn update_from_2xx(&mut self, response: &Response) {
        self.route_set = record_routes(&response.headers);
        self.route_set.reverse();
        if let Some(contact) = response.contact() {
            self.remote_target = contact.uri.detached();
        }
    }

    /// The name of the dialog.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// The name of the dialog, for a table of dialogs.
    pub fn shared_id(&self) -> Arc<DialogId> {
        self.id.clone()
    }

    /// Where the peer wants requests, byte for byte.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// The route set in the order our Route headers have.
    pub fn route_set(&self) -> &[Text] {
        &self.route_set
    }

    /// Sequence numbers up to this one are used up: our next request has a higher one.
    pub fn count_from(&mut self, cseq: u32) {
        self.local_cseq = self.local_cseq.max(cseq);
    }

    /// The CSeq number of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The From value of our requests and, exchanged, the To value of our responses.
    pub fn local(&self) -> &Text {
        &self.local
    }

    /// The To value of our requests.
    pub fn remote(&self) -> &Text {
        &self.remote
    }

    /// A new request inside the dialog (RFC 3261 §12.2.1.1): next CSeq, Request-URI, Max-Forwards,
    /// Route, From, To, Call-ID. No Via, no Contact. For ACK use [`Dialog::ack`]; CANCEL belongs
    /// to the [`Endpoint`](crate::Endpoint).
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        self.build(method, self.local_cseq)
    }

    /// The ACK to a 2xx of the INVITE with this CSeq number (RFC 3261 §13.2.2.4).
    pub fn ack(&self, cseq: u32) -> Request {
        self.build(Method::Ack, cseq)
    }

    /// Checks the order of a received request (RFC 3261 §12.2.2): a lower CSeq than the last is
    /// refused with 500. ACK repeats the number of its INVITE and always passes.
    pub fn accept(&mut self, request: &Request) -> Result<(), Refusal> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let refused = Refusal {
            status: 500,
            reason: "CSeq out of order",
        };
        let number = request.cseq().ok_or(refused)?.number;
        if self.remote_cseq.is_some_and(|last| number < last) {
            return Err(refused);
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// Moves the remote target to the URI of a new Contact value (RFC 3261 §12.2.1.2, §12.2.2:
    /// target refresh by re-INVITE or UPDATE). A Contact that cannot be read changes nothing.
    pub fn retarget(&mut self, contact: impl Into<Text>) {
        if let Some(contact) = NameAddr::read(&contact.into()) {
            self.remote_target = contact.uri.detached();
        }
    }

    /// Where our requests leave to: the first Route or the remote target.
    pub fn first_hop(&self) -> Hop {
        match self.first_route() {
            Some(uri) => Hop::of(&uri),
            None => Hop::of(&self.remote_target),
        }
    }

    fn first_route(&self) -> Option<Uri> {
        NameAddr::read(self.route_set.first()?).map(|route| route.uri)
    }

    fn build(&self, method: Method, cseq: u32) -> Request {
        // RFC 3261 §12.2.1.1: a first route without `lr` is a strict router. It becomes the
        // Request-URI, and the target goes to the end of the Route list.
        let strict = self.first_route().filter(|uri| uri.param("lr").is_none());
        let mut request = match &strict {
            Some(uri) => Request::new(method, uri.clone()),
            None => Request::new(method, self.remote_target.clone()),
        };
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, Text::fixed("70"));
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            headers.push(Name::Route, route);
        }
        if strict.is_some() {
            headers.push(Name::Route, format!("<{}>", self.remote_target));
        }
        headers.push(Name::From, &self.local);
        headers.push(Name::To, &self.remote);
        headers.push(Name::CallId, &self.id.call_id);
        headers.push(Name::CSeq, format!("{cseq} {}", request.method));
        request
    }
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("id", &self.id)
            .field("local_cseq", &self.local_cseq)
            .field("remote_cseq", &self.remote_cseq)
            .field("route_set", &self.route_set)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, parse};
    use bytes::Bytes;

    fn invite(extra: &str) -> Request {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\n\
             From: \"A\" <sip:a@x>;tag=their\r\nTo: <sip:b@h>\r\nCall-ID: c:1=\r\nCSeq: 7 INVITE\r\n\
             Contact: <sip:A@[2001:db8::1]:5070;ob;X-Tier=a.B>;isfocus\r\n{extra}\r\n"
        );
        match parse(Bytes::from(text)).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!(),
        }
    }

    fn text(request: &Request) -> String {
        String::from_utf8(request.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn our_requests_on_an_answered_dialog_follow_the_record_route_in_order() {
        let extra = "Record-Route: <sip:p2;lr>, <sip:p1;lr;Q=x>\r\nRecord-Route: <sip:p0;lr>\r\n";
        let mut dialog = Dialog::uas(&invite(extra), "mine").unwrap();
        assert_eq!(
            text(&dialog.request(Method::Bye)),
            "BYE sip:A@[2001:db8::1]:5070;ob;X-Tier=a.B SIP/2.0\r\nMax-Forwards: 70\r\n\
             Route: <sip:p2;lr>\r\nRoute: <sip:p1;lr;Q=x>\r\nRoute: <sip:p0;lr>\r\n\
             From: <sip:b@h>;tag=mine\r\nTo: \"A\" <sip:a@x>;tag=their\r\nCall-ID: c:1=\r\nCSeq: 1 BYE\r\n\r\n"
        );
        assert_eq!(dialog.first_hop().host, "p2");
        assert_eq!(dialog.request(Method::Info).cseq().unwrap().number, 2);
        assert_eq!(dialog.id().remote_tag, "their");
    }

    #[test]
    fn our_requests_on_an_asked_dialog_follow_the_record_route_reversed() {
        let invite = invite("");
        let mut ok = Response::to(&invite, 200, "");
        ok.tag_to("peer");
        ok.headers.push(Name::RecordRoute, "<sip:p1;lr>");
        ok.headers
            .push(Name::RecordRoute, "<sip:p2:5061;transport=tls;lr>");
        ok.headers.push(Name::Contact, "\"B\" <sip:b@10.0.0.9>;q=1");
        let dialog = Dialog::uac(&invite, &ok).unwrap();
        let ack = dialog.ack(7);
        assert_eq!(ack.uri.to_string(), "sip:b@10.0.0.9");
        let routes: Vec<_> = ack.headers.all(&Name::Route).map(Text::to_string).collect();
        assert_eq!(routes, ["<sip:p2:5061;transport=tls;lr>", "<sip:p1;lr>"]);
        assert_eq!(ack.cseq().unwrap().to_string(), "7 ACK");
        let hop = dialog.first_hop();
        assert_eq!(
            (hop.host.as_str(), hop.port, hop.transport),
            ("p2", Some(5061), Transport::Tls)
        );
        assert_eq!(&DialogId::of_response(&ok).unwrap(), dialog.id());
    }

    #[test]
    fn a_strict_router_gets_the_request_uri_and_the_target_last() {
        let extra = "Record-Route: <sip:strict:5070>\r\nRecord-Route: <sip:loose;lr>\r\n";
        let mut dialog = Dialog::uas(&invite(extra), "mine").unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:strict:5070");
        let routes: Vec<_> = bye.headers.all(&Name::Route).map(Text::to_string).collect();
        assert_eq!(
            routes,
            ["<sip:loose;lr>", "<sip:A@[2001:db8::1]:5070;ob;X-Tier=a.B>"]
        );
        assert_eq!(dialog.first_hop().port_or_default(), 5070);
    }

    #[test]
    fn an_early_dialog_takes_its_routes_from_the_2xx() {
        let invite = invite("");
        let mut ringing = Response::to(&invite, 180, "");
        assert_eq!(Dialog::uac(&invite, &ringing), None, "no tag, no dialog");
        ringing.tag_to("peer");
        let mut dialog = Dialog::uac(&invite, &ringing).unwrap();
        assert_eq!(dialog.remote_target(), &invite.uri);
        let mut ok = Response::to(&invite, 200, "");
        ok.tag_to("peer");
        ok.headers.push(Name::RecordRoute, "<sip:p;lr>");
        ok.headers.push(Name::Contact, "<sip:b@new>");
        dialog.update_from_2xx(&ok);
        assert_eq!(dialog.remote_target().to_string(), "sip:b@new");
        assert_eq!(dialog.route_set(), [Text::from("<sip:p;lr>")]);
    }

    #[test]
    fn no_dialog_comes_from_100_or_a_failure() {
        let invite = invite("");
        for status in [100, 300, 407, 486] {
            let mut response = Response::to(&invite, status, "");
            response.tag_to("peer");
            assert_eq!(Dialog::uac(&invite, &response), None, "{status}");
        }
    }

    #[test]
    fn a_request_older_than_the_last_is_refused() {
        let mut dialog = Dialog::uas(&invite(""), "mine").unwrap();
        let mut request = invite("");
        for (cseq, method, taken) in [
            ("6 INFO", Method::Info, false),
            ("9 INFO", Method::Info, true),
            ("8 BYE", Method::Bye, false),
            ("7 ACK", Method::Ack, true),
            ("10 BYE", Method::Bye, true),
        ] {
            request.method = method;
            request.headers.set(Name::CSeq, cseq);
            assert_eq!(dialog.accept(&request).is_ok(), taken, "{cseq}");
        }
    }

    #[test]
    fn a_new_contact_moves_the_target_and_an_unreadable_one_does_not() {
        let mut dialog = Dialog::uas(&invite(""), "mine").unwrap();
        dialog.retarget("<sip:A@elsewhere;x>;y");
        assert_eq!(dialog.remote_target().to_string(), "sip:A@elsewhere;x");
        dialog.retarget("*");
        assert_eq!(dialog.remote_target().to_string(), "sip:A@elsewhere;x");
    }
}
