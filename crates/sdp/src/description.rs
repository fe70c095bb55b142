//! An SDP session description (RFC 8866): a thin face over `sdp-types`.
//!
//! A stranger's description is only ever *read*: what leaves us is composed afresh
//! ([`crate::compose`]), never edited. Reading is generous, printing is exact: a description that
//! keeps the line order of RFC 8866 §5 comes out byte for byte as it went in.
//!
//! ```text
//!  bytes ─► Description ─► media() / audio() ─► Media: formats, direction, keys, addresses
//!               │
//!               └─► to_string(): wire text with keys      {:?}: the same text, keys blanked
//! ```

use std::fmt;

use crate::Media;

/// An SDP body that cannot be read (RFC 8866 §9). Says what is wrong, never what a key is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unreadable SDP: {reason}")]
pub struct Malformed {
    reason: String,
}

/// One side's words: a session description.
///
/// `Display` is the text for the wire, keys included; `Debug` is the same text with every key
/// replaced by `…`, fit for a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    session: sdp_types::Session,
}

impl Description {
    /// Reads an SDP body.
    ///
    /// Generous where nothing depends on it: bare LF, missing `o=`, `s=` or `t=`, bytes that are
    /// no UTF-8, fields in unusual order. When a line that has no say in media (`o=`, `b=`, `t=` …)
    /// cannot be read, it is left out rather than the call refused.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when there is no `v=0`, or an `m=`, `c=` or `a=` line cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = String::from_utf8_lossy(body);
        let session = sdp_types::Session::parse(text.as_bytes()).or_else(|error| {
            sdp_types::Session::parse(&essential_lines(&text)).map_err(|_| Malformed {
                reason: error.to_string(),
            })
        })?;
        Ok(Self { session })
    }

    /// The text for the wire, CRLF line ends, keys included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        self.session
            .write(&mut bytes)
            .expect("a Vec takes every write");
        bytes
    }

    /// All media descriptions in order; rejected ones (port 0) included.
    pub fn media(&self) -> impl Iterator<Item = Media<'_>> {
        self.session
            .medias
            .iter()
            .map(|media| Media::new(&self.session, media))
    }

    /// The first audio stream that is not rejected (port 0, RFC 3264 §6).
    pub fn audio(&self) -> Option<Media<'_>> {
        self.media()
            .find(|media| media.is_audio() && !media.is_rejected())
    }

    /// The session version of the `o=` line: unchanged in a later offer means an unchanged
    /// description (RFC 3264 §8).
    pub fn version(&self) -> u64 {
        self.session.origin.sess_version
    }

    /// The session id of the `o=` line: constant within a session (RFC 8866 §5.2).
    pub fn session_id(&self) -> &str {
        &self.session.origin.sess_id
    }

    pub(crate) fn from_session(session: sdp_types::Session) -> Self {
        Self { session }
    }

    pub(crate) fn session(&self) -> &sdp_types::Session {
        &self.session
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Description(")?;
        for (index, line) in self.to_string().lines().enumerate() {
            let separator = if index == 0 { "" } else { " | " };
            write!(f, "{separator}{}", blanked(line))?;
        }
        f.write_str(")")
    }
}

/// A line fit for a log: `a=crypto:1 AES_CM_128_HMAC_SHA1_80 …`, `a=ice-pwd:…`, `k=…`.
///
/// Whatever follows the suite name of `a=crypto` is blanked, however broken the line is.
fn blanked(line: &str) -> String {
    let name_end = line.find(':').map_or(line.len(), |at| at + 1);
    let name = line.get(..name_end).unwrap_or(line);
    if line.starts_with("k=") {
        return "k=…".to_owned();
    }
    if name.eq_ignore_ascii_case("a=ice-pwd:") {
        return format!("{name}…");
    }
    // Every attribute with key parameters in it, standard or not (`a=crypto`, `a=cryptoinfo`,
    // `a=key-mgmt`, `a=3ge2ae`): decided by content as well as by name.
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("a=crypto") || lower.contains("inline:") || lower.starts_with("a=key") {
        let suite: Vec<&str> = line
            .split(' ')
            .take(2)
            .take_while(|word| !word.to_ascii_lowercase().contains("inline:"))
            .filter(|word| word.len() < 38)
            .collect();
        return format!("{} …", suite.join(" "));
    }
    line.to_owned()
}

/// The lines that say something about media, for descriptions whose other lines are broken.
fn essential_lines(text: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with(['v', 'c', 'a', 'm']) {
            kept.extend_from_slice(line.trim_end_matches('\r').as_bytes());
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept
}
