//! linkerd2-proxy's breaker: failures in a row, or a success rate over buckets of time.
//!
//! After its sources: `breaker/unified.rs`, `breaker/success_rate.rs` and `linkerd/exp-backoff`.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::breaker::{Breaker, End, Ticket};
use crate::world::generator;

/// The consecutive failures that open it.
const IN_A_ROW: u32 = 7;
/// The number of buckets in the window.
const BUCKETS: usize = 10;
/// The length of a bucket.
const BUCKET: Duration = Duration::from_secs(1);
/// The share of successes below which it opens.
const THRESHOLD: f64 = 0.8;
/// The requests in the window without which the share does not count.
const MIN_REQUESTS: u32 = 5;
/// The shortest open time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// The longest open time.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The largest share by which jitter lengthens an open time.
const JITTER: f64 = 0.5;

/// The state of one breaker.
pub(crate) struct Linkerd {
    /// The current state.
    state: State,
    /// The current streak.
    in_a_row: u32,
    /// The outcomes of the last ten seconds.
    window: Window,
    /// The number of openings since the breaker was last closed. (linkerd names a closed breaker
    /// `open`.)
    times: u32,
    /// The source of the jitter.
    rng: Rng,
}

/// The states in linkerd's words: open lets requests pass, shut rejects them.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Shut { until: Instant },
    Probation { taken: bool },
}

/// The successes and all requests, per second.
struct Window {
    /// The successes and the requests of each bucket.
    buckets: [(u32, u32); BUCKETS],
    /// The index of the current bucket.
    current: usize,
    /// The start of the current bucket.
    began: Instant,
}

impl Linkerd {
    /// Creates a breaker that lets requests pass.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: State::Open,
            in_a_row: 0,
            window: Window::new(Instant::now()),
            times: 0,
            rng: generator(seed, 0),
        }
    }

    /// Rejects requests for the next open time.
    fn shut(&mut self, now: Instant) {
        let base = backoff(self.times);
        let jitter = base.mul_f64(JITTER * self.rng.f64());
        let wait = (base + jitter).min(MAX_BACKOFF);
        self.times += 1;
        self.state = State::Shut { until: now + wait };
    }

    /// Lets requests pass, and forgets all outcomes.
    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.in_a_row = 0;
        self.window = Window::new(now);
        self.times = 0;
    }

    /// Admits a probe at the end of the open time. In linkerd a timer does so.
    fn tick(&mut self, now: Instant) {
        if matches!(self.state, State::Shut { until } if until <= now) {
            self.state = State::Probation { taken: false };
        }
    }
}

impl Breaker for Linkerd {
    fn admit(&mut self, now: Instant) -> Option<Ticket> {
        self.tick(now);
        match &mut self.state {
            State::Open => {}
            State::Probation { taken } if !*taken => *taken = true,
            State::Shut { .. } | State::Probation { .. } => return None,
        }
        Some(Ticket::default())
    }

    fn record(&mut self, _: Ticket, end: End, now: Instant) {
        // "Permits are forgotten as requests are processed", and of a response future that is
        // dropped the breaker hears nothing. A probe that was cancelled is waited for for ever.
        if end == End::Cancelled {
            return;
        }
        self.tick(now);
        let success = end == End::Succeeded;
        match self.state {
            State::Open => {
                self.in_a_row = if success { 0 } else { self.in_a_row + 1 };
                self.window.record(success, now);
                if self.in_a_row >= IN_A_ROW || self.window.is_too_low() {
                    self.shut(now);
                }
            }
            State::Shut { .. } => {}
            // The first end decides, regardless of its call.
            State::Probation { .. } if success => self.open(now),
            State::Probation { .. } => self.shut(now),
        }
    }

    fn is_closed(&self) -> bool {
        self.state == State::Open
    }
}

/// Returns the open time after a number of openings, without jitter.
fn backoff(times: u32) -> Duration {
    MIN_BACKOFF
        .saturating_mul(2u32.saturating_pow(times))
        .min(MAX_BACKOFF)
}

impl Window {
    /// Creates a window without outcomes.
    fn new(now: Instant) -> Self {
        Self {
            buckets: [(0, 0); BUCKETS],
            current: 0,
            began: now,
        }
    }

    /// Counts an outcome.
    fn record(&mut self, success: bool, now: Instant) {
        self.roll(now);
        let (successes, total) = &mut self.buckets[self.current];
        *successes += u32::from(success);
        *total += 1;
    }

