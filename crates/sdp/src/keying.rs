//! How a leg's media is keyed: not at all, or by SDES (RFC 4568).

use std::fmt;

use zeroize::Zeroize;

/// A protection profile of SRTP (RFC 4568 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: AES-128 counter mode, 80-bit tag.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: the same with a 32-bit tag on SRTP (SRTCP keeps 80 bits).
    AesCm128HmacSha1_32,
}

/// An SRTP master key and salt: 16 bytes of key, then 14 bytes of salt (RFC 4568 §6.2).
///
/// Cannot be printed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey([u8; 30]);

impl SrtpKey {
    /// Takes 16 bytes of master key followed by 14 bytes of master salt.
    pub fn new(bytes: [u8; 30]) -> Self {
        Self(bytes)
    }

    /// The 16-byte master key.
    pub fn key(&self) -> &[u8] {
        &self.0[..16]
    }

    /// The 14-byte master salt.
    pub fn salt(&self) -> &[u8] {
        &self.0[16..]
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpKey(30 bytes)")
    }
}

impl Drop for SrtpKey {
    fn drop(&mut self) {
        self.0.zeroize();
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
    /// SRTP keyed by SDES (`RTP/SAVP`). Each side sends under its own key.
    Sdes {
        /// What we send under.
        local: Crypto,
        /// What the far side sends under.
        remote: Crypto,
    },
}
