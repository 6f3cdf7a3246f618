//! The limits of a wait for a slot.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::overload::Pressure;

/// The wait of a request with a deadline that shows no overload, in latencies: the queue of a
/// chance peak. It is the shortest of the three.
const TOLERATED_LATENCIES: u32 = 4;
/// The same as a part of the time until the deadline: one of this number. The rest is for the
/// answer, and for a second attempt.
const TOLERATED_PART: u32 = 4;
/// The same as a time. A deadline may be the default of a stack, and its callers may be less
/// patient.
const LONGEST_TOLERATED: Duration = Duration::from_secs(5);
/// The wait that every caller is expected to have patience for, as a part of the latency: one of
/// this number. A shorter wait could leave slots unused.
const LEAST_PART: u32 = 8;
/// The part of the callers' patience that is kept for answers that are slower than usual: one of
/// this number.
const RESERVE: u32 = 8;

/// The limits of a wait for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// When the request gives up.
    pub(crate) until: Instant,
    /// The longest wait during an overload.
    pub(crate) bound: Duration,
    /// The wait from which a slot may show an overload.
    pub(crate) late: Duration,
    /// The wait that every caller is expected to have patience for.
    pub(crate) least: Duration,
    /// The age from which a cancellation shows the patience of callers.
    pub(crate) due: Duration,
    /// The expected latency of an attempt.
    pub(crate) latency: Duration,
    /// Whether the wait is for a better endpoint while others are possible.
    pub(crate) prefers: bool,
    /// Whether the wait is for the outcome of a probe.
    pub(crate) probes: bool,
    /// Whether the caller set a deadline.
    pub(crate) has_deadline: bool,
}

