//! Whose packet it is that came to a port all calls share.
//!
//! ```text
//!  source, SSRC ─► a call proved this pair ─────► asked first ─┐
//!                  a call proved this SSRC ─────► asked then   ├─► the tag fits ─► its packet, and its pair
//!                  a call waits for this source ─► asked then  │
//!                  all the others, in turn ─────► a few of them┘
//!                                              nobody's tag fits ─► thrown away, counted
//! ```
//!
//! What a packet says about itself decides whom we ask first and nothing else: only the SRTP tag gives a
//! packet to a call. So a forged source steals nothing, two calls from one address and port are two calls,
//! and a far side that moves is followed. Asking costs an HMAC; how many strangers' packets may cause in a
//! millisecond is bounded, apart for those that come from where a call waits and for all others, so that a
//! flood from anywhere keeps no call from beginning.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Pairs of source and SSRC that are remembered of one call: RTP, RTCP on a port of its own, and where they
/// were before.
const PAIRS: usize = 4;
/// Calls asked in a millisecond about packets whose source or SSRC speaks for them.
const LIKELY: u32 = 64;
/// Calls asked in a millisecond about all other packets.
const UNLIKELY: u32 = 16;
/// Waiting calls looked through for what one question costs.
const GLANCES: usize = 32;
/// After this long there may be asked anew.
const PERIOD: Duration = Duration::from_millis(1);

/// Where a packet came from and what SSRC it bears.
pub(super) type Pair = (SocketAddr, u32);

/// The calls that share a port, by the number of their room.
pub(super) struct Claims {
    seats: Vec<Option<Seat>>,
    seated: usize,
    /// Who proved a pair. Two may have: SSRCs are dice, and one relay may carry both calls.
    proven: HashMap<Pair, [Option<usize>; 2]>,
    by_ssrc: HashMap<u32, usize>,
    /// Who has not been heard since it was agreed where from.
    waiting: Vec<usize>,
    /// The one of those that wait who is looked at first.
    glance: usize,
    /// The one of all seats that is asked next when nothing speaks for anybody.
    turn: usize,
    likely: Purse,
    unlikely: Purse,
}

