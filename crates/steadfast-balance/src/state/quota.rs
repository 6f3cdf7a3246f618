//! What an endpoint says of its own quota, in the headers of its answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::{RateLimit, Reset, Unit};

/// What an endpoint allows of one kind, as it said last, less what was sent since.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QuotaWindow {
    /// How much it is when nothing was used, if that is known.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: u64,
    /// How long it takes until there is more, if that is known. Zero if that time has passed.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "reset_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub reset: Option<Duration>,
    /// Whether it fills steadily until then. Otherwise nothing comes before.
    pub fills_steadily: bool,
}

/// The quotas of an endpoint. Times are nanoseconds since the pool began.
///
/// Several answers may write at the same time, and a reader may see a part of each: all of them
/// are of now, and the next one corrects it.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    requests: Window,
    tokens: Window,
}

#[derive(Debug)]
struct Window {
    limit: AtomicU64,
    /// How much there was at `since`.
    remaining: AtomicU64,
    since: AtomicU64,
    /// When there is more, of one that does not fill steadily.
    reset: AtomicU64,
    /// How much comes in a second, of one that does: the bits of an `f64`.
    rate: AtomicU64,
}

/// What part of a quota is left at most when it is nearly used up.
const NEARLY: u64 = 10;
/// Nothing is known.
const UNKNOWN: u64 = u64::MAX;

impl Default for Window {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(UNKNOWN),
            remaining: AtomicU64::new(UNKNOWN),
            since: AtomicU64::new(0),
            reset: AtomicU64::new(UNKNOWN),
            rate: AtomicU64::new(0),
        }
    }
}

impl Quota {
    /// Learns from the headers of an answer. Of several windows for one unit the one that is used
    /// up most counts.
    pub(crate) fn learn(&self, limit: &RateLimit<'_>, now: Duration) {
        for (unit, window) in [
            (Unit::Requests, &self.requests),
            (Unit::Tokens, &self.tokens),
        ] {
            let tightest = limit
                .buckets()
                .filter(|bucket| bucket.unit() == unit && bucket.remaining().is_some())
                .min_by(|a, b| {
                    let left = |remaining: Option<u64>, limit: Option<u64>| {
                        let remaining = remaining.unwrap_or_default() as f64;
                        remaining / limit.map_or(f64::MAX, |limit| limit.max(1) as f64)
                    };
                    left(a.remaining(), a.limit()).total_cmp(&left(b.remaining(), b.limit()))
                });
            if let Some(bucket) = tightest {
                let remaining = bucket.remaining().unwrap_or_default();
                window.learn(bucket.limit(), remaining, bucket.reset(), now);
            }
        }
    }

    /// Counts what is sent, so that a crowd between two answers is seen.
    pub(crate) fn send(&self, tokens: Option<u64>, now: impl Fn() -> Duration) {
        self.requests.take(1, &now);
        if let Some(tokens) = tokens {
            self.tokens.take(tokens, &now);
        }
    }

    /// When there is enough for a request of so many tokens, if there is not now.
    pub(crate) fn ready_at(&self, tokens: u64, now: Duration) -> Option<Duration> {
        self.tokens.ready_at(tokens, now)
    }

    /// How much is left of what was used up most, from 0 to 1. Nothing is known without headers.
    pub(crate) fn headroom(&self, tokens: Option<u64>, now: Duration) -> Option<f64> {
        let requests = self.requests.headroom(1, now);
        let tokens = self.tokens.headroom(tokens.unwrap_or(0), now);
        match (requests, tokens) {
            (Some(requests), Some(tokens)) => Some(requests.min(tokens)),
            (requests, tokens) => requests.or(tokens),
        }
    }

    /// The requests a second that a quota allows which fills steadily and is nearly used up. One that
    /// is not has refused nobody: it may be that of a day.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.requests.rate(now)
    }

    pub(crate) fn requests(&self, now: Duration) -> Option<QuotaWindow> {
        self.requests.look(now)
    }

    pub(crate) fn tokens(&self, now: Duration) -> Option<QuotaWindow> {
        self.tokens.look(now)
    }
}

impl Window {
    fn learn(&self, limit: Option<u64>, remaining: u64, reset: Option<Reset>, now: Duration) {
        let missing = limit.unwrap_or_default().saturating_sub(remaining) as f64;
        let (reset, rate) = match reset {
            Some(Reset::UntilFull(wait)) if missing > 0.0 && !wait.is_zero() => {
                (UNKNOWN, missing / wait.as_secs_f64())
            }
            Some(Reset::UntilFull(wait) | Reset::UntilWindow(wait)) => {
                (nanos(now.saturating_add(wait)), 0.0)
            }
            _ => (UNKNOWN, 0.0),
        };
        let order = Ordering::Relaxed;
        self.limit.store(limit.unwrap_or(UNKNOWN), order);
        self.since.store(nanos(now), order);
        self.reset.store(reset, order);
        self.rate.store(rate.to_bits(), order);
        self.remaining.store(remaining.min(UNKNOWN - 1), order);
    }

