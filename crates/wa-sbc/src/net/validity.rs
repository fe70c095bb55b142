//! Until when a certificate is valid: the one field of X.509 nobody else here hands out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the validity of a DER certificate (RFC 5280 §4.1.2.5). `None` if it is no certificate.
pub fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    of(certificate).map(|(_, until)| until)
}

/// From when until when a DER certificate is valid. `None` if it is no certificate.
pub fn of(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields, VERSION)?.1;
    }
    // Serial number, algorithm, issuer.
    for tag in [0x02, SEQUENCE, SEQUENCE] {
        fields = element(fields, tag)?.1;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (tag, time, validity) = any(validity)?;
    let from = parse(tag, time)?;
    let (tag, time, _) = any(validity)?;
    Some((from, parse(tag, time)?))
}

fn element(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(der)?;
    (tag == expected).then_some((content, rest))
}

/// Tag, content, and what follows (X.690 §8.1).
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (octets, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = behind;
        if octets.len() > 4 {
            return None;
        }
        octets
            .iter()
            .fold(0, |length, octet| length << 8 | usize::from(*octet))
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (UTCTime) or `YYYYMMDDHHMMSSZ` (GeneralizedTime).
fn parse(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let full = match (tag, digits.len()) {
        (0x17, 12) if digits < "5" => format!("20{digits}"),
        (0x17, 12) => format!("19{digits}"),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last day of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        let time = parse(tag, text.as_bytes())?;
        Some(
            time.duration_since(UNIX_EPOCH)
                .expect("after 1970")
                .as_secs(),
        )
    }

    #[test]
    fn times_in_both_forms() {
        assert_eq!(seconds(0x17, "261127130509Z"), Some(1_795_784_709));
        assert_eq!(seconds(0x18, "21000301000000Z"), Some(4_107_542_400));
        assert_eq!(seconds(0x17, "000229000000Z"), Some(951_782_400));
        for wrong in ["", "Z", "2611271305Z", "26112713050xZ", "261327130509Z"] {
            assert_eq!(seconds(0x17, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_of_a_real_certificate() {
        let mut parameters =
            rcgen::CertificateParams::new(vec!["sbc.example.com".into()]).expect("a name");
        parameters.not_after = rcgen::date_time_ymd(2031, 5, 17);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let end = not_after(certificate.der()).expect("a validity");
        assert_eq!(
            end.duration_since(UNIX_EPOCH)
                .expect("after 1970")
                .as_secs(),
            1_936_742_400
        );
        let der: &[u8] = certificate.der();
        for length in 0..200 {
            assert_eq!(not_after(&der[..length]), None, "cut at {length}");
        }
    }
}
