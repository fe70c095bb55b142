//! Identifiers: branches, tags and Call-IDs that nobody can guess (RFC 3261 §8.1.1.4, §8.1.1.7,
//! §19.3), from a generator seeded once.
//!
//! ```text
//! seed ──► HMAC-SHA256(seed, node ‖ counter) ──► 32 bytes ──► branch  z9hG4bK 0007 5f1c…
//!                        └─ counter += 1 ─┘                   tag             0007 91ab…
//! ```

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::header::MAGIC_COOKIE;

/// The generator: the same seed and node give the same identifiers, so that a simulated world
/// repeats itself; a secret random seed makes them unguessable.
#[derive(Clone)]
pub struct Ident {
    node: u16,
    keyed: Hmac<Sha256>,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Ident {
    /// A generator for the node of this number; every identifier carries it in four hexadecimal
    /// digits, so that a fleet can tell whose a message is.
    pub fn new(node: u16, seed: [u8; 32]) -> Ident {
        let keyed = Hmac::<Sha256>::new_from_slice(&seed)
            .expect("HMAC takes keys of any length, this one is 32 bytes");
        Ident {
            node,
            keyed,
            counter: 0,
            block: [0; 32],
            used: 32,
        }
    }

    /// A generator of its own, seeded by this one.
    pub fn fork(&mut self) -> Ident {
        Ident::new(self.node, self.bytes())
    }

    /// A branch for a Via of ours: the magic cookie, the node, 96 random bits.
    pub fn branch(&mut self) -> String {
        self.text(MAGIC_COOKIE, 12)
    }

    /// A tag: the node and 64 random bits (RFC 3261 §19.3 asks for 32).
    pub fn tag(&mut self) -> String {
        self.text("", 8)
    }

    /// A Call-ID: the node, 128 random bits, and `@host` if `host` is not empty.
    pub fn call_id(&mut self, host: &str) -> String {
        let mut id = self.text("", 16);
        if !host.is_empty() {
            id.reserve_exact(1 + host.len());
            id.push('@');
            id.push_str(host);
        }
        id
    }

    /// A random number.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }

    /// Random bytes, good for keys when the seed is.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for byte in &mut out {
            if self.used == self.block.len() {
                let mut mac = self.keyed.clone();
                mac.update(&self.node.to_be_bytes());
                mac.update(&self.counter.to_be_bytes());
                self.block = mac.finalize().into_bytes().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = std::mem::take(&mut self.block[self.used]);
            self.used += 1;
        }
        out
    }

    fn text(&mut self, prefix: &str, random: usize) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(prefix.len() + 4 + random * 2);
        text.push_str(prefix);
        let mut push = |byte: u8| {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        };
        self.node.to_be_bytes().into_iter().for_each(&mut push);
        for _ in 0..random {
            let [byte] = self.bytes();
            push(byte);
        }
        text
    }
}

impl std::fmt::Debug for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ident")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_tells_one_story_and_another_seed_another() {
        let story = |node, seed| {
            let mut ident = Ident::new(node, [seed; 32]);
            (
                ident.branch(),
                ident.tag(),
                ident.call_id("h"),
                ident.u32(),
                ident.bytes::<40>(),
            )
        };
        assert_eq!(story(1, 7), story(1, 7));
        assert_ne!(story(1, 7), story(1, 8));
        assert_ne!(story(1, 7).4, story(2, 7).4);
    }

    #[test]
    fn identifiers_have_the_rfc_shape_and_carry_the_node() {
        let mut ident = Ident::new(0xbeef, [0; 32]);
        assert!(ident.branch().starts_with("z9hG4bKbeef"));
        assert_eq!(ident.tag().len(), 20);
        assert!(ident.call_id("sbc.example").ends_with("@sbc.example"));
        assert!(!ident.call_id("").contains('@'));
    }

    #[test]
    fn nothing_repeats_in_many() {
        let mut ident = Ident::new(0, [3; 32]);
        let all: std::collections::HashSet<_> = (0..10_000).map(|_| ident.tag()).collect();
        assert_eq!(all.len(), 10_000);
    }
}
