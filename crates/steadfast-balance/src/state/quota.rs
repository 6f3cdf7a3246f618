//! The quotas that an endpoint reports in the headers of its responses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::{RateLimit, Reset, Unit};

/// The quota of an endpoint for one unit: the last reported value, less the usage since then.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QuotaWindow {
    /// The size of the whole quota, if known.
    pub limit: Option<u64>,
    /// The remaining amount.
    pub remaining: u64,
    /// The time until the reset, if known. Zero if that time has passed. Serialized in seconds.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "reset_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub reset: Option<Duration>,
    /// Whether the quota fills steadily until the reset, like a token bucket. Otherwise, nothing is
    /// added before the reset.
    pub fills_steadily: bool,
}

/// The quotas of an endpoint. Times are nanoseconds since the start of the pool.
///
/// Several responses may write at the same time, and a reader may see a part of each. This is
/// harmless, because all of them are recent and the next response corrects the values.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    requests: Window,
    tokens: Window,
}

/// The quota of one unit.
#[derive(Debug)]
struct Window {
    /// The size of the whole quota.
    limit: AtomicU64,
    /// The remaining amount at `since`.
    remaining: AtomicU64,
    /// The time of `remaining`.
    since: AtomicU64,
    /// The time of the reset, if the quota does not fill steadily.
    reset: AtomicU64,
    /// The amount added per second, if the quota fills steadily: the bits of an `f64`.
    rate: AtomicU64,
}

/// The divisor of the limit: a quota with at most this part left is nearly used up.
const NEARLY: u64 = 10;
/// The mark of an unknown value.
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
    /// Learns from the headers of a response. If there are several windows for one unit, the one
    /// with the smallest remaining part counts.
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

    /// Counts a request that is sent, so that a burst between two responses is visible.
    pub(crate) fn send(&self, tokens: Option<u64>, now: impl Fn() -> Duration) {
        self.requests.take(1, &now);
        if let Some(tokens) = tokens {
            self.tokens.take(tokens, &now);
        }
    }

    /// Returns when there are `tokens` tokens, or `None` if the quota admits them now.
    pub(crate) fn ready_at(&self, tokens: u64, now: Duration) -> Option<Duration> {
        self.tokens.ready_at(tokens, now)
    }

    /// Returns the smaller remaining part of both quotas, from 0 to 1. Without headers, returns
    /// `None`.
    pub(crate) fn headroom(&self, tokens: Option<u64>, now: Duration) -> Option<f64> {
        let requests = self.requests.headroom(1, now);
        let tokens = self.tokens.headroom(tokens.unwrap_or(0), now);
        match (requests, tokens) {
            (Some(requests), Some(tokens)) => Some(requests.min(tokens)),
            (requests, tokens) => requests.or(tokens),
        }
    }

    /// Returns the requests per second of a quota that fills steadily and is nearly used up.
    ///
    /// A quota with more left has not caused a refusal. For example, it may be a daily one.
    pub(crate) fn rate(&self, now: Duration) -> Option<f64> {
        self.requests.rate(now)
    }

    /// Returns the quota of requests, if known.
    pub(crate) fn requests(&self, now: Duration) -> Option<QuotaWindow> {
        self.requests.at(now)
    }

    /// Returns the quota of tokens, if known.
    pub(crate) fn tokens(&self, now: Duration) -> Option<QuotaWindow> {
        self.tokens.at(now)
    }
}

impl Window {
    /// Stores the reported values.
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

    /// Subtracts an amount that is sent.
    fn take(&self, amount: u64, now: &impl Fn() -> Duration) {
        // Most endpoints report no quota, so they cost only one load.
        if self.remaining.load(Ordering::Relaxed) == UNKNOWN {
            return;
        }
        let order = Ordering::Relaxed;
        let now = now();
        // The amount added until now is available.
        let Some(window) = self.at(now) else {
            return;
        };
        if window.reset == Some(Duration::ZERO) {
            // The end of the new window is unknown until the next response.
            self.reset.store(UNKNOWN, order);
        }
        // If the quota is not full, the fraction of a unit that has accrued is kept.
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

    /// Returns the quota at `now`, if known.
    fn at(&self, now: Duration) -> Option<QuotaWindow> {
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
            // The cast saturates, and the amount does not grow beyond the limit.
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

    /// Returns when `needed` is available, or `None` if no wait is needed or known.
    fn ready_at(&self, needed: u64, now: Duration) -> Option<Duration> {
        let window = self.at(now)?;
        // A request above the whole limit would wait forever, so the endpoint decides.
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

    /// Returns the part of the limit that remains after `needed`, from 0 to 1.
    fn headroom(&self, needed: u64, now: Duration) -> Option<f64> {
        let window = self.at(now)?;
        let limit = window.limit?.max(1) as f64;
        Some((window.remaining.saturating_sub(needed) as f64 / limit).min(1.0))
    }

    /// Returns the amount added per second, if the quota fills steadily and is nearly used up.
    fn rate(&self, now: Duration) -> Option<f64> {
        let window = self.at(now)?;
        let is_used_up = window.remaining <= window.limit? / NEARLY;
        let rate = f64::from_bits(self.rate.load(Ordering::Relaxed));
        (rate > 0.0 && is_used_up).then_some(rate)
    }
}

/// Returns the time in nanoseconds, below the mark of an unknown value.
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
    fn response_without_headers_leaves_the_quota_unknown() {
        let quota = learned(&[("retry-after", "3")]);
        quota.send(Some(5), || SECOND);
        assert_eq!(quota.requests(SECOND), None);
        assert_eq!(quota.headroom(Some(1), SECOND), None);
        assert_eq!(quota.ready_at(1, SECOND), None);
        assert_eq!(quota.rate(SECOND), None);
    }

    /// OpenAI: the quota is full again in six seconds, so ten of sixty return per second.
    #[test]
    fn token_bucket_fills_until_its_reset() {
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
    fn fixed_window_adds_nothing_before_its_end() {
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
        assert_eq!(quota.ready_at(400, SECOND), None, "no reset is known");
    }

    #[test]
    fn large_request_waits_for_tokens_and_small_request_does_not() {
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

    /// Between two responses, there may be many requests, and time passes.
    #[test]
    fn sent_requests_reduce_the_refilled_quota() {
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
    fn refill_between_two_sends_is_kept() {
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
        // If each refilled request is taken, none remains, and the next one returns in time.
        assert_eq!(quota.requests(6 * SECOND).expect("known").remaining, 0);
        assert_eq!(quota.requests(7 * SECOND).expect("known").remaining, 1);
    }

    /// The quota of Groq is a daily one, with a separate limit of 30 requests per minute.
    #[test]
    fn hardly_used_quota_has_no_rate() {
        for (remaining, rate) in [("14370", None), ("1441", None), ("1440", Some(12.96))] {
            let quota = learned(&[
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", "1000s"),
            ]);
            assert_eq!(quota.rate(SECOND), rate, "{remaining}");
        }
    }

    /// The largest number in a header once caused an overflow of the sum.
    #[test]
    fn absurd_numbers_cause_no_panic() {
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
    fn tightest_of_several_windows_counts() {
        let quota = learned(&[
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "900"),
            ("x-ratelimit-limit-project-tokens", "100"),
            ("x-ratelimit-remaining-project-tokens", "20"),
        ]);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 20);
    }
}
