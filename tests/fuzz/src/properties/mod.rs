//! What must hold whatever comes: one function a target. They panic when it does not.

mod digest;
mod framing;
mod media;
mod message;
mod sdp;
mod uri;

/// A property: bytes of a stranger in, a panic if something is wrong.
pub(crate) type Property = fn(&[u8]);

/// Every target with its property; the name is the directory in the corpus.
pub(crate) const ALL: [(&str, Property); 6] = [
    ("message", message::holds),
    ("framing", framing::holds),
    ("uri", uri::holds),
    ("digest", digest::holds),
    ("sdp", sdp::holds),
    ("media", media::holds),
];

/// The property of this name.
///
/// # Panics
/// When there is none.
pub(crate) fn named(target: &str) -> Property {
    ALL.iter()
        .find(|(name, _)| *name == target)
        .map(|(_, property)| *property)
        .expect("a target of the table")
}
