//! `a=crypto` lines: SRTP keys carried in the SDP (SDES, RFC 4568).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<base64 of key ‖ salt>|2^20|1:4 WSH=64
//!          tag suite                        30 bytes               life mki session parameters
//! ```

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::{Crypto, Mki, SrtpKey, Suite};

/// Standard alphabet; written with the padding a length asks for; padding and stray trailing bits do not matter when reading.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why an `a=crypto` line cannot be used. The line counts as not offered (RFC 4568 §6.3.7, §7.1.2);
/// no variant holds a byte of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not `tag suite inline:…`.
    #[error("the crypto line is not of the form `tag suite inline:key`")]
    Form,
    /// The tag is no decimal number of at most nine digits (RFC 4568 §9.1).
    #[error("the crypto tag is no number")]
    Tag,
    /// A suite we do not have.
    #[error("the crypto suite is unknown")]
    Suite,
    /// The key is no base64, or not as long as the suite's: 30, 28 or 44 bytes.
    #[error("the key is not as long as the suite needs, in base64")]
    Key,
    /// Several keys in one line: they would need MKI-driven key changes (RFC 4568 §6.1).
    #[error("the crypto line carries several keys")]
    SeveralKeys,
    /// The lifetime is no number of packets up to 2^48 (RFC 3711 §9.2).
    #[error("the key lifetime is not a number from 1 to 2^48")]
    Lifetime,
    /// The MKI is not `value:length` with a length of 1 to 8 bytes that holds the value.
    #[error("the master key identifier is not `value:length` with 1 to 8 bytes")]
    Mki,
    /// A session parameter that changes the packets (no encryption, no authentication, key
    /// derivation rate, FEC) or is unknown (RFC 4568 §6.3).
    #[error("the crypto line asks for a session parameter we do not have")]
    SessionParameter,
}

impl Suite {
    /// The name in an `a=crypto` line (RFC 4568 §6.2, RFC 7714 §14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Suite::ALL
            .into_iter()
            .find(|suite| name.eq_ignore_ascii_case(suite.name()))
    }
}

impl Crypto {
    /// Reads the value behind `a=crypto:`.
    ///
    /// # Errors
    ///
    /// [`Unusable`] for a line that must be treated as if it were not there.
    pub fn parse(value: &str) -> Result<Self, Unusable> {
        let mut words = value.split_ascii_whitespace();
        let (Some(tag), Some(suite), Some(key)) = (words.next(), words.next(), words.next()) else {
            return Err(Unusable::Form);
        };
        if tag.len() > 9 || !tag.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unusable::Tag);
        }
        let tag = tag.parse().map_err(|_| Unusable::Tag)?;
        let suite = Suite::from_name(suite).ok_or(Unusable::Suite)?;
        if !words.all(harmless_session_parameter) {
            return Err(Unusable::SessionParameter);
        }
        let (key, lifetime, mki) = parse_key_params(suite, key)?;
        Ok(Self {
            tag,
            suite,
            key,
            lifetime,
            mki,
        })
    }

    /// The value to print behind `a=crypto:`. Holds the key: for the wire only.
    pub fn to_value(&self) -> String {
        let mut value = format!("{} {} inline:", self.tag, self.suite.name());
        BASE64.encode_string(self.key.whole(), &mut value);
        match self.lifetime {
            Some(packets) if packets.is_power_of_two() => {
                value.push_str(&format!("|2^{}", packets.trailing_zeros()));
            }
            Some(packets) => value.push_str(&format!("|{packets}")),
            None => {}
        }
        if let Some(mki) = self.mki {
            value.push_str(&format!("|{}:{}", mki.value, mki.length));
        }
        value
    }
}

/// `inline:<base64>["|" lifetime]["|" mki ":" length]` (RFC 4568 §6.1).
fn parse_key_params(
    suite: Suite,
    text: &str,
) -> Result<(SrtpKey, Option<u64>, Option<Mki>), Unusable> {
    if text.contains(';') {
        return Err(Unusable::SeveralKeys);
    }
    let (method, info) = text.split_once(':').ok_or(Unusable::Form)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(Unusable::Form);
    }
    let mut fields = info.split('|');
    let key = parse_key(suite, fields.next().unwrap_or_default())?;
    let (mut lifetime, mut mki) = (None, None);
    for (index, field) in fields.enumerate() {
        match (field.contains(':'), index) {
            (true, _) if mki.is_none() => mki = Some(parse_mki(field)?),
            (false, 0) => lifetime = Some(parse_lifetime(field)?),
            _ => return Err(Unusable::Form),
        }
    }
    Ok((key, lifetime, mki))
}

