//! Attempts that are sent before the send rate allows them. Callers pass the time.
//!
//! A rate is a measurement of the past, and a hint of a whole second is rounded up. A request that
//! would wait for one of them may be sent early instead. The saving is the wait. The cost is a
//! refusal, which is fast and leaves the request in its position. So each early attempt that is
//! served doubles the number of the next ones, until the queue is empty. After a refusal they
//! start again with one, later each time. Successes pay for refusals, so the cost is bounded,
//! whatever the quota.
//!
//! The payment has one exception: a rate that is refused itself. It may follow refusals without a
//! quota, and then each wait for it is in vain. While at least two of five early attempts are
//! served, they cost nothing. Two endpoints serve 10 requests/s of one caller, and refuse 5/s of
//! another one: the rates then take 0.2 % of the served requests, in place of 4 to 5 %
//! (`refused-once-5` in the lab).

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

/// The refusals that one success pays for, if all early attempts are refused, and the number that
/// is added if all are served. In between, it grows with the square of the served share: a queue
/// that early attempts seldom shorten hardly pays for them.
const EARNED: (f64, f64) = (1.0 / 64.0, 1.0 / 25.0);
/// The shortest wait that an early attempt may save, in latencies of a success.
const WORTH: f64 = 0.5;
/// The latencies after which a request has waited for longer than a refusal could cost. Requests at
/// a usual limit wait for less.
const LONG: u32 = 8;
/// The multiple of the long wait without a refusal after which nothing has confirmed the rate for
/// long.
const UNTESTED: u32 = 3;
/// The wait of a request that tests such a rate, unless half of a latency is longer. It is below
/// the waits that an overload rejects, so no request is rejected for an untested rate.
const TEST_AFTER: Duration = Duration::from_millis(250);
/// The weight of the newest latency.
const LATENCY: f64 = 0.2;
/// The refusals that the first success pays for, and the largest number of paid ones. An endpoint
/// that refuses each attempt gets no early one.
const CREDIT: (f64, f64) = (2.0, 6.0);
/// The share of served early attempts from which they test a rate that is refused itself.
const TESTS_RATE: f64 = 0.4;
/// The largest number of early attempts in flight that no success has paid.
const MOST_UNPAID: u32 = 16;
/// The longest delay after refusals, unless one attempt at the rate takes longer.
const LONGEST: Duration = Duration::from_secs(1);
/// The weight of the newest early attempt in the share of served ones.
const ALPHA: f64 = 1.0 / 16.0;
/// The weight of the newest time to a recovery.
const RECOVERY: f64 = 0.25;

/// The early attempts at one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    /// The refusals that are paid.
    credit: f64,
    /// The share of early attempts that are served.
    share: f64,
    /// The number of early attempts without an outcome.
    in_flight: u32,
    /// The largest number of early attempts in flight at present, beside the paid refusals.
    window: u32,
    /// The earliest instant of the next early attempt.
    from: Instant,
    /// The instant of the last early attempt.
    sent: Instant,
    /// The instant of the first of the last refusals.
    held: Instant,
    /// The delay after the last refusal.
    delay: Duration,
    /// The usual latency of a success, in seconds.
    latency: f64,
    /// The usual time from a refusal to the next success, in seconds.
    recovery: f64,
}