    /// Clears the buckets that have left the window.
    fn roll(&mut self, now: Instant) {
        let steps = now.saturating_duration_since(self.began).as_secs();
        for _ in 0..steps.min(BUCKETS as u64) {
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = (0, 0);
        }
        self.began += BUCKET * u32::try_from(steps).expect("a simulation is shorter");
    }

    /// Returns whether the share of successes opens the breaker.
    fn is_too_low(&self) -> bool {
        let sum = |(a, b), (successes, total): &(u32, u32)| (a + successes, b + total);
        let (successes, total) = self.buckets.iter().fold((0, 0), sum);
        total >= MIN_REQUESTS && f64::from(successes) / f64::from(total) < THRESHOLD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::clock::Clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn call(rule: &mut Linkerd, end: End, now: Instant) -> bool {
        let ticket = rule.admit(now);
        let admitted = ticket.is_some();
        if let Some(ticket) = ticket {
            rule.record(ticket, end, now);
        }
        admitted
    }

    /// linkerd's `success_rate.rs`: "a 100%-failure burst reaches the trip ratio after the same
    /// number of samples no matter how tightly packed they are in time", here the least of 5; and
    /// samples of more than a window ago do not count.
    #[test]
    fn rate_is_exact_at_any_request_rate() {
        Clock::run(|clock| {
            let now = clock.now();
            for pause in [Duration::ZERO, SECOND] {
                let mut window = Window::new(now);
                for n in 0..4 {
                    window.record(false, now + pause * n);
                    assert!(!window.is_too_low(), "the floor is {MIN_REQUESTS}");
                }
                window.record(false, now + pause * 4);
                assert!(window.is_too_low());
                window.record(true, now + 15 * SECOND);
                assert!(!window.is_too_low(), "all failures have left the window");
            }
        });
    }

    /// linkerd's `unified.rs`: "Consecutive failures >= `max_failures`", with an annotation of 7 by
    /// default, and the rate "drops below `threshold`": at 0.8 itself nothing happens.
    #[test]
    fn seven_consecutive_failures_or_success_below_80_percent_open() {
        Clock::run(|clock| {
            let now = clock.now();
            let mut rule = Linkerd::new(1);
            for _ in 0..100 {
                assert!(call(&mut rule, End::Succeeded, now));
            }
            for n in 0..7 {
                assert!(call(&mut rule, End::Failed, now), "{n}");
            }
            assert!(!call(&mut rule, End::Failed, now));

            let mut rule = Linkerd::new(1);
            for n in 0..20 {
                let end = if n % 5 == 4 {
                    End::Failed
                } else {
                    End::Succeeded
                };
                assert!(call(&mut rule, end, now));
            }
            assert!(rule.is_closed(), "16 of 20 is 0.8");
            call(&mut rule, End::Failed, now);
            assert!(!rule.is_closed());
        });
    }

    /// linkerd's `exp-backoff`: `min` times two to the n, at most `max`, and a random part of
    /// `jitter` times that on top. `unified.rs`: "Probation: allow single probe request".
    #[test]
    fn wait_grows_and_one_probe_decides() {
        assert_eq!([0, 1, 2, 6].map(|n| backoff(n).as_secs()), [1, 2, 4, 60]);
        Clock::run(|clock| {
            let mut now = clock.now();
            let mut rule = Linkerd::new(1);
            rule.shut(now);
            for least in [1, 2, 4] {
                let least = least * SECOND;
                assert!(rule.admit(now + least - Duration::from_millis(1)).is_none());
                now += least + least / 2;
                let probe = rule.admit(now).expect("a probe");
                assert!(rule.admit(now).is_none(), "there is only one");
                rule.record(probe, End::Failed, now);
            }
            now += 12 * SECOND;
            assert!(call(&mut rule, End::Succeeded, now));
            assert!(rule.is_closed());
            rule.shut(now);
            assert!(
                rule.admit(now + SECOND + SECOND / 2).is_some(),
                "it starts again"
            );
        });
    }

    /// linkerd's `gate.rs`: "Permits are forgotten as requests are processed"; `unified.rs` waits
    /// for the next class and nothing else; `channel.rs` sends none when a response future is
    /// dropped.
    #[test]
    fn cancelled_probe_blocks_breaker_forever() {
        Clock::run(|clock| {
            let mut now = clock.now();
            let mut rule = Linkerd::new(1);
            rule.shut(now);
            now += 2 * SECOND;
            assert!(call(&mut rule, End::Cancelled, now));
            assert!(rule.admit(now + 3_600 * SECOND).is_none());
        });
    }
}