fn parse_key(suite: Suite, text: &str) -> Result<SrtpKey, Unusable> {
    // 30 bytes fill their 40 characters; 28 and 44 want padding. Some leave out what is wanted, some
    // write what is not.
    let text = text.trim_end_matches('=');
    // Room for one group more than the longest: a longer text fails instead of being cut.
    let mut bytes = Zeroizing::new([0u8; 51]);
    let length = BASE64
        .decode_slice(text, bytes.as_mut_slice())
        .map_err(|_| Unusable::Key)?;
    let decoded = bytes.get(..length).ok_or(Unusable::Key)?;
    SrtpKey::from_bytes(suite, decoded).ok_or(Unusable::Key)
}

/// Packets a key may protect: decimal or `2^n`, up to 2^48 (RFC 3711 §9.2).
fn parse_lifetime(text: &str) -> Result<u64, Unusable> {
    let packets = match text.split_once('^') {
        Some(("2", exponent)) => exponent
            .parse::<u32>()
            .ok()
            .and_then(|exponent| 1u64.checked_shl(exponent)),
        Some(_) => None,
        None => text.parse().ok(),
    };
    packets
        .filter(|packets| (1..=1 << 48).contains(packets))
        .ok_or(Unusable::Lifetime)
}

fn parse_mki(text: &str) -> Result<Mki, Unusable> {
    let (value, length) = text.split_once(':').ok_or(Unusable::Mki)?;
    let (Ok(value), Ok(length)) = (value.parse::<u64>(), length.parse::<u8>()) else {
        return Err(Unusable::Mki);
    };
    let fits = match length {
        1..=7 => value < 1 << (8 * u32::from(length)),
        8 => true,
        _ => false,
    };
    fits.then_some(Mki { value, length }).ok_or(Unusable::Mki)
}