    fn take(&self, amount: u64, now: &impl Fn() -> Duration) {
        // Most endpoints say nothing of a quota, and cost only a look.
        if self.remaining.load(Ordering::Relaxed) == UNKNOWN {
            return;
        }
        let order = Ordering::Relaxed;
        let now = now();
        // What has come back by now is there to be taken.
        let Some(window) = self.look(now) else {
            return;
        };
        if window.reset == Some(Duration::ZERO) {
            // Nobody has said when the window ends that has begun then.
            self.reset.store(UNKNOWN, order);
        }
        // The part of one that has come by now is kept, unless it is full.
        let (since, rate) = (
            self.since.load(order),
            f64::from_bits(self.rate.load(order)),
        );
        let come = window.remaining.saturating_sub(self.remaining.load(order));
        let took = Duration::try_from_secs_f64(come as f64 / rate).unwrap_or(now);
        let is_full = window.limit.is_none_or(|limit| window.remaining >= limit);
        let since = match is_full {
            true => nanos(now),
            false => since.saturating_add(nanos(took)).min(nanos(now)),
        };
        self.since.store(since, order);
        self.remaining
            .store(window.remaining.saturating_sub(amount), order);
    }

    fn look(&self, now: Duration) -> Option<QuotaWindow> {
        let order = Ordering::Relaxed;
        let remaining = self.remaining.load(order);
        if remaining == UNKNOWN {
            return None;
        }
        let known = |value: &AtomicU64| Some(value.load(order)).filter(|value| *value != UNKNOWN);
        let limit = known(&self.limit);
        let rate = f64::from_bits(self.rate.load(order));
        if let Some(limit) = limit.filter(|_| rate > 0.0) {
            let since = Duration::from_nanos(self.since.load(order));
            let come = rate * now.saturating_sub(since).as_secs_f64();
            // The cast saturates, and more than the limit does not come.
            let remaining = remaining.saturating_add(come as u64);
            let remaining = remaining.min(limit.max(self.remaining.load(order)));
            let missing = limit.saturating_sub(remaining) as f64;
            return Some(QuotaWindow {
                limit: Some(limit),
                remaining,
                reset: Duration::try_from_secs_f64(missing / rate).ok(),
                fills_steadily: true,
            });
        }
        let reset = known(&self.reset).map(|at| at.saturating_sub(nanos(now)));
        let remaining = match (limit, reset) {
            (Some(limit), Some(0)) => limit.max(remaining),
            _ => remaining,
        };
        Some(QuotaWindow {
            limit,
            remaining,
            reset: reset.map(Duration::from_nanos),
            fills_steadily: false,
        })
    }

    fn ready_at(&self, needed: u64, now: Duration) -> Option<Duration> {
        let window = self.look(now)?;
        // What is larger than the whole limit would wait for ever. The server decides.
        let fits = window.remaining >= needed || window.limit.is_some_and(|most| needed > most);
        let wait = window.reset.filter(|wait| !fits && !wait.is_zero())?;
        let part = match window.limit {
            Some(limit) if window.fills_steadily => {
                let missing = (needed - window.remaining) as f64;
                missing / limit.saturating_sub(window.remaining).max(1) as f64
            }
            _ => 1.0,
        };
        Some(now.saturating_add(wait.mul_f64(part.clamp(0.0, 1.0))))
    }

    fn headroom(&self, needed: u64, now: Duration) -> Option<f64> {
        let window = self.look(now)?;
        let limit = window.limit?.max(1) as f64;
        Some((window.remaining.saturating_sub(needed) as f64 / limit).min(1.0))
    }

