//! Failures in a row, where one lost connection counts once.

use std::time::Duration;

use steadfast_core::Class;
use tokio::time::Instant;

/// Within what time attempts are lost that were lost together. Those of a service that hangs fail
/// one after the other, as the timeout of each ends, and may be classified no better.
const TOGETHER: Duration = Duration::from_secs(1);

/// The failures since the last success.
///
/// A lost HTTP/2 connection fails all its requests at once, which is one event and not fifty. So
/// of the attempts that are lost within a second, and were admitted before the run began, one counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FailureStreak {
    /// How many runs have begun. An attempt remembers it, and so knows whether it is older than
    /// the current run.
    number: u32,
    length: u32,
    /// When the last attempt counted that lost its connection, of those from before the run and the
    /// first of it.
    lost: Option<Instant>,
}

impl FailureStreak {
    /// The numbers of runs begin anew after this one.
    pub(crate) const MASK: u32 = (1 << 28) - 1;

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The failures that count.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Returns whether a failure of an attempt that was admitted when `admitted_in` was the
    /// number of the run counts.
    pub(crate) fn fail(&mut self, class: Class, admitted_in: u32, now: Instant) -> bool {
        let lost = matches!(class, Class::Transport);
        if self.length == 0 {
            self.number = (self.number + 1) & Self::MASK;
            self.lost = lost.then_some(now);
        } else if lost && admitted_in != self.number {
            let together = |last| now.saturating_duration_since(last) < TOGETHER;
            if self.lost.is_some_and(together) {
                return false;
            }
            self.lost = Some(now);
        }
        self.length = self.length.saturating_add(1);
        true
    }

    /// Makes it so long at least: a success that had ended it was none.
    pub(crate) fn restore(&mut self, length: u32) {
        self.length = self.length.max(length);
    }

    /// Ends the run, as a success does.
    pub(crate) fn end(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_lost_together_count_once() {
        let now = Instant::now();
        let mut run = FailureStreak::default();
        let admitted_in = run.number();
        for _ in 0..50 {
            run.fail(Class::Transport, admitted_in, now);
        }
        assert_eq!(run.length(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_lost_one_after_another_count_each() {
        let now = Instant::now();
        let mut run = FailureStreak::default();
        for _ in 0..5 {
            let admitted_in = run.number();
            run.fail(Class::Transport, admitted_in, now);
        }
        assert_eq!(run.length(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_counts_beside_another_failure() {
        let now = Instant::now();
        let mut run = FailureStreak::default();
        let before = run.number();
        assert!(run.fail(Class::ServerError, before, now));
        assert!(
            run.fail(Class::Transport, before, now),
            "the first that is lost"
        );
        assert!(!run.fail(Class::Transport, before, now), "the second");
        assert!(run.fail(Class::Timeout, before, now), "no lost connection");
        assert_eq!(run.length(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_starts_the_count_again() {
        let now = Instant::now();
        let mut run = FailureStreak::default();
        let before = run.number();
        run.fail(Class::Transport, before, now);
        run.end();
        assert_eq!(run.length(), 0);
        assert!(
            run.fail(Class::Transport, before, now),
            "of a new run the first"
        );
        assert_eq!(run.length(), 1);
    }

    /// One in ten milliseconds is given up, ten seconds after each began.
    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_lost_over_seconds_count_once_a_second() {
        let start = Instant::now();
        let mut run = FailureStreak::default();
        let before = run.number();
        for n in 0..500 {
            let now = start + n * Duration::from_millis(10);
            let counts = run.fail(Class::Transport, before, now);
            assert_eq!(counts, n % 100 == 0, "{n}");
        }
        assert_eq!(run.length(), 5);
    }
}
