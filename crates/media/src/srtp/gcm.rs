//! AES-GCM for SRTP (RFC 7714): one pass encrypts and authenticates, in place.
//!
//! ```text
//!  RTP    header ‖ E(payload) ‖ tag(16) ‖ [MKI]             the header is authenticated with it
//!  RTCP   8 octets ‖ E(rest) ‖ tag(16) ‖ E|index ‖ [MKI]    8 octets ‖ E|index are authenticated with it
//! ```
//!
//! The rollover counter needs no tag of its own: it is part of the nonce.

use aes_gcm::aead::array::Array;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use sdp::{SrtpKey, Suite};
use zeroize::Zeroize;

use super::kdf::{Label, derive};
use crate::packet::CAPACITY;
use crate::prefetch::prefetch;

/// Octets of the tag, on SRTP and SRTCP.
pub(super) const TAG: usize = 16;

/// The keys of SRTP and SRTCP.
pub(super) struct Gcm {
    rtp: Aead,
    rtcp: Aead,
}

enum Cipher {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

struct Aead {
    cipher: Cipher,
    salt: [u8; 12],
}

impl Gcm {
    pub(super) fn derive(suite: Suite, master: &SrtpKey) -> Self {
        let long = suite == Suite::AeadAes256Gcm;
        Self {
            rtp: Aead::derive(master, long, Label::RtpEncryption, Label::RtpSalt),
            rtcp: Aead::derive(master, long, Label::RtcpEncryption, Label::RtcpSalt),
        }
    }

    /// Asks memory for what the next SRTP packet needs.
    pub(super) fn prefetch(&self) {
        prefetch(&self.rtp);
    }

    /// Encrypts what lies between `start` and `len` and puts the tag behind it (RFC 7714 §8.1, §9.1).
    pub(super) fn seal_rtp(
        &self,
        bytes: &mut [u8],
        start: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> usize {
        let (head, body) = bytes.split_at_mut(start);
        let (plain, rest) = body.split_at_mut(len - start);
        let tag = self.rtp.seal(&nonce(ssrc, index), head, plain);
        rest[..TAG].copy_from_slice(&tag);
        len + TAG
    }

    /// The inverse of [`Gcm::seal_rtp`]; the tag ends at `end`. Returns the plain length; `None`: forged.
    pub(super) fn open_rtp(
        &self,
        bytes: &mut [u8],
        start: usize,
        end: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let plain = end - TAG;
        let (head, body) = bytes[..end].split_at_mut(start);
        let (sealed, tag) = body.split_at_mut(plain - start);
        self.rtp
            .open(&nonce(ssrc, index), head, sealed, tag)
            .then_some(plain)
    }

    /// Encrypts an RTCP packet of `len` octets; tag and `word` (E and index) go behind it (RFC 7714 §9.2).
    pub(super) fn seal_rtcp(&self, bytes: &mut [u8], len: usize, ssrc: u32, word: u32) -> usize {
        let (head, body) = bytes.split_at_mut(8);
        let (plain, rest) = body.split_at_mut(len - 8);
        let associated = associated(head, word);
        let index = u64::from(word & !super::ENCRYPTED);
        let tag = self.rtcp.seal(&nonce(ssrc, index), &associated, plain);
        rest[..TAG].copy_from_slice(&tag);
        rest[TAG..TAG + 4].copy_from_slice(&word.to_be_bytes());
        len + TAG + 4
    }

    /// The inverse of [`Gcm::seal_rtcp`]; the tag ends at `end`, before the word. A packet that is not
    /// encrypted is authenticated as a whole (RFC 7714 §9.3).
    pub(super) fn open_rtcp(
        &self,
        bytes: &mut [u8],
        end: usize,
        ssrc: u32,
        word: u32,
    ) -> Option<usize> {
        let plain = end - TAG;
        let nonce = nonce(ssrc, u64::from(word & !super::ENCRYPTED));
        let (packet, tag) = bytes[..end].split_at_mut(plain);
        let good = if word & super::ENCRYPTED != 0 {
            let (head, sealed) = packet.split_at_mut(8);
            self.rtcp.open(&nonce, &associated(head, word), sealed, tag)
        } else {
            let mut whole = [0; CAPACITY];
            whole[..plain].copy_from_slice(packet);
            whole[plain..plain + 4].copy_from_slice(&word.to_be_bytes());
            self.rtcp.open(&nonce, &whole[..plain + 4], &mut [], tag)
        };
        good.then_some(plain)
    }
}

/// SSRC and packet index where the nonce wants them (RFC 7714 §8.1, §9.1); the salt is laid over it.
fn nonce(ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    nonce
}

fn associated(head: &[u8], word: u32) -> [u8; 12] {
    let mut associated = [0; 12];
    associated[..8].copy_from_slice(&head[..8]);
    associated[8..].copy_from_slice(&word.to_be_bytes());
    associated
}

impl Aead {
    fn derive(master: &SrtpKey, long: bool, encryption: Label, salting: Label) -> Self {
        let (mut key, mut salt) = ([0; 32], [0; 12]);
        let key_len = if long { 32 } else { 16 };
        derive(master, encryption, &mut key[..key_len]);
        derive(master, salting, &mut salt);
        let aead = Self::new(&key[..key_len], salt);
        key.zeroize();
        salt.zeroize();
        aead
    }

    /// `key`: 16 or 32 octets.
    fn new(key: &[u8], salt: [u8; 12]) -> Self {
        const FITS: &str = "the key is as long as the cipher's";
        let cipher = match key.len() {
            32 => Cipher::Aes256(Aes256Gcm::new_from_slice(key).expect(FITS)),
            _ => Cipher::Aes128(Aes128Gcm::new_from_slice(key).expect(FITS)),
        };
        Self { cipher, salt }
    }

