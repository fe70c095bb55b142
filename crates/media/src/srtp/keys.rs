//! Session keys of one master key: cipher schedules and keyed HMAC states, made once.

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sdp::{SrtpKey, Suite};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::gcm::Gcm;
use super::kdf::{Label, derive};
use crate::prefetch::prefetch;

/// The keys of SRTP and SRTCP under one master key, and how packets look with them.
pub(super) enum SessionKeys {
    /// Counter mode and a tag of HMAC-SHA1.
    Counter(Box<Counter>),
    /// Galois/counter mode.
    Gcm(Box<Gcm>),
}

impl SessionKeys {
    /// The key is one of the suite (as every `a=crypto` line that could be read has it).
    pub(super) fn derive(suite: Suite, master: &SrtpKey) -> Self {
        match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Self::Counter(Box::new(Counter::derive(suite, master)))
            }
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => {
                Self::Gcm(Box::new(Gcm::derive(suite, master)))
            }
        }
    }

    /// Asks memory for what the next SRTP packet needs.
    pub(super) fn prefetch(&self) {
        match self {
            Self::Counter(keys) => prefetch(&keys.rtp),
            Self::Gcm(keys) => keys.prefetch(),
        }
    }
}

/// SRTP and SRTCP of RFC 3711.
pub(super) struct Counter {
    pub(super) rtp: Cipher,
    /// Expanded for every packet: they are seconds apart, and expanded it takes six times as much.
    pub(super) rtcp: Raw,
    /// Octets of tag on SRTP: 10, or 4 with a `_32` suite.
    pub(super) rtp_tag: usize,
}

impl Counter {
    fn derive(suite: Suite, master: &SrtpKey) -> Self {
        use Label::*;
        let rtp = [RtpEncryption, RtpAuthentication, RtpSalt];
        let rtcp = [RtcpEncryption, RtcpAuthentication, RtcpSalt];
        Self {
            rtp: Raw::derive(master, rtp).cipher(),
            rtcp: Raw::derive(master, rtcp),
            rtp_tag: match suite {
                Suite::AesCm128HmacSha1_32 => 4,
                _ => 10,
            },
        }
    }
}

/// The keys of one kind of packet as they are derived.
pub(super) struct Raw {
    key: Zeroizing<[u8; 16]>,
    auth: Zeroizing<[u8; 20]>,
    salt: Zeroizing<[u8; 14]>,
}

impl Raw {
    /// `labels`: those of encryption, authentication and salt.
    fn derive(master: &SrtpKey, labels: [Label; 3]) -> Self {
        let mut raw = Self {
            key: Zeroizing::new([0; 16]),
            auth: Zeroizing::new([0; 20]),
            salt: Zeroizing::new([0; 14]),
        };
        let [encryption, authentication, salting] = labels;
        derive(master, encryption, &mut raw.key[..]);
        derive(master, authentication, &mut raw.auth[..]);
        derive(master, salting, &mut raw.salt[..]);
        raw
    }

    /// Expanded: ready for packets.
    pub(super) fn cipher(&self) -> Cipher {
        Cipher {
            aes: Aes128Enc::new(&(*self.key).into()),
            salt: self.salt.clone(),
            mac: <Hmac<Sha1> as KeyInit>::new_from_slice(&self.auth[..])
                .expect("HMAC takes keys of any length"),
        }
    }
}

/// Encryption and authentication of one kind of packet.
pub(super) struct Cipher {
    aes: Aes128Enc,
    salt: Zeroizing<[u8; 14]>,
    mac: Hmac<Sha1>,
}

impl Cipher {
    /// Encrypts or decrypts in place: AES in counter mode (RFC 3711 §4.1.1).
    pub(super) fn crypt(&self, ssrc: u32, index: u64, bytes: &mut [u8]) {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt[..]);
        for (byte, with) in iv[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= with;
        }
        for (byte, with) in iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= with;
        }
        CtrCore::<&Aes128Enc, Ctr128BE>::inner_iv_init(&self.aes, &iv.into())
            .apply_keystream_partial(bytes.into());
    }

    /// HMAC-SHA1 over both parts, all 20 octets.
    pub(super) fn tag(&self, bytes: &[u8], more: &[u8]) -> [u8; 20] {
        let mut mac = self.mac.clone();
        mac.update(bytes);
        mac.update(more);
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` (as long as it is) belongs to both parts, compared in constant time.
    pub(super) fn verify(&self, bytes: &[u8], more: &[u8], tag: &[u8]) -> bool {
        bool::from(self.tag(bytes, more)[..tag.len().min(20)].ct_eq(tag))
    }
}