/// One call.
struct Seat {
    /// Where its RTP and RTCP come from by its agreement, once there is one.
    expected: Option<[SocketAddr; 2]>,
    pairs: [Option<Pair>; PAIRS],
    /// The pair that makes room for the next one.
    oldest: usize,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            seats: Vec::new(),
            seated: 0,
            proven: HashMap::new(),
            by_ssrc: HashMap::new(),
            waiting: Vec::new(),
            glance: 0,
            turn: 0,
            likely: Purse::new(LIKELY),
            unlikely: Purse::new(UNLIKELY),
        }
    }

    /// A call shares the port from now on. Here memory is made for all it may ever prove.
    pub(super) fn seat(&mut self, room: usize) {
        if room >= self.seats.len() {
            self.seats.resize_with(room + 1, || None);
        }
        self.leave(room);
        self.seats[room] = Some(Seat {
            expected: None,
            pairs: [None; PAIRS],
            oldest: 0,
        });
        self.seated += 1;
        // Twice what can be in there at most: then what was removed never makes a map grow.
        let pairs = 2 * PAIRS * self.seated;
        self.proven.reserve(pairs.saturating_sub(self.proven.len()));
        self.by_ssrc
            .reserve(pairs.saturating_sub(self.by_ssrc.len()));
        self.waiting
            .reserve(self.seated.saturating_sub(self.waiting.len()));
    }

    /// A call shares the port no longer.
    pub(super) fn leave(&mut self, room: usize) {
        let Some(seat) = self.seats.get_mut(room).and_then(Option::take) else {
            return;
        };
        self.seated -= 1;
        for pair in seat.pairs.into_iter().flatten() {
            self.forget(room, pair);
        }
        self.waiting.retain(|waiting| *waiting != room);
    }

    /// A call is to be heard from there by its agreement; told as often as one likes.
    pub(super) fn expect(&mut self, room: usize, sources: [SocketAddr; 2]) {
        let Some(Some(seat)) = self.seats.get_mut(room) else {
            return;
        };
        if seat.expected != Some(sources) {
            seat.expected = Some(sources);
            if !self.waiting.contains(&room) {
                self.waiting.push(room);
            }
        }
    }

    /// Finds the call a packet belongs to: asks those it may belong to, the likeliest first, until one
    /// claims it. `Err`: nobody does; with whose it would be by what it says.
    pub(super) fn find(
        &mut self,
        now: Instant,
        pair: Pair,
        mut claims: impl FnMut(usize) -> bool,
    ) -> Result<usize, Option<usize>> {
        let known = self.proven.get(&pair).copied().unwrap_or_default();
        if let Some(room) = known.into_iter().flatten().find(|room| claims(*room)) {
            return Ok(room);
        }
        let found = self.search(now, pair, known, claims);
        if let Some(room) = found {
            self.prove(room, pair);
        }
        found.ok_or(known[0])
    }

    fn search(
        &mut self,
        now: Instant,
        (source, ssrc): Pair,
        known: [Option<usize>; 2],
        mut claims: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let asked = |room: usize| known.contains(&Some(room));
        self.likely.fill(now);
        let moved = self.by_ssrc.get(&ssrc).copied();
        if let Some(room) = moved.filter(|room| !asked(*room))
            && self.likely.pay()
            && claims(room)
        {
            return Some(room);
        }
        let asked = |room: usize| asked(room) || moved == Some(room);
        for glanced in 0..self.waiting.len() {
            if glanced % GLANCES == 0 && !self.likely.pay() {
                break;
            }
            self.glance = (self.glance + 1) % self.waiting.len();
            let room = self.waiting[self.glance];
            let expected = self.seats[room].as_ref().and_then(|seat| seat.expected);
            if expected.is_some_and(|sources| sources.contains(&source))
                && !asked(room)
                && self.likely.pay()
                && claims(room)
            {
                return Some(room);
            }
        }
        self.unlikely.fill(now);
        for _ in 0..self.seats.len() {
            let room = self.turn % self.seats.len();
            let Some(expected) = self.seats[room].as_ref().map(|seat| seat.expected) else {
                self.turn = room + 1;
                continue;
            };
            if !self.unlikely.pay() {
                return None;
            }
            self.turn = room + 1;
            if expected.is_some() && !asked(room) && claims(room) {
                return Some(room);
            }
        }
        None
    }

    /// The call has proved that the pair is its own.
    fn prove(&mut self, room: usize, pair: Pair) {
        let Some(Some(seat)) = self.seats.get_mut(room) else {
            return;
        };
        let before = seat.pairs[seat.oldest].replace(pair);
        seat.oldest = (seat.oldest + 1) % PAIRS;
        self.waiting.retain(|waiting| *waiting != room);
        if let Some(before) = before {
            self.forget(room, before);
        }
        self.by_ssrc.insert(pair.1, room);
        let owners = self.proven.entry(pair).or_default();
        // The one that proved it last is asked first.
        *owners = [Some(room), owners[0].filter(|owner| *owner != room)];
    }

    fn forget(&mut self, room: usize, pair: Pair) {
        if let Some(owners) = self.proven.get_mut(&pair) {
            *owners = match owners.map(|owner| owner.filter(|owner| *owner != room)) {
                [None, other] => [other, None],
                both => both,
            };
            if owners[0].is_none() {
                self.proven.remove(&pair);
            }
        }
        if self.by_ssrc.get(&pair.1) == Some(&room) {
            self.by_ssrc.remove(&pair.1);
        }
    }
}

/// Questions that may be asked within a period.
struct Purse {
    full: u32,
    left: u32,
    filled: Option<Instant>,
}

impl Purse {
    fn new(full: u32) -> Self {
        Self {
            full,
            left: full,
            filled: None,
        }
    }

    fn fill(&mut self, now: Instant) {
        if self
            .filled
            .is_none_or(|filled| now.saturating_duration_since(filled) >= PERIOD)
        {
            (self.left, self.filled) = (self.full, Some(now));
        }
    }

