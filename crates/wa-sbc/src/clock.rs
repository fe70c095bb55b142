//! The only place that asks what time it is.

use std::time::{Instant, SystemTime};

/// Time that only goes forward: timers.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time of day: records, nonces, certificates.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
