//! failsafe 1.3.0 with the defaults of its `Config`, which come from Finagle.
//!
//! Its default policy combines two: consecutive failures, and a moving average of successes. Each
//! has its own backoff.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};
use crate::world::generator;

/// The consecutive failures that open it.
const IN_A_ROW: u32 = 5;
/// The share of successes below which it opens.
const RATE: f64 = 0.8;
/// The calls in the window without which the share does not count.
const LEAST: u32 = 5;
/// The time constant of the average, and the window of the calls.
const WINDOW: Duration = Duration::from_secs(30);
/// The slices of the window.
const SLICES: usize = 5;
/// The shortest and the longest open time in seconds, before jitter halves it at most.
const BACKOFF: (u64, u64) = (10, 300);

/// The state of one breaker.
pub(crate) struct Rule {
    /// The current state.
    state: State,
    /// The current streak.
    in_a_row: u32,
    /// The moving average of successes.
    average: Average,
    /// The calls in the window.
    counter: Counter,
    /// The instant at which it was last closed.
    since: Instant,
    /// The number of openings by each of its two policies, which have separate backoffs.
    times: [u32; 2],
    /// The source of the jitter.
    rng: Rng,
    /// The open time without backoff, for a test.
    constant: Option<Duration>,
}

/// The states of the crate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open { until: Instant, wait: Duration },
    HalfOpen { wait: Duration },
}

/// The exponentially weighted average of successes, with times in milliseconds.
#[derive(Default)]
struct Average {
    /// The time of the last outcome.
    at: u128,
    /// The average at that time.
    value: f64,
}

/// The calls of the last 30 s, in slices of six.
struct Counter {
    /// The calls in each slice.
    slices: [u32; SLICES],
    /// The index of the current slice.
    current: usize,
    /// The start of the current slice.
    began: Instant,
}

impl Rule {
    /// Creates a closed breaker.
    pub(crate) fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            state: State::Closed,
            in_a_row: 0,
            average: Average::default(),
            counter: Counter::new(now),
            since: now,
            times: [0, 0],
            rng: generator(seed, 0),
            constant: None,
        }
    }

    /// Creates a closed breaker with a constant open time.
    #[cfg(test)]
    pub(crate) fn open_for(open: Duration) -> Self {
        Self {
            constant: Some(open),
            ..Self::new(0)
        }
    }

    /// Records a success. The first success of a half-open breaker closes it.
    fn succeeded(&mut self, now: Instant) {
        if let State::HalfOpen { .. } = self.state {
            self.revive(now);
        }
        self.in_a_row = 0;
        self.average.update(self.elapsed(now), 1.0);
        self.counter.add(now);
    }

    /// Records a failure. The first failure of a half-open breaker opens it.
    fn failed(&mut self, now: Instant) {
        let last = match self.state {
            State::Closed => None,
            State::HalfOpen { wait } => Some(wait),
            State::Open { .. } => return,
        };
        if let Some(wait) = self.mark_dead(now).or(last) {
            let until = now + wait;
            self.state = State::Open { until, wait };
        }
    }

    /// Returns the open time if one of both policies opens, and the longer time if both do.
    fn mark_dead(&mut self, now: Instant) -> Option<Duration> {
        self.counter.add(now);
        let elapsed = self.elapsed(now);
        let rate = self.average.update(elapsed, 0.0);
        self.in_a_row += 1;
        let by_rate =
            elapsed >= WINDOW.as_millis() && rate < RATE && self.counter.sum(now) >= LEAST;
        let by_rate = by_rate.then(|| self.next_wait(0));
        let in_a_row = (self.in_a_row >= IN_A_ROW).then(|| self.next_wait(1));
        by_rate.max(in_a_row)
    }

    /// Returns the next open time of a policy, with jitter.
    fn next_wait(&mut self, policy: usize) -> Duration {
        let times = &mut self.times[policy];
        let half = backoff(*times) / 2;
        *times = (*times + 1).min(30);
        let wait = Duration::from_secs(half + self.rng.u64(0..=half));
        self.constant.unwrap_or(wait)
    }

    /// Closes the breaker and forgets all outcomes.
    fn revive(&mut self, now: Instant) {
        self.state = State::Closed;
        self.in_a_row = 0;
        self.average = Average::default();
        self.counter.slices = [0; SLICES];
        self.counter.began = now;
        self.since = now;
        self.times = [0, 0];
    }

    /// Returns the milliseconds since the breaker was closed.
    fn elapsed(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.since).as_millis()
    }
}

