//! An ear behind a network: for how long it has nothing to play, and how far behind the mouth it is.

use super::speech::Came;

/// An ear with a jitter buffer as browsers and telephones have them: it plays what it has, in order; where it has nothing it goes on
/// with the last sound, and what comes then is played nevertheless; where it has more than it wants it plays a fifth faster.
pub(crate) struct Ear {
    /// For how long nothing was there to play.
    pub(crate) waited: u64,
    /// Of the last word, from mouth to ear, in ms.
    pub(crate) delay: u64,
}

/// What an ear wants to have in its buffer, in ms.
pub(crate) const WANTED: u64 = 60;

pub(crate) fn listen(came: &[Came]) -> Ear {
    let (mut waited, mut delay) = (0, 0);
    let mut clock = came.first().map_or(0, |one| one.at + WANTED);
    for (at, one) in came.iter().enumerate() {
        waited += one.at.saturating_sub(clock);
        clock = clock.max(one.at);
        if let Some(number) = one.numbers.last() {
            delay = clock - 20 * number;
        }
        let there = came[at..].iter().filter(|later| later.at <= clock).count() as u64;
        clock += if there * 20 > WANTED + 20 { 16 } else { 20 };
    }
    Ear { waited, delay }
}