    fn rate(&self, now: Duration) -> Option<f64> {
        let window = self.look(now)?;
        let is_used_up = window.remaining <= window.limit? / NEARLY;
        let rate = f64::from_bits(self.rate.load(Ordering::Relaxed));
        (rate > 0.0 && is_used_up).then_some(rate)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::time::SystemTime;

    const SECOND: Duration = Duration::from_secs(1);

    fn learned(headers: &[(&'static str, &'static str)]) -> Quota {
        let pairs = headers.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        });
        let headers = HeaderMap::from_iter(pairs);
        let quota = Quota::default();
        let limit = RateLimit::from_headers(&headers, SystemTime::now());
        quota.learn(&limit, SECOND);
        quota
    }

    #[test]
    fn knows_nothing_without_headers() {
        let quota = learned(&[("retry-after", "3")]);
        quota.send(Some(5), || SECOND);
        assert_eq!(quota.requests(SECOND), None);
        assert_eq!(quota.headroom(Some(1), SECOND), None);
        assert_eq!(quota.ready_at(1, SECOND), None);
        assert_eq!(quota.rate(SECOND), None);
    }

    /// OpenAI: full again in six seconds, so ten of sixty come back each second.
    #[test]
    fn a_bucket_fills_until_its_reset() {
        let quota = learned(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "6s"),
        ]);
        assert_eq!(quota.rate(SECOND), Some(10.0));
        let later = quota.requests(4 * SECOND).expect("known");
        assert_eq!((later.remaining, later.reset), (30, Some(3 * SECOND)));
        assert_eq!(quota.requests(7 * SECOND).expect("known").remaining, 60);
        assert_eq!(quota.headroom(None, 4 * SECOND), Some(29.0 / 60.0));
    }

    #[test]
    fn a_window_brings_nothing_before_its_end() {
        let quota = learned(&[
            ("anthropic-ratelimit-tokens-limit", "1000"),
            ("anthropic-ratelimit-tokens-remaining", "300"),
            ("ratelimit-limit", "10"),
            ("ratelimit-remaining", "4"),
            ("ratelimit-reset", "5"),
        ]);
        assert_eq!(quota.rate(SECOND), None);
        assert_eq!(quota.requests(5 * SECOND).expect("known").remaining, 4);
        assert_eq!(quota.requests(6 * SECOND).expect("known").remaining, 10);
        assert_eq!(quota.ready_at(400, SECOND), None, "nobody says until when");
    }

    #[test]
    fn a_large_request_waits_for_its_tokens_and_a_small_one_does_not() {
        let quota = learned(&[
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "200"),
            ("x-ratelimit-reset-tokens", "8s"),
        ]);
        assert_eq!(quota.ready_at(200, SECOND), None);
        assert_eq!(quota.ready_at(600, SECOND), Some(5 * SECOND));
        assert_eq!(quota.ready_at(1001, SECOND), None, "it never fits");
        quota.send(Some(200), || SECOND);
        assert!(
            quota.ready_at(200, SECOND).is_some(),
            "it was sent meanwhile"
        );
    }

    /// Between two answers there may be many requests, and time passes.
    #[test]
    fn what_is_sent_is_counted_against_what_has_come_back() {
        let quota = learned(&[
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "100"),
            ("x-ratelimit-reset-tokens", "9s"),
            ("ratelimit-limit", "10"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "5"),
        ]);
        let later = 11 * SECOND / 2;
        assert_eq!(quota.ready_at(500, later), None);
        quota.send(Some(500), || later);
        assert_eq!(quota.tokens(later).expect("known").remaining, 50);
        assert_eq!(quota.ready_at(500, later), Some(10 * SECOND));
        quota.send(Some(0), || 8 * SECOND);
        assert_eq!(quota.tokens(8 * SECOND).expect("known").remaining, 300);
        let full = quota.tokens(100 * SECOND).expect("known");
        assert_eq!((full.remaining, full.reset), (1000, Some(Duration::ZERO)));

        for left in [8, 7, 6] {
            quota.send(None, || 8 * SECOND);
            assert_eq!(quota.requests(9 * SECOND).expect("known").remaining, left);
        }
    }

    #[test]
    fn what_comes_back_between_two_sends_is_not_lost() {
        let quota = learned(&[
            ("x-ratelimit-limit-requests", "10"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "10s"),
            ("x-ratelimit-limit-tokens", "10"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "10s"),
        ]);
        for n in 1..=25 {
            quota.send(Some(0), || SECOND + n * SECOND / 5);
        }
        assert_eq!(quota.tokens(6 * SECOND).expect("known").remaining, 5);
        // Whoever takes each one that comes leaves none, and what comes next is there in time.
        assert_eq!(quota.requests(6 * SECOND).expect("known").remaining, 0);
        assert_eq!(quota.requests(7 * SECOND).expect("known").remaining, 1);
    }

    /// Groq's are those of a day: 30 a minute are allowed beside them.
    #[test]
    fn a_quota_that_is_hardly_used_says_nothing_of_a_rate() {
        for (remaining, rate) in [("14370", None), ("1441", None), ("1440", Some(12.96))] {
            let quota = learned(&[
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", "1000s"),
            ]);
            assert_eq!(quota.rate(SECOND), rate, "{remaining}");
        }
    }

    /// The largest number that a header can say once made the sum too large.
    #[test]
    fn absurd_numbers_are_no_panic() {
        let quota = learned(&[
            ("x-ratelimit-limit-requests", "18446744073709551614"),
            ("x-ratelimit-remaining-requests", "5000"),
            ("x-ratelimit-reset-requests", "8760h"),
            ("x-ratelimit-limit-tokens", "18446744073709551615"),
            ("x-ratelimit-remaining-tokens", "18446744073709551615"),
            ("x-ratelimit-reset-tokens", "1ns"),
        ]);
        let year = Duration::from_secs(365 * 86_400);
        for now in [
            SECOND,
            year + SECOND - Duration::from_nanos(1),
            year,
            9 * year,
            Duration::MAX,
        ] {
            let requests = quota.requests(now).expect("known");
            assert!(
                (5_000..=u64::MAX - 1).contains(&requests.remaining),
                "{now:?}"
            );
            let _ = (
                quota.tokens(now),
                quota.rate(now),
                quota.headroom(Some(u64::MAX), now),
            );
            let _ = quota.ready_at(u64::MAX, now);
        }
        quota.send(Some(u64::MAX), || SECOND);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 0);
    }

    #[test]
    fn the_tightest_of_several_windows_counts() {
        let quota = learned(&[
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "900"),
            ("x-ratelimit-limit-project-tokens", "100"),
            ("x-ratelimit-remaining-project-tokens", "20"),
        ]);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 20);
    }
}
