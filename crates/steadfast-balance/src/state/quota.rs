//! The quotas that an endpoint reports in the headers of its responses.

mod window;

use std::num::NonZeroU32;
use std::time::Duration;

use steadfast_core::{RateLimit, Unit};

use self::window::{Share, Window};

pub use self::window::QuotaWindow;

/// The quotas of an endpoint. Times are nanoseconds since the start of the pool.
///
/// Several responses may write at the same time, and a reader may see a part of each. This is
/// harmless, because all of them are recent and the next response corrects the values.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    requests: Window,
    tokens: Window,
}

/// The amounts that an attempt has taken from the quotas.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// The epoch of the quota from which one request was taken.
    requests: Option<NonZeroU32>,
    tokens: Share,
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
    pub(crate) fn send(&self, tokens: Option<u64>, now: impl Fn() -> Duration) -> Taken {
        Taken {
            requests: self.requests.take(1, &now).epoch_of_one(),
            tokens: tokens.map_or_else(Share::default, |tokens| self.tokens.take(tokens, &now)),
        }
    }

    /// Takes back a request that was not sent.
    pub(crate) fn unsend(&self, taken: Taken) {
        if let Some(epoch) = taken.requests {
            self.requests.give_back(Share::one(epoch));
        }
        self.unserved(taken);
    }

    /// Returns the tokens of a request that was not served. Servers count it as a request.
    pub(crate) fn unserved(&self, taken: Taken) {
        self.tokens.give_back(taken.tokens);
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use std::time::SystemTime;

    const SECOND: Duration = Duration::from_secs(1);

    /// A fixed window of a minute: 900 of 1,000 tokens and 20 requests are left for 50 s.
    const TOKENS: [(&str, &str); 5] = [
        ("x-ratelimit-limit-tokens-minute", "1000"),
        ("x-ratelimit-remaining-tokens-minute", "900"),
        ("x-ratelimit-reset-tokens-minute", "50"),
        ("ratelimit-limit", "20"),
        ("ratelimit-remaining", "20"),
    ];

    fn pairs(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = headers.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        });
        HeaderMap::from_iter(pairs)
    }

    fn learned(headers: &[(&'static str, &'static str)]) -> Quota {
        let headers = pairs(headers);
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

    /// Ten requests that fail without a bill once used up the quota of all callers.
    #[test]
    fn unserved_requests_return_their_tokens() {
        let quota = learned(&TOKENS);
        let tokens = |quota: &Quota, now| quota.tokens(now).expect("known").remaining;
        let taken: Vec<_> = (0..10).map(|_| quota.send(Some(90), || SECOND)).collect();
        assert_eq!(tokens(&quota, SECOND), 0);
        assert_eq!(quota.ready_at(1, SECOND), Some(51 * SECOND));
        for one in taken {
            quota.unserved(one);
        }
        assert_eq!(tokens(&quota, SECOND), 900);
        assert_eq!(quota.requests(SECOND).expect("known").remaining, 10);
    }

    #[test]
    fn unsent_request_returns_its_place() {
        let quota = learned(&TOKENS);
        let taken = quota.send(Some(90), || SECOND);
        assert_eq!(quota.requests(SECOND).expect("known").remaining, 19);
        quota.unsend(taken);
        assert_eq!(quota.requests(SECOND).expect("known").remaining, 20);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 900);
        quota.unsend(Taken::default());
        assert_eq!(quota.requests(SECOND).expect("known").remaining, 20);
    }

    #[test]
    fn request_above_the_limit_leaves_the_quota_to_others() {
        let quota = learned(&TOKENS);
        let taken = quota.send(Some(1001), || SECOND);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 900);
        quota.unserved(taken);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 900);
    }

    /// A report counts what the server has seen, so an older amount would be returned twice.
    #[test]
    fn tokens_of_an_older_report_are_not_returned() {
        let quota = learned(&TOKENS);
        let before = quota.send(Some(90), || SECOND);
        let headers = pairs(&TOKENS);
        quota.learn(
            &RateLimit::from_headers(&headers, SystemTime::now()),
            SECOND,
        );
        quota.unserved(before);
        assert_eq!(quota.tokens(SECOND).expect("known").remaining, 900);

        // After the reset, the quota is whole again.
        let old = quota.send(Some(90), || SECOND);
        quota.send(Some(10), || 60 * SECOND);
        quota.unserved(old);
        assert_eq!(quota.tokens(60 * SECOND).expect("known").remaining, 990);
    }

    #[test]
    fn returned_tokens_never_exceed_the_limit() {
        let quota = learned(&[
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "900"),
            ("x-ratelimit-reset-tokens", "10s"),
        ]);
        let taken = quota.send(Some(500), || SECOND);
        // 55 s refill 550 tokens.
        quota.send(Some(0), || 56 * SECOND);
        assert_eq!(quota.tokens(56 * SECOND).expect("known").remaining, 950);
        quota.unserved(taken);
        let known = quota.tokens(56 * SECOND).expect("known");
        assert_eq!((known.remaining, known.limit), (1000, Some(1000)));
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
