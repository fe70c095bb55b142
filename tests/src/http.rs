//! An HTTP client of a few lines, so that what is tested is not also what tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let is = |line: &&str| {
            let found = line.split_once(':');
            found.is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        let line = self.head.lines().find(is).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One side of an interface over HTTP.
#[derive(Clone)]
pub struct Client {
    /// Where.
    pub address: SocketAddr,
    /// The bearer token; empty for none.
    pub token: String,
}

impl Client {
    /// Asks and waits for the whole answer.
    ///
    /// # Panics
    /// When there is none within 5 s.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(method, path, "application/json", body)
    }

    /// Asks with a body that is said to be of this kind, and waits for the whole answer.
    ///
    /// # Panics
    /// When there is none within 5 s.
    pub fn ask_as(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let mut text = String::new();
        let mut stream = self.begin_as(method, path, kind, body);
        stream.read_to_string(&mut text).expect("an answer in time");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Asks without a body.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Asks, and leaves the answer to be read.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn begin(&self, method: &str, path: &str, body: &str) -> TcpStream {
        self.begin_as(method, path, "application/json", body)
    }

    fn begin_as(&self, method: &str, path: &str, kind: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("somebody listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let authorization = match self.token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{authorization}Content-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("written");
        stream
    }
}