impl Early {
    /// Starts without an early attempt.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            credit: 0.0,
            share: 0.5,
            in_flight: 0,
            window: 1,
            from: now,
            sent: now,
            held: now,
            delay: Duration::ZERO,
            latency: 0.0,
            recovery: 0.0,
        }
    }

    /// Returns the earliest instant of the next early attempt, which may have passed. The last
    /// attempt was at `last`, and the request waits since `since`. Its wait counts from the last
    /// refusal. An attempt without a refusal within `patience` counts as served. `is_refused` is
    /// whether the rate itself is refused.
    pub(super) fn next(
        &self,
        (last, is_refused): (Instant, bool),
        since: Instant,
        patience: Duration,
    ) -> Option<Instant> {
        let tests_rate = is_refused && self.share >= TESTS_RATE;
        // All of them may be refused.
        let most = if tests_rate {
            MOST_UNPAID
        } else {
            self.credit as u32
        };
        if most == 0 {
            return None;
        }
        let from = self.earliest(last, since);
        if self.in_flight < self.window.min(most) {
            return Some(from);
        }
        Some(from.max(saturating_add(self.sent, patience)))
    }

    /// Returns the earliest instant, if no early attempt is in flight.
    fn earliest(&self, last: Instant, since: Instant) -> Instant {
        // Each served attempt shows that the requests wait in vain.
        let long = self.usual().saturating_mul(LONG) / self.window;
        let is_long = saturating_add(since.max(self.held), long);
        let worth = saturating_add(last, self.worth());
        self.from
            .max(worth.min(is_long).min(self.untested(since, long)))
    }

    /// Returns when a request has waited for long enough to test a rate that no refusal has
    /// confirmed for long.
    fn untested(&self, since: Instant, long: Duration) -> Instant {
        let short = self.worth().max(TEST_AFTER) / self.window;
        let unconfirmed = saturating_add(self.held, long.saturating_mul(UNTESTED));
        saturating_add(since, short.min(long)).max(unconfirmed)
    }

    /// Returns the shortest wait that an early attempt may save. A shorter wait hardly delays an
    /// answer.
    fn worth(&self) -> Duration {
        self.usual().mul_f64(WORTH)
    }

    /// Returns the usual latency of a success.
    fn usual(&self) -> Duration {
        Duration::from_secs_f64(self.latency)
    }

    /// Counts an early attempt.
    pub(super) fn send(&mut self, patience: Duration, now: Instant) {
        if now.saturating_duration_since(self.sent) >= patience {
            // None of them was refused in time.
            self.in_flight = 0;
        }
        self.in_flight += 1;
        self.sent = now;
    }

    /// Counts an early attempt, sent at `sent`, that was served.
    pub(super) fn served(&mut self, sent: Instant) {
        self.left();
        if !self.delay.is_zero() {
            let time = sent.saturating_duration_since(self.held).as_secs_f64();
            self.recovery += RECOVERY * (time - self.recovery);
            self.delay = Duration::ZERO;
        }
        self.share += ALPHA * (1.0 - self.share);
        self.window = self.window.saturating_add(1);
    }

    /// Counts the success of any attempt, which took `latency`.
    pub(super) fn earn(&mut self, latency: Duration) {
        let latency = latency.as_secs_f64();
        self.latency = match self.latency {
            0.0 => {
                self.credit = CREDIT.0;
                latency.max(f64::MIN_POSITIVE)
            }
            known => known + LATENCY * (latency - known),
        };
        let earned = EARNED.0 + EARNED.1 * self.share * self.share;
        self.credit = (self.credit + earned).min(CREDIT.1);
    }

    /// Counts an early attempt that was refused.
    pub(super) fn refused(&mut self, least: Duration, now: Instant) {
        self.left();
        self.share -= ALPHA * self.share;
        self.credit = (self.credit - 1.0).max(0.0);
        if self.delay.is_zero() {
            self.hold(least, now);
        } else if now >= self.from {
            // The refusals of one round trip are one piece of news.
            self.delay = self.delay.saturating_mul(2).min(LONGEST.max(least));
            self.from = saturating_add(now, self.delay);
        }
    }

    /// Begins a delay after a refusal.
    pub(super) fn hold(&mut self, least: Duration, now: Instant) {
        let recovery = Duration::from_secs_f64(self.recovery / 2.0);
        self.delay = least.max(recovery).max(self.worth());
        self.held = now;
        self.from = saturating_add(now, self.delay);
        self.window = 1;
    }

    /// Ends the delay, because the endpoint serves again after refusing everything. Such a time is
    /// no property of its quota.
    pub(super) fn resume(&mut self, now: Instant) {
        self.from = self.from.min(now);
    }

    /// Forgets an early attempt without an outcome.
    pub(super) fn left(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Forgets all attempts in flight, because a generation begins.
    pub(super) fn restart(&mut self) {
        (self.in_flight, self.window) = (0, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_millis(50);

    /// Sends as many early attempts as possible at `now`. Returns their number.
    fn send_all(early: &mut Early, now: Instant) -> u32 {
        let mut sent = 0;
        let last = now - PATIENCE;
        while early
            .next((last, false), now, PATIENCE)
            .is_some_and(|at| at <= now)
        {
            early.send(PATIENCE, now);
            sent += 1;
        }
        sent
    }

    /// Starts after one success.
    fn proven(now: Instant) -> Early {
        let mut early = Early::new(now);
        early.earn(Duration::ZERO);
        early
    }

    /// An endpoint that refuses each attempt got three early ones within ten seconds.
    #[tokio::test(start_paused = true)]
    async fn endpoint_without_success_gets_no_early_attempt() {
        let now = start();
        assert_eq!(send_all(&mut Early::new(now), now), 0);
        assert_eq!(send_all(&mut proven(now), now), 1);
    }

    fn start() -> Instant {
        Instant::now() + Duration::from_secs(1_000)
    }

    #[tokio::test(start_paused = true)]
    async fn served_attempts_add_attempts_up_to_the_paid_refusals() {
        let (mut now, mut sent) = (start(), Vec::new());
        let mut early = proven(now);
        for _ in 0..40 {
            let round = send_all(&mut early, now);
            now += 10 * MILLI;
            for _ in 0..round {
                early.earn(10 * MILLI);
                early.served(now);
            }
            sent.push(round);
        }
        assert_eq!(sent[..2], [1, 2]);
        assert_eq!(sent[39], CREDIT.1 as u32);
    }

    /// Without this bound, an overload would send each request twice.
    #[tokio::test(start_paused = true)]
    async fn refusals_cost_one_of_fifty_successes() {
        let mut now = start();
        let mut early = proven(now);
        let (mut refused, mut served) = (0, 0);
        for _ in 0..10_000 {
            for _ in 0..send_all(&mut early, now) {
                early.refused(MILLI, now);
                refused += 1;
            }
            early.earn(MILLI);
            served += 1;
            now += 50 * MILLI;
        }
        assert!(refused * 50 <= served, "{refused} of {served}");
        assert!(refused * 100 >= served, "{refused} of {served}");
    }

    #[tokio::test(start_paused = true)]
    async fn delay_doubles_with_each_refusal_and_starts_at_half_of_the_usual_recovery() {
        let now = start();
        let mut early = Early {
            credit: CREDIT.1,
            ..proven(now)
        };
        let next = |early: &Early| early.next((now, false), now, PATIENCE).map(|at| at - now);
        early.hold(20 * MILLI, now);
        assert_eq!(next(&early), Some(20 * MILLI));
        early.refused(20 * MILLI, now + 20 * MILLI);
        assert_eq!(next(&early), Some(60 * MILLI));
        // The second refusal of a round trip is no news.
        early.refused(20 * MILLI, now + 25 * MILLI);
        assert_eq!(next(&early), Some(60 * MILLI));
        early.served(now + 800 * MILLI);
        early.hold(20 * MILLI, now);
        assert_eq!(next(&early), Some(100 * MILLI), "an eighth of 800 ms");
    }

    /// Long answers hardly gain from a short wait, so the rate keeps its precision.
    #[tokio::test(start_paused = true)]
    async fn wait_below_half_of_a_latency_is_no_reason() {
        let now = start();
        let mut early = Early::new(now);
        early.earn(Duration::from_secs(2));
        let next = early.next((now, false), now, PATIENCE);
        assert_eq!(next, Some(now + Duration::from_secs(1)));
    }

    /// Between two refusals of a quota that others use too, nearly each attempt was an early one.
    #[tokio::test(start_paused = true)]
    async fn long_wait_counts_from_the_last_refusal() {
        let now = start();
        let mut early = proven(now);
        early.earn(SECOND);
        let usual = early.usual();
        early.hold(MILLI, now);
        for (arrival, next) in [
            (now - usual * 20, now + usual * LONG),
            (now, now + usual * LONG),
        ] {
            // Regular attempts in short intervals.
            let last = now + SECOND * 60;
            assert_eq!(early.next((last, false), arrival, PATIENCE), Some(next));
        }
    }

    /// A limit was lifted, and an overload rejected requests for its rate before any had waited for
    /// eight latencies.
    #[tokio::test(start_paused = true)]
    async fn rate_without_a_refusal_for_long_is_tested_after_a_short_wait() {
        for (latency, wait) in [(10, 80), (100, 250), (2_000, 1_000)] {
            let latency = latency * MILLI;
            let mut early = Early::new(start());
            early.earn(latency);
            early.hold(MILLI, start());
            let usual = early.usual();
            // Regular attempts in short intervals.
            let last = start() + SECOND * 600;
            let next = |arrival| {
                early
                    .next((last, false), arrival, PATIENCE)
                    .expect("it is paid")
            };
            let untested = start() + usual * LONG * UNTESTED;
            assert_eq!(next(untested) - untested, wait * MILLI);
            let soon = start() + usual * LONG;
            assert_eq!(next(soon) - soon, usual * LONG, "a refusal is recent");
        }
    }

    /// An endpoint that served each early attempt stayed at a rate of one in half a latency.
    #[tokio::test(start_paused = true)]
    async fn served_attempts_shorten_the_wait_that_is_long() {
        let now = start();
        let mut early = Early::new(now);
        early.earn(SECOND);
        // Regular attempts in short intervals.
        let last = now + SECOND * 60;
        let next = |early: &Early| early.next((last, false), now, PATIENCE).map(|at| at - now);
        for divisor in [2, 3, 4] {
            early.send(PATIENCE, now);
            early.served(now);
            assert_eq!(next(&early), Some(SECOND * LONG / divisor));
        }
        early.hold(MILLI, now);
        assert_eq!(next(&early), Some(SECOND * LONG), "starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_without_refusal_within_patience_frees_its_position() {
        let now = start();
        let mut early = proven(now);
        early.send(PATIENCE, now);
        assert_eq!(
            early.next((now, false), now, PATIENCE),
            Some(now + PATIENCE)
        );
        early.send(PATIENCE, now + PATIENCE);
        assert_eq!(early.in_flight, 1);
        early.left();
        assert_eq!(early.next((now, false), now, PATIENCE), Some(now));
        early.left();
        assert_eq!(early.in_flight, 0, "no underflow");
    }

    /// Refusals without a quota lowered a rate, and requests were rejected for it for minutes.
    #[tokio::test(start_paused = true)]
    async fn served_attempts_test_a_refused_rate_without_a_payment() {
        let mut now = start();
        let mut early = Early {
            credit: 0.0,
            ..proven(now)
        };
        let next = |early: &Early, is_refused, now| {
            let at = early.next((now - PATIENCE, is_refused), now - PATIENCE, PATIENCE);
            at.is_some_and(|at| at <= now)
        };
        assert!(!next(&early, false, now), "a rate that holds");
        for n in 0..20 {
            assert!(next(&early, true, now), "{n}");
            early.send(PATIENCE, now);
            early.served(now);
        }
        (0..MOST_UNPAID).for_each(|_| early.send(PATIENCE, now));
        assert!(!next(&early, true, now), "{} in flight", early.in_flight);
        let mut refused = 0;
        while early.next((now, true), now, PATIENCE).is_some() {
            early.refused(MILLI, now);
            now += SECOND;
            refused += 1;
        }
        // The share of served attempts falls from 0.86 below 0.4.
        assert_eq!(refused, 12);
    }
}