    fn seal(&self, nonce: &[u8; 12], associated: &[u8], plain: &mut [u8]) -> [u8; TAG] {
        let nonce = Array(self.salted(nonce));
        let sealed = match &self.cipher {
            Cipher::Aes128(gcm) => gcm.encrypt_inout_detached(&nonce, associated, plain.into()),
            Cipher::Aes256(gcm) => gcm.encrypt_inout_detached(&nonce, associated, plain.into()),
        };
        sealed
            .expect("a packet is far shorter than 2^36 octets")
            .into()
    }

    /// Decrypts in place; `false`, and nothing changed, if the tag is wrong.
    fn open(&self, nonce: &[u8; 12], associated: &[u8], sealed: &mut [u8], tag: &[u8]) -> bool {
        let Ok(tag) = <[u8; TAG]>::try_from(tag) else {
            return false;
        };
        let (nonce, tag) = (Array(self.salted(nonce)), Array(tag));
        match &self.cipher {
            Cipher::Aes128(gcm) => {
                gcm.decrypt_inout_detached(&nonce, associated, sealed.into(), &tag)
            }
            Cipher::Aes256(gcm) => {
                gcm.decrypt_inout_detached(&nonce, associated, sealed.into(), &tag)
            }
        }
        .is_ok()
    }

    fn salted(&self, nonce: &[u8; 12]) -> [u8; 12] {
        std::array::from_fn(|i| nonce[i] ^ self.salt[i])
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    const SALT: &str = "51756964 2070726f 2071756f";
    const KEY: &str = "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f";

    fn gcm(key_len: usize) -> Gcm {
        let aead = || Aead::new(&hex(KEY)[..key_len], hex(SALT).try_into().unwrap());
        Gcm {
            rtp: aead(),
            rtcp: aead(),
        }
    }

    /// The packet of RFC 7714 §16: "Gallia est omnis divisa in partes tres", sequence number f17b.
    const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 696120657374206f6d6e69732064697669736120696e207061727465732074726573";

    /// RFC 7714 §16.1.1 and §16.2.1.
    #[test]
    fn rtp_of_rfc_7714() {
        for (key_len, expected) in [
            (
                16,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                32,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ] {
            let gcm = gcm(key_len);
            let plain = hex(RTP);
            let mut bytes = [plain.as_slice(), &[0; TAG]].concat();
            let sealed = gcm.seal_rtp(&mut bytes, 12, plain.len(), 0x5501_a0b2, 0xf17b);
            assert_eq!(bytes[..sealed], hex(expected));
            let opened = gcm.open_rtp(&mut bytes, 12, sealed, 0x5501_a0b2, 0xf17b);
            assert_eq!(
                (opened, &bytes[..plain.len()]),
                (Some(plain.len()), &plain[..])
            );
            let mut bent = hex(expected);
            bent[20] ^= 1;
            assert_eq!(
                gcm.open_rtp(&mut bent, 12, sealed, 0x5501_a0b2, 0xf17b),
                None
            );
            let mut later = hex(expected);
            assert_eq!(
                gcm.open_rtp(&mut later, 12, sealed, 0x5501_a0b2, 0x1_f17b),
                None
            );
        }
    }

    /// RFC 7714 §17.1 and §17.3: a sender report with index 5d4.
    #[test]
    fn rtcp_of_rfc_7714() {
        let plain = hex(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef",
        );
        for (key_len, expected) in [
            (
                16,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                32,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ] {
            let gcm = gcm(key_len);
            let mut bytes = [plain.as_slice(), &[0; TAG + 4]].concat();
            let word = super::super::ENCRYPTED | 0x5d4;
            let sealed = gcm.seal_rtcp(&mut bytes, plain.len(), 0x4d61_7273, word);
            assert_eq!(bytes[..sealed], hex(expected), "{key_len}");
            let opened = gcm.open_rtcp(&mut bytes, sealed - 4, 0x4d61_7273, word);
            assert_eq!(opened, Some(plain.len()));
            assert_eq!(bytes[..plain.len()], plain);
        }
    }

    /// RTCP encrypted and in the clear, bent in every octet.
    #[test]
    fn rtcp_is_authenticated_in_every_octet_encrypted_or_not() {
        let gcm = gcm(16);
        let plain: Vec<u8> = (0..40).collect();
        let mut bytes = [plain.as_slice(), &[0; TAG + 4]].concat();
        let word = super::super::ENCRYPTED | 7;
        let sealed = gcm.seal_rtcp(&mut bytes, 40, 0x0405_0607, word);
        assert_eq!((sealed, &bytes[..8]), (60, &plain[..8]));
        assert_ne!(bytes[8..40], plain[8..40]);
        for at in 0..56 {
            let mut bent = bytes.clone();
            bent[at] ^= 0x10;
            assert_eq!(gcm.open_rtcp(&mut bent, 56, 0x0405_0607, word), None);
        }
        assert_eq!(
            gcm.open_rtcp(&mut bytes.clone(), 56, 0x0405_0607, word ^ 1),
            None
        );
        assert_eq!(gcm.open_rtcp(&mut bytes, 56, 0x0405_0607, word), Some(40));
        assert_eq!(bytes[..40], plain);
        // Not encrypted: the tag is over everything.
        let whole = [plain.as_slice(), &7u32.to_be_bytes()].concat();
        let tag = gcm.rtcp.seal(&nonce(0x0405_0607, 7), &whole, &mut []);
        let mut clear = [plain.as_slice(), &tag].concat();
        assert_eq!(gcm.open_rtcp(&mut clear, 56, 0x0405_0607, 7), Some(40));
        clear[20] ^= 1;
        assert_eq!(gcm.open_rtcp(&mut clear, 56, 0x0405_0607, 7), None);
    }
}
