//! TLS handshakes of this process, counted by how they ended.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::AlertDescription;

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Well.
    Done,
    /// Not in time.
    TimedOut,
    /// The peer does not trust our certificate.
    Distrusted,
    /// Our certificate has expired.
    Expired,
    /// The peer's certificate does not verify.
    PeerUnverified,
    /// The peer refuses an application protocol (alert 120).
    ApplicationProtocol,
    /// The peer does not speak TLS.
    NotTls,
    /// The connection went away.
    Broken,
    /// Anything else.
    Other,
}

/// Which side we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We were called.
    Server,
    /// We called.
    Client,
}

impl Handshake {
    /// All of them, in the order of their counters.
    pub const ALL: [Handshake; 9] = [
        Handshake::Done,
        Handshake::TimedOut,
        Handshake::Distrusted,
        Handshake::Expired,
        Handshake::PeerUnverified,
        Handshake::ApplicationProtocol,
        Handshake::NotTls,
        Handshake::Broken,
        Handshake::Other,
    ];

    /// A stable label for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Handshake::Done => "done",
            Handshake::TimedOut => "timeout",
            Handshake::Distrusted => "our_certificate_distrusted",
            Handshake::Expired => "our_certificate_expired",
            Handshake::PeerUnverified => "peer_certificate_unverified",
            Handshake::ApplicationProtocol => "alpn_refused",
            Handshake::NotTls => "not_tls",
            Handshake::Broken => "connection_lost",
            Handshake::Other => "other",
        }
    }

    /// How a handshake that failed with `error` ended.
    pub fn failed(error: &io::Error) -> Handshake {
        let Some(error) = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>())
        else {
            return Handshake::Broken;
        };
        match error {
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                Handshake::ApplicationProtocol
            }
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown,
            ) => Handshake::Distrusted,
            rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
                Handshake::Expired
            }
            rustls::Error::InvalidCertificate(_) => Handshake::PeerUnverified,
            rustls::Error::InvalidMessage(_) => Handshake::NotTls,
            _ => Handshake::Other,
        }
    }

    /// Counts it.
    pub(crate) fn count(self, role: Role) {
        COUNTS[role as usize][self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended like this.
    pub fn counted(self, role: Role) -> u64 {
        COUNTS[role as usize][self as usize].load(Ordering::Relaxed)
    }
}

static COUNTS: [[AtomicU64; Handshake::ALL.len()]; 2] =
    [const { [const { AtomicU64::new(0) }; Handshake::ALL.len()] }; 2];
