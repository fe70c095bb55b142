//! Messages: requests and responses, kept as they came (RFC 3261 §7).
//!
//! A header we do not change leaves exactly as it came; typed access only reads.

use std::fmt;

use bytes::Bytes;

use crate::header::{CSeq, NameAddr, Via};
use crate::{Headers, Method, Name, Text, Uri};

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request (RFC 3261 §7.1). Debug output shows the length of the body, not the keys in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The headers.
    pub headers: Headers,
    /// The body; its length is printed by whoever sends the request.
    pub body: Bytes,
}

/// A response (RFC 3261 §7.2). Debug output shows the length of the body, not the keys in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase as it came.
    pub reason: Text,
    /// The headers.
    pub headers: Headers,
    /// The body; its length is printed by whoever sends the response.
    pub body: Bytes,
}

impl Message {
    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }

    /// The message on the wire.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}

impl Request {
    /// A request without headers.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request {
            method,
            uri,
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// The request on the wire: `METHOD uri SIP/2.0`, headers, body, nothing added.
    pub fn to_bytes(&self) -> Bytes {
        let method = self.method.as_bytes();
        let uri = self.uri.as_str().as_bytes();
        let len = method.len() + uri.len() + self.headers.printed_len() + self.body.len() + 16;
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(method);
        out.push(b' ');
        out.extend_from_slice(uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        finish(out, &self.headers, &self.body)
    }
}

impl Response {
    /// A response with the status's own reason phrase and no headers.
    pub fn new(status: u16) -> Response {
        Response {
            status,
            reason: Text::fixed(reason_phrase(status)),
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// A response to `request`: all Via, From, To, Call-ID and CSeq copied byte for byte and in
    /// order (RFC 3261 §8.2.6.2). The To tag is left to the caller; Record-Route is copied with
    /// [`Headers::copy`] where a dialog is made. An empty `reason` stands for the usual one.
    pub fn to(request: &Request, status: u16, reason: impl Into<Text>) -> Response {
        let mut response = Response::new(status);
        let reason = reason.into();
        if !reason.is_empty() {
            response.reason = reason;
        }
        response.headers = Headers::with_capacity(16);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            response.headers.copy(&name, &request.headers);
        }
        response
    }

    /// Gives the To header this tag, if it has none yet.
    pub fn tag_to(&mut self, tag: &str) {
        if self.to_tag().is_some() {
            return;
        }
        if let Some(to) = self.headers.first(&Name::To) {
            let tagged = with_tag(to, tag);
            self.headers.set(Name::To, tagged);
        }
    }

    /// Status 100 to 199.
    pub fn is_provisional(&self) -> bool {
        self.status < 200
    }

    /// Status 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Status 200 and above.
    pub fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// The response on the wire: `SIP/2.0 status reason`, headers, body, nothing added.
    pub fn to_bytes(&self) -> Bytes {
        let len = self.reason.len() + self.headers.printed_len() + self.body.len() + 24;
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.push(b' ');
        out.extend(
            self.reason
                .as_bytes()
                .iter()
                .map(|&b| if b == b'\r' || b == b'\n' { b' ' } else { b }),
        );
        out.extend_from_slice(b"\r\n");
        finish(out, &self.headers, &self.body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

macro_rules! readers {
    ($($kind:ident)*) => { $(
        impl $kind {
            /// The Call-ID, opaque (Meta reference 5.5: it may hold `:` and `=`).
            pub fn call_id(&self) -> Option<&Text> {
                self.headers.first(&Name::CallId)
            }

            /// The CSeq.
            pub fn cseq(&self) -> Option<CSeq> {
                CSeq::read(self.headers.first(&Name::CSeq)?)
            }

            /// The From header.
            pub fn from(&self) -> Option<NameAddr> {
                NameAddr::read(self.headers.first(&Name::From)?)
            }

            /// The To header.
            pub fn to_header(&self) -> Option<NameAddr> {
                NameAddr::read(self.headers.first(&Name::To)?)
            }

            /// The tag of the From header.
            pub fn from_tag(&self) -> Option<Text> {
                NameAddr::tag_of(self.headers.first(&Name::From)?)
            }

            /// The tag of the To header.
            pub fn to_tag(&self) -> Option<Text> {
                NameAddr::tag_of(self.headers.first(&Name::To)?)
            }

            /// The topmost Via.
            pub fn top_via(&self) -> Option<Via> {
                Via::read(&self.headers.list(&Name::Via).next()?)
            }

            /// The first Contact.
            pub fn contact(&self) -> Option<NameAddr> {
                NameAddr::read(&self.headers.list(&Name::Contact).next()?)
            }
        }
    )* };
}

readers!(Request Response);

impl Request {
    /// The To header.
    pub fn to(&self) -> Option<NameAddr> {
        self.to_header()
    }
}

/// `header` with `;tag=` appended.
pub(crate) fn with_tag(header: &Text, tag: &str) -> Text {
    let mut value = Vec::with_capacity(header.len() + tag.len() + 5);
    value.extend_from_slice(header.as_bytes());
    value.extend_from_slice(b";tag=");
    value.extend_from_slice(tag.as_bytes());
    Text::from(Bytes::from(value))
}

fn finish(mut out: Vec<u8>, headers: &Headers, body: &[u8]) -> Bytes {
    headers.print(&mut out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

/// The usual reason phrase of a status (RFC 3261 §21 and the registry).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        429 => "Provide Referrer Identity",
        433 => "Anonymity Disallowed",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
