//! How a leg's media is keyed: not at all, or by SDES (RFC 4568).

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroize;

/// A protection profile of SRTP (RFC 4568 §6.2, RFC 7714 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: AES-128 counter mode, 80-bit tag.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: the same with a 32-bit tag on SRTP (SRTCP keeps 80 bits).
    AesCm128HmacSha1_32,
    /// `AEAD_AES_128_GCM`: AES-128 in Galois/counter mode, 128-bit tag (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM`: the same with AES-256.
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Suite; 4] = [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];

    /// Octets of its master key.
    pub const fn key_len(self) -> usize {
        match self {
            Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Octets of its master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }
}

/// The longest master key and salt: those of AES-256-GCM.
const LONGEST: usize = 44;

/// An SRTP master key and the salt behind it (RFC 4568 §6.2): 16 and 14 bytes, or as the suite has them.
///
/// Cannot be printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    bytes: [u8; LONGEST],
    key: u8,
    len: u8,
}

impl SrtpKey {
    /// Takes 16 bytes of master key followed by 14 bytes of master salt.
    pub fn new(bytes: [u8; 30]) -> Self {
        Self::of(16, &bytes)
    }

    /// Takes chance for a key of any suite; [`SrtpKey::fit`] cuts it.
    pub fn wide(bytes: [u8; 44]) -> Self {
        Self::of(32, &bytes)
    }

    /// Takes master key and salt as `suite` has them. `None`: the length is another one.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == suite.key_len() + suite.salt_len())
            .then(|| Self::of(suite.key_len(), bytes))
    }

    /// The same bytes, as many as `suite` needs. `None`: there are too few.
    pub fn fit(&self, suite: Suite) -> Option<Self> {
        let len = suite.key_len() + suite.salt_len();
        self.whole()
            .get(..len)
            .map(|bytes| Self::of(suite.key_len(), bytes))
    }

    /// The master key.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key)).unwrap_or_default()
    }

    /// The master salt.
    pub fn salt(&self) -> &[u8] {
        self.whole()
            .get(usize::from(self.key)..)
            .unwrap_or_default()
    }

    /// Master key and salt, as an `a=crypto` line carries them.
    pub(crate) fn whole(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// `from` is no longer than the longest.
    fn of(key: usize, from: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes
            .iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to = *from);
        Self {
            bytes,
            key: key as u8,
            len: from.len() as u8,
        }
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({} bytes)", self.len)
    }
}

impl Drop for SrtpKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// A master key identifier: `value:length` of an `a=crypto` line (RFC 4568 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    /// The identifier.
    pub value: u64,
    /// Its length on the wire in bytes, 1 to 8 here (the RFC allows 128).
    pub length: u8,
}

/// One `a=crypto` line (RFC 4568 §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// The tag: an answer repeats the tag of the offered line it chose.
    pub tag: u32,
    /// The protection profile.
    pub suite: Suite,
    /// Master key and salt of whoever wrote the line.
    pub key: SrtpKey,
    /// Packets the key may protect, where the line says so.
    pub lifetime: Option<u64>,
    /// The master key identifier every packet carries, where the line says so.
    pub mki: Option<Mki>,
}

/// How both directions of one leg are keyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keying {
    /// Plain RTP (`RTP/AVP`).
    None,
    /// SRTP keyed by SDES (`RTP/SAVP`). Each side sends under its own key. Shared: signalling and
    /// media both keep an agreement, and most legs have no keys.
    Sdes {
        /// What we send under.
        local: Arc<Crypto>,
        /// What the far side sends under.
        remote: Arc<Crypto>,
    },
}
