//! Key derivation (RFC 3711 §4.3): AES counter mode over label and master salt; derivation rate 0. With
//! a key of 256 bits AES-256 (RFC 6188 §3), and a salt of 96 bits is filled up with zeros (RFC 7714 §11).

use aes::cipher::{Array, BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16};
use aes::{Aes128Enc, Aes256Enc};
use sdp::SrtpKey;

/// What a derived key is for (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the key for `label`.
pub(super) fn derive(master: &SrtpKey, label: Label, out: &mut [u8]) {
    match master.key().len() {
        32 => stream(&cipher::<Aes256Enc>(master), master, label, out),
        _ => stream(&cipher::<Aes128Enc>(master), master, label, out),
    }
}

fn cipher<C: KeyInit>(master: &SrtpKey) -> C {
    C::new_from_slice(master.key()).expect("an SrtpKey has 16 or 32 octets of key")
}

fn stream<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(
    cipher: &C,
    master: &SrtpKey,
    label: Label,
    out: &mut [u8],
) {
    let mut counter = [0u8; 16];
    let salt = master.salt();
    counter[..salt.len()].copy_from_slice(salt);
    counter[7] ^= label as u8; // key_id = label ‖ 48 bits of index, right-aligned in 112 bits
    for (block, chunk) in out.chunks_mut(16).enumerate() {
        let mut input = counter;
        input[14..].copy_from_slice(&(block as u16).to_be_bytes());
        let mut stream: Array<u8, U16> = input.into();
        cipher.encrypt_block(&mut stream);
        chunk.copy_from_slice(&stream[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn derives_the_keys_of_rfc_3711_b_3() {
        let mut bytes = [0; 30];
        bytes[..16].copy_from_slice(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"));
        bytes[16..].copy_from_slice(&hex("0EC675AD498AFEEBB6960B3AABE6"));
        let master = SrtpKey::new(bytes);
        let derive = |label, len| {
            let mut out = vec![0; len];
            super::derive(&master, label, &mut out);
            out
        };
        assert_eq!(
            derive(Label::RtpEncryption, 16),
            hex("C61E7A93744F39EE10734AFE3FF7A087")
        );
        assert_eq!(
            derive(Label::RtpSalt, 14),
            hex("30CBBC08863D8C85D49DB34A9AE1")
        );
        assert_eq!(
            derive(Label::RtpAuthentication, 94),
            hex(concat!(
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE",
                "E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25",
                "6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2"
            ))
        );
    }
}
