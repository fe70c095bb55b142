//! When the next order is due, and what a failed one costs.

use std::future::Future;
use std::time::{Duration, SystemTime};

use super::progress::Progress;

/// The longest time between two looks at the certificate: clocks jump, files are replaced.
const LOOK: Duration = Duration::from_secs(3600);

/// What the keeper lives in.
pub(super) trait World: Send {
    /// The time of day.
    fn now(&self) -> SystemTime;
    /// Waits, or less long if somebody mended something.
    fn wait(&mut self, time: Duration) -> impl Future<Output = Waited> + Send;
    /// When the certificate that is there should be renewed; `None` if none could be served.
    fn due(&self) -> Option<SystemTime>;
    /// Orders a certificate and puts it in its place.
    fn order(&mut self) -> impl Future<Output = Result<(), String>> + Send;
    /// Says that there is a new one; `false` when nobody listens any more.
    fn renewed(&mut self) -> impl Future<Output = bool> + Send;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// By its time.
    Over,
    /// The operator has changed something: what failed may go now.
    Hurried,
}

/// Obtains and renews, until nobody wants to know any more.
pub(super) async fn keep(mut world: impl World, progress: &Progress) {
    loop {
        let now = world.now();
        let due = world.due().unwrap_or(now);
        let next = progress.again().map_or(due, |again| due.max(again));
        progress.plan(next);
        if let Ok(time) = next.duration_since(now)
            && !time.is_zero()
        {
            if world.wait(time.min(LOOK)).await == Waited::Hurried {
                progress.hurry();
            }
            continue;
        }
        let mut outcome = world.order().await;
        // One that is due again at once would be ordered for ever.
        if outcome.is_ok() && world.due().is_none_or(|due| due <= world.now()) {
            outcome = Err(
                "the certificate that came cannot be used, or is to be renewed already: look at the clock of this machine"
                    .into(),
            );
        }
        match outcome {
            Ok(()) => {
                progress.succeeded();
                if !world.renewed().await {
                    return;
                }
            }
            Err(why) => {
                let pause = progress.failed(&why, world.now());
                tracing::error!(
                    why,
                    in_a_row = progress.failures(),
                    again_in_s = pause.as_secs(),
                    "the authority gave no certificate; it is asked again, and at once after a reload"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    /// An authority that gives certificates for 90 days, or none, in a time that passes at once.
    #[derive(Debug, Default)]
    struct Play {
        /// Since the beginning.
        time: Duration,
        /// Of each order.
        asked: Vec<Duration>,
        due: Option<Duration>,
        renewed: u32,
    }

    struct Stage {
        play: Arc<Mutex<Play>>,
        /// Whether the n-th order goes well.
        gives: fn(usize) -> bool,
        /// When the operator mends something.
        mended: Option<Duration>,
        /// How long certificates serve before they are due.
        serves: Duration,
        /// When the play is over.
        end: Duration,
    }

    fn beginning() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    impl World for Stage {
        fn now(&self) -> SystemTime {
            beginning() + self.play.lock().expect("alone").time
        }
        async fn wait(&mut self, time: Duration) -> Waited {
            let mut play = self.play.lock().expect("alone");
            let until = play.time + time;
            match self.mended.take_if(|mended| *mended < until) {
                Some(mended) => {
                    play.time = mended;
                    Waited::Hurried
                }
                None => {
                    play.time = until;
                    Waited::Over
                }
            }
        }
        fn due(&self) -> Option<SystemTime> {
            Some(beginning() + self.play.lock().expect("alone").due?)
        }
        async fn order(&mut self) -> Result<(), String> {
            if self.play.lock().expect("alone").time >= self.end {
                std::future::pending::<()>().await;
            }
            let mut play = self.play.lock().expect("alone");
            let now = play.time;
            play.asked.push(now);
            if !(self.gives)(play.asked.len()) {
                return Err("port 80 is shut".into());
            }
            play.due = Some(now + self.serves);
            Ok(())
        }
        async fn renewed(&mut self) -> bool {
            self.play.lock().expect("alone").renewed += 1;
            true
        }
    }

    /// Plays until the end; nothing in it waits for anything but the end.
    fn played(stage: Stage, progress: &Progress) -> Play {
        let play = stage.play.clone();
        let mut keeping = pin!(keep(stage, progress));
        let polled = keeping
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending, "the keeper goes on for ever");
        std::mem::take(&mut *play.lock().expect("alone"))
    }

    fn stage(gives: fn(usize) -> bool, end: Duration) -> Stage {
        Stage {
            play: Arc::default(),
            gives,
            mended: None,
            serves: 60 * DAY,
            end,
        }
    }

    fn minutes(asked: &[Duration]) -> Vec<u64> {
        asked.iter().map(|time| time.as_secs() / 60).collect()
    }

    #[test]
    fn an_authority_that_gives_nothing_is_asked_with_growing_pauses_five_times_in_the_first_hour() {
        let progress = Progress::new(Path::new(""));
        let play = played(stage(|_| false, 12 * 60 * MINUTE), &progress);
        assert_eq!(
            minutes(&play.asked),
            [0, 2, 7, 22, 52, 112, 292, 472, 652],
            "2, 5, 15, 30, 60 minutes, then every three hours"
        );
        assert_eq!(progress.failures(), 9);
        let trouble = progress.trouble().expect("it failed");
        assert_eq!(trouble.why, "port 80 is shut");
    }

    #[test]
    fn a_certificate_that_comes_at_last_ends_the_trouble_and_is_renewed_in_time() {
        let progress = Progress::new(Path::new(""));
        let play = played(stage(|order| order > 2, 100 * DAY), &progress);
        let days: Vec<u64> = play.asked.iter().map(|t| t.as_secs() / 86_400).collect();
        assert_eq!(days, [0, 0, 0, 60]);
        assert_eq!(minutes(&play.asked)[..3], [0, 2, 7]);
        assert_eq!((play.renewed, progress.failures()), (2, 0));
        assert_eq!(progress.trouble(), None);
    }

    #[test]
    fn a_renewal_that_fails_leaves_the_old_certificate_and_is_tried_again() {
        let progress = Progress::new(Path::new(""));
        let play = played(stage(|order| order != 2, 61 * DAY), &progress);
        let renewal = minutes(&play.asked)[1];
        assert_eq!(renewal, 60 * 24 * 60);
        assert_eq!(minutes(&play.asked)[2], renewal + 2);
    }

    #[test]
    fn whoever_mends_something_does_not_wait_for_the_pause() {
        let progress = Progress::new(Path::new(""));
        let mut stage = stage(|order| order > 3, DAY);
        stage.mended = Some(8 * MINUTE);
        let play = played(stage, &progress);
        assert_eq!(minutes(&play.asked), [0, 2, 7, 8], "not before minute 22");
    }

    #[test]
    fn a_certificate_that_is_due_as_it_comes_is_no_success() {
        let progress = Progress::new(Path::new(""));
        let mut stage = stage(|_| true, 60 * MINUTE);
        stage.serves = Duration::ZERO;
        let play = played(stage, &progress);
        assert_eq!(play.asked.len(), 5, "with pauses: {:?}", play.asked);
        let why = progress.trouble().expect("it failed").why;
        assert!(why.contains("clock"), "{why}");
    }
}