impl Patience {
    /// Returns the limits of a request that came at `came`.
    ///
    /// During an overload it waits for the longer of `least` and twice the latency.
    pub(crate) fn new(
        until: Instant,
        (came, deadline): (Instant, Option<Instant>),
        latency: Duration,
        least: Duration,
        pressure: Pressure,
    ) -> Self {
        let bound = least.max(latency.saturating_mul(2));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(came));
        let usual = latency
            .saturating_mul(TOLERATED_LATENCIES)
            .min(LONGEST_TOLERATED);
        let tolerated = left.map_or(Duration::ZERO, |left| usual.min(left / TOLERATED_PART));
        let longest = pressure.overloaded.then(|| saturating_add(came, bound));
        Self {
            until: longest.map_or(until, |longest| until.min(longest)),
            bound,
            late: tolerated.max(bound / 2),
            least: least.max(latency / LEAST_PART),
            due: least.saturating_add(latency).min(bound),
            latency,
            prefers: false,
            probes: false,
            has_deadline: deadline.is_some(),
        }
    }

    /// Returns whether its wait may be `wait` long on arrival.
    pub(crate) fn admits(&self, wait: Duration, pressure: Pressure, now: Instant) -> bool {
        let fits = now < self.until && saturating_add(now, wait) <= self.until;
        let is_short = !pressure.overloaded || wait <= self.bound_on_arrival();
        fits && (self.prefers || is_short && !self.is_stale(wait, pressure))
    }

    /// Returns the bound of a wait on arrival at an overloaded queue. The other half is a reserve,
    /// because the slots may become fewer.
    fn bound_on_arrival(&self) -> Duration {
        self.bound / 2
    }

    /// Returns whether a rejection on arrival shows that a present overload continues. A short
    /// deadline shows nothing, and neither does a wait for a better endpoint.
    pub(crate) fn is_evidence(&self, wait: Duration, pressure: Pressure) -> bool {
        let is_late = wait > self.bound_on_arrival() || self.is_stale(wait, pressure);
        pressure.overloaded && is_late && !self.prefers
    }

    /// Ends the wait for good.
    pub(crate) fn end(&mut self, now: Instant) {
        (self.until, self.probes) = (now, false);
    }

    /// Ends the wait of a stale request. Returns whether it is stale.
    pub(crate) fn expire(&mut self, age: Duration, pressure: Pressure, now: Instant) -> bool {
        let is_stale = self.is_stale(age, pressure);
        if is_stale {
            self.end(now);
        }
        is_stale
    }

    /// Returns whether the caller of a request of this age is probably about to cancel. The
    /// answer would come too late.
    fn is_stale(&self, age: Duration, pressure: Pressure) -> bool {
        if self.prefers {
            return false;
        }
        let patience = pressure.patience;
        let patience = patience.map(|it| (it - it / RESERVE).saturating_sub(self.latency));
        patience.is_some_and(|patience| age > patience.max(self.least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The limits of a request without a deadline, which would wait for a minute.
    fn patience_with(latency: Duration, pressure: Pressure, now: Instant) -> Patience {
        let until = now + 60 * SECOND;
        Patience::new(until, (now, None), latency, SECOND, pressure)
    }

    fn pressure(overloaded: bool, patience: Option<Duration>) -> Pressure {
        Pressure {
            overloaded,
            patience,
        }
    }

    /// Seven eighths of the patience are left for the wait and the answer.
    #[tokio::test(start_paused = true)]
    async fn wait_beyond_patience_of_others_is_rejected() {
        let now = Instant::now();
        for (patience, latency, longest) in [
            // 7 s less the latency.
            (8_000, 1_000, 6_000),
            (8_000, 3_000, 4_000),
            // The callers have less patience than two latencies.
            (16_000, 10_000, 4_000),
            // Every caller waits for a second, or for an eighth of the latency.
            (1_200, 600, 1_000),
            (11_000, 10_000, 1_250),
        ] {
            let ms = Duration::from_millis;
            let pressure = pressure(false, Some(ms(patience)));
            let limits = patience_with(ms(latency), pressure, now);
            for (wait, fits) in [(longest, true), (longest + 1, false)] {
                let admits = limits.admits(ms(wait), pressure, now);
                assert_eq!(admits, fits, "{patience} {latency} {wait}");
                let mut waiting = limits;
                assert_eq!(waiting.expire(ms(wait), pressure, now), !fits);
                assert_eq!(waiting.until == now, !fits, "{patience} {latency} {wait}");
                // The overload of such callers lasts.
                let lasting = Pressure {
                    overloaded: true,
                    ..pressure
                };
                assert!(limits.is_evidence(ms(wait), lasting) || fits);
            }
            let preferring = Patience {
                prefers: true,
                ..limits
            };
            assert!(preferring.admits(50 * SECOND, pressure, now));
            assert!(!{ preferring }.expire(50 * SECOND, pressure, now));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn overload_admits_half_of_the_bound() {
        let now = Instant::now();
        for (latency, bound) in [(1, 1_000), (500, 1_000), (2_000, 4_000)] {
            let latency = Duration::from_millis(latency);
            let half = Duration::from_millis(bound) / 2;
            let milli = Duration::from_millis(1);
            let overload = pressure(true, None);
            let limits = patience_with(latency, overload, now);
            assert_eq!(limits.until, now + 2 * half);
            assert!(limits.admits(half, overload, now));
            assert!(!limits.admits(half + milli, overload, now));
            assert!(limits.is_evidence(half + milli, overload));
            assert!(!limits.is_evidence(half, overload));
            let calm = Pressure::default();
            assert!(patience_with(latency, calm, now).admits(60 * SECOND, calm, now));
            assert!(!limits.is_evidence(60 * SECOND, calm));
        }
    }

    /// A cancellation before an answer is due has a reason of its own.
    #[tokio::test(start_paused = true)]
    async fn cancellation_counts_from_the_age_at_which_an_answer_is_due() {
        let now = Instant::now();
        for (latency, due) in [(10, 1_000), (600, 1_200), (1_000, 2_000), (10_000, 11_000)] {
            let latency = Duration::from_millis(latency);
            let limits = patience_with(latency, Pressure::default(), now);
            assert_eq!(limits.due.as_millis(), due, "{latency:?}");
        }
    }

    /// The requests of a chance peak have a deadline and time to spare. Their wait shows no
    /// overload.
    #[tokio::test(start_paused = true)]
    async fn tolerated_wait_depends_on_deadline_and_latency() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        for (deadline, latency, late) in [
            // Half of the bound, which is two latencies.
            (None, 1_000, 1_000),
            (Some(60), 1_000, 4_000),
            (Some(60), 2_000, 5_000),
            (Some(10), 1_000, 2_500),
            // Never less than half of the bound.
            (Some(2), 1_000, 1_000),
            (Some(60), 10, 500),
        ] {
            let deadline = deadline.map(|seconds: u32| now + second * seconds);
            let latency = Duration::from_millis(latency);
            let until = now + 60 * second;
            let patience =
                Patience::new(until, (now, deadline), latency, second, Pressure::default());
            assert_eq!(
                patience.late,
                Duration::from_millis(late),
                "{deadline:?} {latency:?}"
            );
        }
    }
}
