//! CSeq: the order of requests in a dialog (RFC 3261 §20.16).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

use std::fmt;

use crate::{Method, Text, scan};

/// The value of a CSeq header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number, below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads a CSeq value.
    pub fn read(value: &Text) -> Option<CSeq> {
        let bytes = scan::trim(value.as_bytes());
        let blank = bytes.iter().position(u8::is_ascii_whitespace)?;
        let (number, method) = bytes.split_at(blank);
        let number: u32 = scan::number(number)?;
        let method = scan::trim(method);
        if number >= 1 << 31 || !scan::is_token(method) {
            return None;
        }
        Some(CSeq {
            number,
            method: Method::read(value.part(method)),
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_up_to_two_to_the_31_are_read() {
        let cseq = CSeq::read(&Text::from(" 0009989 \t INVITE ")).unwrap();
        assert_eq!(cseq.to_string(), "9989 INVITE");
        assert!(CSeq::read(&Text::from("2147483647 ACK")).is_some());
        for bad in [
            "2147483648 ACK",
            "36893488147419103232 REGISTER",
            "-1 ACK",
            "1",
            "1 ",
            "A ACK",
            "1 IN VITE",
        ] {
            assert_eq!(CSeq::read(&Text::from(bad)), None, "{bad}");
        }
    }
}