impl Breaker for Rule {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        if let State::Open { until, wait } = self.state {
            if now <= until {
                return None;
            }
            self.state = State::HalfOpen { wait };
        }
        Some(Ticket::default())
    }

    fn record(&mut self, _: Ticket, end: End, now: Instant) {
        match end {
            End::Cancelled => {}
            End::Failed => self.failed(now),
            End::Succeeded => self.succeeded(now),
        }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
}

/// Returns the open time in seconds after a number of openings, without jitter.
fn backoff(times: u32) -> u64 {
    (BACKOFF.0 << times).min(BACKOFF.1)
}

impl Average {
    /// Adds an outcome, and returns the new average.
    fn update(&mut self, now: u128, value: f64) -> f64 {
        let left = if self.at == 0 {
            0.0
        } else {
            (-((now - self.at) as f64) / WINDOW.as_millis() as f64).exp()
        };
        self.at = now;
        self.value = value * (1.0 - left) + self.value * left;
        self.value
    }
}

impl Counter {
    /// Creates a counter without calls.
    fn new(now: Instant) -> Self {
        Self {
            slices: [0; SLICES],
            current: 0,
            began: now,
        }
    }

    /// Counts a call.
    fn add(&mut self, now: Instant) {
        self.expire(now);
        self.slices[self.current] += 1;
    }

    /// Returns the calls of the window.
    fn sum(&mut self, now: Instant) -> u32 {
        self.expire(now);
        self.slices.iter().sum()
    }

    /// Clears the slices that have left the window.
    fn expire(&mut self, now: Instant) {
        let slice = WINDOW / SLICES as u32;
        let elapsed = now.saturating_duration_since(self.began);
        let steps = elapsed.as_millis() / slice.as_millis();
        if steps == 0 {
            return;
        }
        for _ in 0..steps.min(SLICES as u128) {
            self.current = (self.current + 1) % SLICES;
            self.slices[self.current] = 0;
        }
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    /// failsafe's own test `fractional_success_rate`: with a window of 100 s and a call a second,
    /// the average of a service that has just failed needs 70 failures to halve. Here the window
    /// is 30 s: 21.
    #[test]
    fn average_halves_per_window() {
        let mut average = Average::default();
        for seconds in 1..=100 {
            assert_eq!(average.update(seconds * 1_000, 1.0), 1.0);
        }
        let mut after = (1..).map(|n| average.update((100 + n) * 1_000, 0.0));
        assert_eq!(after.position(|value| value < 0.5), Some(20));
    }

    /// failsafe's own test `fail_when_success_rate_not_met`: before a window has passed since the
    /// start, no rate opens it.
    #[test]
    fn rate_is_ignored_in_first_window() {
        Clock::run(|clock| {
            let mut rule = Rule::new(1);
            let ends = [End::Failed, End::Succeeded];
            let mut call = |n: usize| {
                clock.advance(SECOND);
                let ticket = rule.admit(clock.now()).expect("closed");
                rule.record(ticket, ends[n % 2], clock.now());
                rule.is_closed()
            };
            assert!((1..30).all(&mut call), "every second call fails");
            assert!(!call(30));
        });
    }

    /// failsafe's `ema.rs`: the average begins as "value", the first one there is. If that is a
    /// failure, 30 s later the average is still below 0.8 although all went well, and the next
    /// failure opens it.
    #[test]
    fn first_failure_dominates_average() {
        Clock::run(|clock| {
            let mut rule = Rule::new(1);
            let mut call = |end| {
                clock.advance(SECOND / 100);
                let ticket = rule.admit(clock.now()).expect("closed");
                rule.record(ticket, end, clock.now());
                rule.is_closed()
            };
            assert!(call(End::Failed));
            for _ in 0..3_000 {
                assert!(call(End::Succeeded));
            }
            assert!(!call(End::Failed), "two failures of 3002");
        });
    }

    /// failsafe's docs: `equal_jittered` keeps "half of the exponential growth, and jitter between
    /// 0 and that amount", here from 10 s to 300 s.
    #[test]
    fn half_of_wait_is_random() {
        assert_eq!([0, 1, 2, 5, 30].map(backoff), [10, 20, 40, 300, 300]);
        Clock::run(|_| {
            let waits: Vec<_> = (0..200).map(|seed| Rule::new(seed).next_wait(1)).collect();
            assert_eq!(waits.iter().min(), Some(&(5 * SECOND)));
            assert_eq!(waits.iter().max(), Some(&(10 * SECOND)));
        });
    }
}
