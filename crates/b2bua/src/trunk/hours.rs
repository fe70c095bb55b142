//! When a trunk takes calls, by the clock on its wall.
//!
//! The core knows no time zones: it is given the offsets of one as a table, and the time of day as
//! an argument ([ADR 19](../../../../docs/adr/0019-time-zones-as-tables.md)).

use std::time::Duration;

/// Minutes of a week, Monday 00:00 being 0.
const WEEK: u32 = 7 * 24 * 60;

/// When a trunk takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Spans of minutes of the week, Monday 00:00 being 0: from, and to (not included). A span
    /// whose end is before its beginning goes on into the next week.
    pub open: Vec<(u32, u32)>,
    /// The clock.
    pub zone: Zone,
}

/// The offsets of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, for logs.
    pub name: String,
    /// From when (seconds since 1970) which offset (seconds east of UTC) holds, in order; before
    /// the first, that of the first.
    pub offsets: Vec<(i64, i32)>,
}

impl Hours {
    /// Whether it is open at a time since 1970.
    pub(crate) fn are_at(&self, wall: Duration) -> bool {
        let now = self.zone.minute_of_week(wall);
        self.open.iter().any(|&(from, to)| match from < to {
            true => (from..to).contains(&now),
            false => now >= from || now < to,
        })
    }
}

impl Zone {
    /// Minutes since Monday 00:00 on its clock.
    fn minute_of_week(&self, wall: Duration) -> u32 {
        let utc = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX / 2);
        let behind = self.offsets.partition_point(|(from, _)| *from <= utc);
        let row = self.offsets.get(behind.saturating_sub(1));
        let local = utc + row.map_or(0, |(_, offset)| i64::from(*offset));
        // 1970-01-01 was a Thursday, three days after a Monday.
        let minutes = local.div_euclid(60) + 3 * 24 * 60;
        u32::try_from(minutes.rem_euclid(i64::from(WEEK))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Berlin around the end of summer time 2026: 25 October, 01:00 UTC.
    fn berlin() -> Zone {
        Zone {
            name: "Europe/Berlin".into(),
            offsets: vec![(1_774_746_000, 7_200), (1_792_890_000, 3_600)],
        }
    }

    fn at(hours: &Hours, secs: u64) -> bool {
        hours.are_at(Duration::from_secs(secs))
    }

    #[test]
    fn the_clock_on_the_wall_counts_and_not_utc() {
        let office = Hours {
            // Monday 09:00 to 17:00
            open: vec![(9 * 60, 17 * 60)],
            zone: berlin(),
        };
        // Monday 2026-10-19 00:00 UTC, in summer time; a week later in winter time.
        let (summer, winter) = (1_792_368_000, 1_792_972_800);
        for (monday, opens) in [(summer, 7 * 3_600), (winter, 8 * 3_600)] {
            assert!(!at(&office, monday + opens - 1));
            assert!(at(&office, monday + opens));
            assert!(at(&office, monday + opens + 8 * 3_600 - 1));
            assert!(!at(&office, monday + opens + 8 * 3_600));
            assert!(!at(&office, monday + opens + 24 * 3_600), "Tuesday");
        }
    }

    #[test]
    fn a_night_may_cross_the_week() {
        let night = Hours {
            // Sunday 22:00 to Monday 06:00
            open: vec![(6 * 1_440 + 22 * 60, 6 * 60)],
            zone: Zone {
                name: "UTC".into(),
                offsets: Vec::new(),
            },
        };
        let monday = 1_792_368_000;
        assert!(at(&night, monday - 2 * 3_600));
        assert!(!at(&night, monday - 2 * 3_600 - 1));
        assert!(at(&night, monday + 6 * 3_600 - 1));
        assert!(!at(&night, monday + 6 * 3_600));
    }
}
