//! SRTP and SRTCP (RFC 3711) with AES_CM_128_HMAC_SHA1_80 and _32, and with AES-GCM (RFC 7714), in place.
//!
//! ```text
//!  RTP    header ‖ payload ─────────────► header ‖ E(payload) ‖ [MKI] ‖ tag(10 | 4)
//!                                          tag over header ‖ E(payload) ‖ ROC
//!  RTCP   first 8 octets ‖ rest ─────────► 8 octets ‖ E(rest) ‖ E|index ‖ [MKI] ‖ tag(10)
//! ```
//!
//! * A packet is authenticated before anything about it is remembered: a forged one moves neither
//!   the replay window nor the rollover counter.
//! * State is kept per SSRC and can be exported and restored ([`StreamState`]): a standby takes over.
//! * However many sources a far side has under one key, nothing of any of them passes twice (`heard.rs`).
//! * A `_32` suite shortens the tag of SRTP only; SRTCP keeps 80 bits (RFC 4568 §6.2.2).
//! * No allocation after construction, but one when a second source proves itself under the same key. What SRTP is
//!   encrypted and authenticated with is expanded once; what SRTCP is, for each of its few packets.

mod gcm;
mod heard;
mod kdf;
mod keys;
mod replay;

use std::fmt;

use sdp::{Crypto, Mki};

use crate::packet::{CAPACITY, Packet};
use crate::prefetch::prefetch;
use crate::rtp;
use heard::Heard;
use keys::SessionKeys;
use replay::Sent;
pub use replay::{STREAMS, StreamState};

/// Why a packet could not be protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectError {
    /// Not RTP or RTCP, or no room for the tag.
    Malformed,
    /// The key has protected as many packets as it may (RFC 3711 §9.2, RFC 4568 §6.1).
    KeyExhausted,
    /// More than [`STREAMS`] sources under one key.
    TooManySources,
    /// The sequence number was used before: the key stream would repeat.
    Reused,
}

/// Why a packet was not accepted. Noise, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnprotectError {
    /// Not SRTP or SRTCP, or too short.
    Malformed,
    /// The master key identifier is another one than agreed.
    WrongMki,
    /// The authentication tag is wrong.
    Forged,
    /// The packet was seen before, is too old to tell, or of a source for which there is no memory left to tell.
    Replayed,
}

/// What we send under: turns RTP into SRTP and RTCP into SRTCP.
pub struct Protect {
    keys: SessionKeys,
    mki: Option<Mki>,
    streams: Sent,
    lifetime: u64,
    used: u64,
}

impl Protect {
    /// Derives the session keys from what *we* wrote in our `a=crypto` line.
    pub fn new(crypto: &Crypto) -> Self {
        Self {
            keys: SessionKeys::derive(crypto.suite, &crypto.key),
            mki: crypto.mki,
            streams: Sent::default(),
            lifetime: crypto.lifetime.unwrap_or(MAX_RTP).min(MAX_RTP),
            used: 0,
        }
    }

    /// Asks memory for what the next packet needs here.
    pub(crate) fn prefetch(&self) {
        prefetch(self);
    }

    /// Asks memory for the keys, when the rest is there.
    pub(crate) fn prefetch_keys(&self) {
        self.keys.prefetch();
    }

    /// RTP in, SRTP out, in place. Sequence numbers of one SSRC must rise, modulo 2^16, in steps below 2^15.
    pub fn rtp(&mut self, packet: &mut Packet) -> Result<(), ProtectError> {
        let len = packet.len();
        let start = rtp::header_len(packet.as_slice()).ok_or(ProtectError::Malformed)?;
        if len + LONGEST_TAIL > CAPACITY {
            return Err(ProtectError::Malformed);
        }
        if self.used >= self.lifetime {
            return Err(ProtectError::KeyExhausted);
        }
        let ssrc = rtp::ssrc(packet.as_slice());
        let stream = self
            .streams
            .source(ssrc)
            .ok_or(ProtectError::TooManySources)?;
        let index = stream.index(rtp::sequence(packet.as_slice()));
        if !stream.rtp.admit(index) {
            return Err(ProtectError::Reused);
        }
        stream.rtp.remember(index);
        self.used += 1;

        let bytes = packet.buffer_mut();
        let end = match &self.keys {
            SessionKeys::Counter(keys) => {
                keys.rtp.crypt(ssrc, index, &mut bytes[start..len]);
                let roc = ((index >> 16) as u32).to_be_bytes();
                let tag = keys.rtp.tag(&bytes[..len], &roc);
                let at = write_mki(bytes, len, self.mki);
                bytes[at..at + keys.rtp_tag].copy_from_slice(&tag[..keys.rtp_tag]);
                at + keys.rtp_tag
            }
            SessionKeys::Gcm(keys) => {
                let end = keys.seal_rtp(bytes, start, len, ssrc, index);
                write_mki(bytes, end, self.mki)
            }
        };
        packet.set_len(end);
        Ok(())
    }