/// Whether a session parameter can be granted without doing anything (RFC 4568 §6.3): the window
/// size hint, a key derivation rate of zero, and unknown ones that say of themselves (`-`) that
/// they may be skipped (§6.3.7).
fn harmless_session_parameter(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    name.starts_with('-')
        || name.eq_ignore_ascii_case("WSH")
        || (name.eq_ignore_ascii_case("KDR") && value == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "xfQq6S962xk1frubATz5s/GBRflTT4v7gKA98Bml";

    fn parse(value: &str) -> Result<Crypto, Unusable> {
        Crypto::parse(&value.replace("KEY", KEY))
    }

    #[test]
    fn a_line_as_published_is_read_and_printed_back() {
        let value = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let crypto = Crypto::parse(&value).expect("a usable line");
        assert_eq!(crypto.tag, 1);
        assert_eq!(crypto.suite, Suite::AesCm128HmacSha1_80);
        assert_eq!(crypto.key.key().len() + crypto.key.salt().len(), 30);
        assert_eq!((crypto.key.key()[0], crypto.key.salt()[13]), (0xc5, 0xa5));
        assert_eq!((crypto.lifetime, crypto.mki), (None, None));
        assert_eq!(crypto.to_value(), value);
    }

    #[test]
    fn lifetime_and_mki_are_read_in_every_form() {
        let read = |parameters: &str| {
            let crypto = parse(&format!("2 AES_CM_128_HMAC_SHA1_32 inline:KEY{parameters}"))
                .expect("a usable line");
            (
                crypto.lifetime,
                crypto.mki.map(|mki| (mki.value, mki.length)),
            )
        };
        assert_eq!(read(""), (None, None));
        assert_eq!(read("|2^20"), (Some(1 << 20), None));
        assert_eq!(read("|1048576"), (Some(1 << 20), None));
        assert_eq!(read("|2^48"), (Some(1 << 48), None));
        assert_eq!(read("|1:4"), (None, Some((1, 4))));
        assert_eq!(read("|2^20|1:4"), (Some(1 << 20), Some((1, 4))));
        assert_eq!(
            read("|2^31|18446744073709551615:8"),
            (Some(1 << 31), Some((u64::MAX, 8)))
        );
    }

    #[test]
    fn lifetime_and_mki_are_printed_as_they_are_read() {
        for parameters in ["", "|2^20", "|1000000", "|1:4", "|2^20|1:4", "|2^48|7:1"] {
            let value = format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{parameters}");
            assert_eq!(
                Crypto::parse(&value).expect("a usable line").to_value(),
                value
            );
        }
    }

    #[test]
    fn padding_and_letter_case_do_not_matter() {
        let plain = parse("1 AES_CM_128_HMAC_SHA1_80 inline:KEY").expect("a usable line");
        for value in [
            "1 aes_cm_128_hmac_sha1_80 INLINE:KEY",
            "1   AES_CM_128_HMAC_SHA1_80\tinline:KEY ",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY WSH=64",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=0 -EXTENSION=1",
        ] {
            assert_eq!(parse(value).as_ref(), Ok(&plain), "{value}");
        }
        // 29 and 31 bytes with the padding their length asks for: read, and found to be no key.
        for text in [
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        ] {
            let value = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{text}");
            assert_eq!(Crypto::parse(&value), Err(Unusable::Key));
        }
        // Padding nobody needs, as some write it all the same.
        let padded = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}====");
        assert_eq!(Crypto::parse(&padded), Ok(plain));
    }

    #[test]
    fn lines_we_cannot_use_say_why() {
        let cases = [
            ("", Unusable::Form),
            ("1 AES_CM_128_HMAC_SHA1_80", Unusable::Form),
            ("1 AES_CM_128_HMAC_SHA1_80 KEY", Unusable::Form),
            ("1 AES_CM_128_HMAC_SHA1_80 outline:KEY", Unusable::Form),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|2^20",
                Unusable::Form,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4|2^20",
                Unusable::Form,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4|1:4",
                Unusable::Form,
            ),
            ("one AES_CM_128_HMAC_SHA1_80 inline:KEY", Unusable::Tag),
            ("+1 AES_CM_128_HMAC_SHA1_80 inline:KEY", Unusable::Tag),
            (
                "1234567890 AES_CM_128_HMAC_SHA1_80 inline:KEY",
                Unusable::Tag,
            ),
            ("1 AEAD_AES_128_GCM inline:KEY", Unusable::Key),
            ("1 AEAD_AES_256_GCM inline:KEY", Unusable::Key),
            ("1 AEAD_AES_128_CCM inline:KEY", Unusable::Suite),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY", Unusable::Suite),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:", Unusable::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEYKEY", Unusable::Key),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:$%&/()=", Unusable::Key),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4;inline:KEY|2:4",
                Unusable::SeveralKeys,
            ),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|", Unusable::Lifetime),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|0", Unusable::Lifetime),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^49",
                Unusable::Lifetime,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^64",
                Unusable::Lifetime,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY|3^4",
                Unusable::Lifetime,
            ),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:0", Unusable::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:9", Unusable::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|256:1", Unusable::Mki),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|:", Unusable::Mki),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP",
                Unusable::SessionParameter,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTCP",
                Unusable::SessionParameter,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP",
                Unusable::SessionParameter,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=4",
                Unusable::SessionParameter,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY FEC_ORDER=FEC_SRTP",
                Unusable::SessionParameter,
            ),
            (
                "1 AES_CM_128_HMAC_SHA1_80 inline:KEY WHATEVER",
                Unusable::SessionParameter,
            ),
        ];
        for (value, why) in cases {
            assert_eq!(parse(value), Err(why), "{value}");
        }
    }

    #[test]
    fn keys_of_gcm_are_read_with_and_without_padding_and_written_with_it() {
        for (suite, key, padding) in [
            (
                "AEAD_AES_128_GCM",
                "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHA",
                "==",
            ),
            (
                "AEAD_AES_256_GCM",
                "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKyw",
                "=",
            ),
        ] {
            let padded = format!("1 {suite} inline:{key}{padding}");
            let crypto = Crypto::parse(&padded).expect("a usable line");
            let bare = Crypto::parse(&format!("1 {suite} inline:{key}"));
            assert_eq!(bare.as_ref(), Ok(&crypto));
            assert_eq!(crypto.to_value(), padded);
            let (key, salt) = (crypto.key.key(), crypto.key.salt());
            assert_eq!((key.len(), salt.len()), (crypto.suite.key_len(), 12));
            let counted: Vec<u8> = (1..=(key.len() + 12) as u8).collect();
            assert_eq!([key, salt].concat(), counted);
        }
    }

    #[test]
    fn an_unusable_line_is_explained_without_its_key() {
        for value in [
            "1 NEW_SUITE inline:KEY",
            "1 AES_CM_128_HMAC_SHA1_80 inline:KEYx",
        ] {
            let why = parse(value).expect_err("an unusable line");
            assert!(!format!("{why} {why:?}").contains(&KEY[..8]));
        }
    }
}
