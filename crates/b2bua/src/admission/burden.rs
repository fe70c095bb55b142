//! How much of a media thread a call will take, in calls whose packets pass as they are.

use sdp::plan::Gain;

use crate::record::Direction;
use crate::settings::{Number, Trunk};

/// A call whose packets pass.
pub(crate) const PASSED: usize = 1;
/// One whose audio is decoded and encoded anew, Opus on one side: measured, a thread carries seven to nine times as many of the others
/// (`docs/performance.md`).
pub(crate) const DECODED: usize = 8;

/// What a call weighs.
pub(crate) const fn of(decoded: bool) -> usize {
    if decoded { DECODED } else { PASSED }
}

/// Whether a call that is not answered will be decoded, by what usually happens: who is called takes the codec it is offered first, and the
/// caller gets the same if it has that.
pub(crate) fn is_decoded(direction: Direction, number: &Number, trunk: &Trunk) -> bool {
    let (caller, called) = match direction {
        Direction::UserInitiated => (&number.codecs, &trunk.codecs),
        Direction::BusinessInitiated => (&trunk.codecs, &number.codecs),
    };
    let first = called.iter().find(|codec| codec.is_audio());
    trunk.media.gain != Gain::default() || first.is_none_or(|first| !caller.contains(first))
}