    /// RTCP in, SRTCP out, in place, encrypted.
    pub fn rtcp(&mut self, packet: &mut Packet) -> Result<(), ProtectError> {
        let len = packet.len();
        if len < 8 || len + LONGEST_TAIL > CAPACITY {
            return Err(ProtectError::Malformed);
        }
        let ssrc = rtcp_ssrc(packet.as_slice());
        let stream = self
            .streams
            .source(ssrc)
            .ok_or(ProtectError::TooManySources)?;
        let index = stream.rtcp.next();
        if index >= MAX_RTCP.min(self.lifetime) {
            return Err(ProtectError::KeyExhausted);
        }
        stream.rtcp.remember(index);

        let bytes = packet.buffer_mut();
        let word = ENCRYPTED | index as u32;
        let end = match &self.keys {
            SessionKeys::Counter(keys) => {
                let cipher = keys.rtcp.cipher();
                cipher.crypt(ssrc, index, &mut bytes[8..len]);
                bytes[len..len + 4].copy_from_slice(&word.to_be_bytes());
                let tag = cipher.tag(&bytes[..len + 4], &[]);
                let at = write_mki(bytes, len + 4, self.mki);
                bytes[at..at + RTCP_TAG].copy_from_slice(&tag[..RTCP_TAG]);
                at + RTCP_TAG
            }
            SessionKeys::Gcm(keys) => {
                let end = keys.seal_rtcp(bytes, len, ssrc, word);
                write_mki(bytes, end, self.mki)
            }
        };
        packet.set_len(end);
        Ok(())
    }

    /// Rollover counters and indices of every source so far, for a standby.
    pub fn streams(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.streams.export()
    }

    /// Takes over the state of one source.
    pub fn restore(&mut self, state: StreamState) {
        self.streams.restore(state);
    }
}

/// What the far side sends under: turns SRTP into RTP and SRTCP into RTCP.
pub struct Unprotect {
    keys: SessionKeys,
    mki: Option<Mki>,
    streams: Heard,
    /// How often the first source may have wrapped before it was heard, if not never.
    wraps: u32,
}

impl Unprotect {
    /// Derives the session keys from what *the far side* wrote in its `a=crypto` line.
    pub fn new(crypto: &Crypto) -> Self {
        Self {
            keys: SessionKeys::derive(crypto.suite, &crypto.key),
            mki: crypto.mki,
            streams: Heard::default(),
            wraps: 1,
        }
    }

    /// The same for a far side that has changed its key in mid-call. It should go on to count wraps
    /// (RFC 3711 §3.3.1), and many begin anew: either is understood.
    pub fn succeeding(crypto: &Crypto, before: &Unprotect) -> Self {
        let wraps = before.streams().filter_map(|one| one.rtp_highest).max();
        Self {
            wraps: wraps.map_or(1, |highest| ((highest >> 16) as u32).max(1)),
            ..Self::new(crypto)
        }
    }

    /// Asks memory for what the next packet needs here.
    pub(crate) fn prefetch(&self) {
        prefetch(self);
    }

    /// Asks memory for the keys, when the rest is there.
    pub(crate) fn prefetch_keys(&self) {
        self.keys.prefetch();
    }

    /// SRTP in, RTP out, in place. On an error the packet is as it came.
    pub fn rtp(&mut self, packet: &mut Packet) -> Result<(), UnprotectError> {
        use UnprotectError::*;
        let bytes = packet.as_mut_slice();
        let start = rtp::header_len(bytes).ok_or(Malformed)?;
        // Behind the MKI stands the tag with HMAC, nothing with GCM, whose tag belongs to the payload.
        let behind = match &self.keys {
            SessionKeys::Counter(keys) => keys.rtp_tag,
            SessionKeys::Gcm(_) => 0,
        };
        let (end, tag) = self.split(bytes, behind)?;
        let least = match &self.keys {
            SessionKeys::Counter(_) => start,
            SessionKeys::Gcm(_) => start + gcm::TAG,
        };
        if end < least {
            return Err(Malformed);
        }
        let ssrc = rtp::ssrc(bytes);
        let sequence = rtp::sequence(bytes);
        let mut index = self.streams.rtp(ssrc, sequence).ok_or(Replayed)?;
        let open = |bytes: &mut [u8], index: u64| match &self.keys {
            SessionKeys::Counter(keys) => {
                let roc = ((index >> 16) as u32).to_be_bytes();
                let good = keys.rtp.verify(&bytes[..end], &roc, &bytes[tag..]);
                good.then(|| {
                    keys.rtp.crypt(ssrc, index, &mut bytes[start..end]);
                    end
                })
            }
            SessionKeys::Gcm(keys) => keys.open_rtp(bytes, start, end, ssrc, index),
        };
        let mut plain = open(bytes, index);
        if plain.is_none() && self.streams.is_empty() {
            // Its first packets never came, and then it wrapped (RFC 3711 §3.3.1).
            index += u64::from(self.wraps) << 16;
            plain = open(bytes, index);
        }
        let plain = plain.ok_or(Forged)?;
        self.streams.proven(ssrc).rtp.remember(index);
        packet.set_len(plain);
        Ok(())
    }