    fn pay(&mut self) -> bool {
        let paid = self.left > 0;
        self.left = self.left.saturating_sub(1);
        paid
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need some instant to start from
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    const RELAY: &str = "198.51.100.7:3480";

    /// Calls in rooms 0 to `count`, all expected from one relay.
    fn table(count: usize) -> Claims {
        let mut claims = Claims::new();
        for room in 0..count {
            claims.seat(room);
            claims.expect(room, [at(RELAY); 2]);
        }
        claims
    }

    /// Who claims a packet of `owner`, and how many were asked.
    fn ask(
        claims: &mut Claims,
        now: Instant,
        source: &str,
        ssrc: u32,
        owner: Option<usize>,
    ) -> (Result<usize, Option<usize>>, usize) {
        let mut asked = 0;
        let found = claims.find(now, (at(source), ssrc), |room| {
            asked += 1;
            Some(room) == owner
        });
        (found, asked)
    }

    #[test]
    fn what_was_proven_once_is_found_with_one_question() {
        let mut claims = table(20);
        let now = Instant::now();
        assert_eq!(ask(&mut claims, now, RELAY, 7, Some(13)).0, Ok(13));
        assert_eq!(ask(&mut claims, now, RELAY, 7, Some(13)), (Ok(13), 1));
    }

    #[test]
    fn a_forged_packet_of_a_known_pair_stays_nobodys_and_changes_nothing() {
        let mut claims = table(3);
        let now = Instant::now();
        ask(&mut claims, now, RELAY, 7, Some(1))
            .0
            .expect("it waits");
        assert_eq!(ask(&mut claims, now, RELAY, 7, None).0, Err(Some(1)));
        assert_eq!(ask(&mut claims, now, RELAY, 7, Some(1)), (Ok(1), 1));
    }

    #[test]
    fn two_calls_may_bear_the_same_ssrc_and_come_from_the_same_port() {
        let mut claims = table(2);
        let now = Instant::now();
        for _ in 0..3 {
            for room in [0, 1] {
                assert_eq!(ask(&mut claims, now, RELAY, 7, Some(room)).0, Ok(room));
            }
        }
        assert!(ask(&mut claims, now, RELAY, 7, Some(0)).1 <= 2);
        claims.leave(1);
        assert_eq!(ask(&mut claims, now, RELAY, 7, Some(0)), (Ok(0), 1));
    }

    #[test]
    fn a_far_side_that_moves_is_found_at_once_by_its_ssrc_and_in_turn_without() {
        let mut claims = table(100);
        let mut now = Instant::now();
        for room in 0..100 {
            now += PERIOD;
            let found = ask(&mut claims, now, RELAY, room as u32, Some(room)).0;
            assert_eq!(found, Ok(room));
        }
        now += PERIOD;
        let moved = "203.0.113.9:3478";
        assert_eq!(ask(&mut claims, now, moved, 60, Some(60)), (Ok(60), 1));
        // Another SSRC from another place: every packet asks the next few.
        let packets = (0..100).find(|_| {
            now += PERIOD;
            ask(&mut claims, now, "203.0.113.9:9", 4_711, Some(40)).0 == Ok(40)
        });
        assert!(packets.is_some_and(|packets| packets <= 100 / UNLIKELY as usize + 1));
    }

    #[test]
    fn a_flood_asks_so_many_in_a_millisecond_and_no_more_and_lets_a_call_begin() {
        let mut claims = table(1_000);
        let now = Instant::now();
        let mut asked = 0;
        for ssrc in 0..10_000 {
            asked += ask(&mut claims, now, "192.0.2.66:6", ssrc, None).1;
            assert!(ask(&mut claims, now, "192.0.2.66:6", ssrc, None).0.is_err());
        }
        assert!(asked <= UNLIKELY as usize, "{asked}");
        // Looking through those that wait is what it costs, too: the next millisecond has a question left.
        let now = now + PERIOD;
        claims.seat(1_000);
        claims.expect(1_000, [at("198.51.100.8:3480"); 2]);
        let first = ask(&mut claims, now, "198.51.100.8:3480", 5, Some(1_000));
        assert_eq!(first, (Ok(1_000), 1));
    }

    #[test]
    fn a_flood_from_the_relay_itself_is_bounded_as_well() {
        let mut claims = table(1_000);
        let now = Instant::now();
        let asked: usize = (0..10_000)
            .map(|ssrc| ask(&mut claims, now, RELAY, ssrc, None).1)
            .sum();
        assert!(asked <= (LIKELY + UNLIKELY) as usize, "{asked}");
    }

    #[test]
    fn who_has_left_is_asked_no_more_and_leaves_nothing_behind() {
        let mut claims = table(5);
        let mut now = Instant::now();
        for room in 0..5 {
            for ssrc in 0..20 {
                now += PERIOD;
                let ssrc = 100 * room as u32 + ssrc;
                let found = ask(&mut claims, now, RELAY, ssrc, Some(room)).0;
                assert_eq!(found, Ok(room));
            }
        }
        assert_eq!(claims.proven.len(), 5 * PAIRS);
        for room in 0..5 {
            claims.leave(room);
        }
        assert!(claims.proven.is_empty() && claims.by_ssrc.is_empty());
        assert!(claims.waiting.is_empty() && claims.seated == 0);
        assert_eq!(ask(&mut claims, now, RELAY, 7, Some(2)), (Err(None), 0));
    }

    #[test]
    fn finding_allocates_nothing_however_often_far_sides_move() {
        let mut claims = table(50);
        let mut now = Instant::now();
        let relay = at(RELAY);
        let work = allocation_counter::measure(|| {
            for step in 0..50_000_u32 {
                now += PERIOD;
                let room = (step % 50) as usize;
                let source = SocketAddr::new(relay.ip(), 1_000 + (step / 50) as u16);
                let found = claims.find(now, (source, step / 500), |asked| asked == room);
                std::hint::black_box(found).ok();
            }
        });
        assert_eq!(work.count_total, 0, "{work:?}");
    }
}
