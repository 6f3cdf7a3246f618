//! Consecutive failures, where one lost connection counts once.

use std::time::Duration;

use steadfast_core::Class;
use tokio::time::Instant;

use super::outcome_window::OutcomeWindow;

/// The time within which attempts of one lost connection fail. The attempts of a server that hangs
/// fail one after the other, when the timeout of each ends, and may have the same class.
const TOGETHER: Duration = Duration::from_secs(1);

/// The consecutive failures since the last success.
///
/// A lost HTTP/2 connection fails all its requests at once, which is one event and not fifty. Of
/// the attempts that are lost within a second and were admitted before the streak began, one
/// counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailureStreak {
    /// The number of streaks so far. An attempt carries the number at its admission, which shows
    /// whether it is older than the current streak.
    number: u32,
    length: u32,
    /// When the last lost attempt counted: one from before the streak, or its first one.
    lost: Option<Instant>,
    /// The last outcomes. A body that breaks makes a failure of its success here, so that the
    /// failures before and after that success become one streak.
    history: OutcomeWindow,
}

impl FailureStreak {
    /// Numbers of streaks wrap around after this one.
    pub(crate) const MASK: u32 = (1 << 28) - 1;

    /// Creates an empty streak. It can be restored over the last `window` outcomes.
    pub(crate) fn new(window: u32) -> Self {
        Self {
            number: 0,
            length: 0,
            lost: None,
            history: OutcomeWindow::new(window),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns the failures that count.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Adds the failure of an attempt that was admitted in the streak with the number
    /// `admitted_in`. Returns whether it counts.
    pub(crate) fn fail(&mut self, class: Class, admitted_in: u32, now: Instant) -> bool {
        let counts = self.count(class, admitted_in, now);
        if counts {
            self.history.push(true);
        }
        counts
    }

    /// Adds the failure of an attempt after its success ended a streak. That streak resumes
    /// unless another success followed. Returns whether the failure counts.
    pub(crate) fn fail_after_success(
        &mut self,
        class: Class,
        admitted_in: u32,
        now: Instant,
    ) -> bool {
        let counts = self.count(class, admitted_in, now);
        if counts {
            self.history.fail_newest_success();
            self.length = self.length.max(self.history.trailing_failures());
        }
        counts
    }

    /// Takes back a failure that counted in the streak with the number `counted_in`.
    pub(crate) fn take_back(&mut self, counted_in: u32) {
        if self.may_hold(counted_in, &self.history) {
            self.history.remove_newest_failure();
        }
        if counted_in == self.number {
            self.length = self.length.saturating_sub(1);
        }
    }

    /// Returns whether a window may still hold a failure of the streak with the number
    /// `counted_in`. It does not if all of its failures are of the current, other streak.
    pub(crate) fn may_hold(&self, counted_in: u32, window: &OutcomeWindow) -> bool {
        counted_in == self.number || window.failures() > self.length
    }

    /// Ends the streak, as a success does.
    pub(crate) fn end(&mut self) {
        self.length = 0;
        self.history.push(false);
    }

    /// Ends the streak and forgets all outcomes.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
        self.history.clear();
    }

    fn count(&mut self, class: Class, admitted_in: u32, now: Instant) -> bool {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_lost_together_count_once() {
        let now = Instant::now();
        let mut streak = FailureStreak::new(20);
        let admitted_in = streak.number();
        for _ in 0..50 {
            streak.fail(Class::Transport, admitted_in, now);
        }
        assert_eq!(streak.length(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_lost_one_after_another_count_each() {
        let now = Instant::now();
        let mut streak = FailureStreak::new(20);
        for _ in 0..5 {
            let admitted_in = streak.number();
            streak.fail(Class::Transport, admitted_in, now);
        }
        assert_eq!(streak.length(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_connection_after_other_failure_counts_once() {
        let now = Instant::now();
        let mut streak = FailureStreak::new(20);
        let before = streak.number();
        assert!(streak.fail(Class::ServerError, before, now));
        assert!(
            streak.fail(Class::Transport, before, now),
            "the first lost attempt"
        );
        assert!(!streak.fail(Class::Transport, before, now), "the second");
        assert!(
            streak.fail(Class::Timeout, before, now),
            "no lost connection"
        );
        assert_eq!(streak.length(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_streak() {
        let now = Instant::now();
        let mut streak = FailureStreak::new(20);
        let before = streak.number();
        streak.fail(Class::Transport, before, now);
        streak.end();
        assert_eq!(streak.length(), 0);
        assert!(
            streak.fail(Class::Transport, before, now),
            "the first of a new streak"
        );
        assert_eq!(streak.length(), 1);
    }

    /// An attempt is lost every ten milliseconds, ten seconds after its start.
    #[tokio::test(start_paused = true)]
    async fn attempts_lost_over_seconds_count_once_per_second() {
        let start = Instant::now();
        let mut streak = FailureStreak::new(20);
        let before = streak.number();
        for n in 0..500 {
            let now = start + n * Duration::from_millis(10);
            let counts = streak.fail(Class::Transport, before, now);
            assert_eq!(counts, n % 100 == 0, "{n}");
        }
        assert_eq!(streak.length(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn broken_body_resumes_streak_unless_another_success_followed() {
        let now = Instant::now();
        for (other_successes, length) in [(0, 3), (1, 1)] {
            let mut streak = FailureStreak::new(20);
            for _ in 0..2 {
                streak.fail(Class::Timeout, 0, now);
            }
            for _ in 0..=other_successes {
                streak.end();
            }
            streak.fail_after_success(Class::Timeout, streak.number(), now);
            assert_eq!(streak.length(), length, "{other_successes}");
        }
    }

    /// Each stream succeeds at its head and breaks while the next one runs.
    #[tokio::test(start_paused = true)]
    async fn overlapping_broken_bodies_are_one_streak() {
        let now = Instant::now();
        let mut streak = FailureStreak::new(20);
        streak.end();
        for n in 1..=5 {
            streak.end();
            streak.fail_after_success(Class::Timeout, streak.number(), now);
            assert_eq!(streak.length(), n);
        }
    }
}