    /// SRTCP in, RTCP out, in place. On an error the packet is as it came.
    pub fn rtcp(&mut self, packet: &mut Packet) -> Result<(), UnprotectError> {
        use UnprotectError::*;
        let bytes = packet.as_mut_slice();
        let (behind, before) = match &self.keys {
            SessionKeys::Counter(_) => (RTCP_TAG, 0),
            SessionKeys::Gcm(_) => (0, gcm::TAG),
        };
        let (end, tag) = self.split(bytes, behind)?;
        if end < 12 + before || bytes[0] >> 6 != 2 {
            return Err(Malformed);
        }
        let plain = end - 4;
        let word = u32::from_be_bytes([
            bytes[plain],
            bytes[plain + 1],
            bytes[plain + 2],
            bytes[plain + 3],
        ]);
        let (encrypted, index) = (word & ENCRYPTED != 0, u64::from(word & !ENCRYPTED));
        let ssrc = rtcp_ssrc(bytes);
        self.streams.rtcp(ssrc, index).ok_or(Replayed)?;
        let plain = match &self.keys {
            SessionKeys::Counter(keys) => {
                let cipher = keys.rtcp.cipher();
                if !cipher.verify(&bytes[..end], &[], &bytes[tag..]) {
                    return Err(Forged);
                }
                if encrypted {
                    cipher.crypt(ssrc, index, &mut bytes[8..plain]);
                }
                plain
            }
            SessionKeys::Gcm(keys) => keys.open_rtcp(bytes, plain, ssrc, word).ok_or(Forged)?,
        };
        self.streams.proven(ssrc).rtcp.remember(index);
        packet.set_len(plain);
        Ok(())
    }

    /// Rollover counters and replay windows of every source so far, for a standby.
    pub fn streams(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.streams.export()
    }

    /// Takes over the state of one source.
    pub fn restore(&mut self, state: StreamState) {
        self.streams.restore(state);
    }

    /// Where the authenticated part ends and where the tag begins; the MKI between them is checked.
    fn split(&self, bytes: &[u8], tag_len: usize) -> Result<(usize, usize), UnprotectError> {
        let mki_len = self.mki.map_or(0, |mki| usize::from(mki.length));
        let tag = bytes
            .len()
            .checked_sub(tag_len)
            .ok_or(UnprotectError::Malformed)?;
        let end = tag.checked_sub(mki_len).ok_or(UnprotectError::Malformed)?;
        if let Some(mki) = self.mki {
            let found = bytes[end..tag]
                .iter()
                .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            if found != mki.value {
                return Err(UnprotectError::WrongMki);
            }
        }
        Ok((end, tag))
    }
}

impl fmt::Debug for Protect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protect")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Unprotect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unprotect")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// Packets one master key may protect (RFC 3711 §9.2).
const MAX_RTP: u64 = 1 << 48;
const MAX_RTCP: u64 = 1 << 31;
const RTCP_TAG: usize = 10;
/// The most a packet grows by: tag, index of SRTCP and the longest MKI.
const LONGEST_TAIL: usize = 16 + 4 + 255;
const ENCRYPTED: u32 = 1 << 31;

fn rtcp_ssrc(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn write_mki(bytes: &mut [u8], at: usize, mki: Option<Mki>) -> usize {
    let Some(mki) = mki else { return at };
    let len = usize::from(mki.length);
    for (i, byte) in bytes[at..at + len].iter_mut().enumerate() {
        let shift = 8 * (len - 1 - i);
        *byte = if shift < 64 {
            (mki.value >> shift) as u8
        } else {
            0
        };
    }
    at + len
}

#[cfg(test)]
mod tests;
