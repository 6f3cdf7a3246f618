use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::bucket::{Bucket, Reset};
use super::names::{Field, bucket_field, may_be_bucket};
use super::values::{Now, count, reset, retry_after};
use crate::hint::{milliseconds, seconds};

/// Further buckets are ignored. Seven is the largest number that a provider is known to send.
pub(super) const MAX_BUCKETS: usize = 12;
/// Anthropic's name for the window that applies now, of the windows of five hours and seven days.
const UNIFIED: &str = "unified";

/// The rate-limit headers of one response.
///
/// Reads `retry-after-ms`, `x-ms-retry-after-ms` and `retry-after` (whole or decimal seconds, or a
/// date, which is compared with the `Date` of the same response). Reads the buckets of
/// `x-ratelimit-*`, `x-rate-limit-*`, `anthropic-ratelimit-*`, `anthropic-priority-*`,
/// `ratelimit-*`, `ratelimitbysize-*`, `x-ratelimitbysize-*` and the `ratelimit` of the IETF draft.
///
/// Of two values for one delay, the longer one applies. `never`, and an instant in the year 9999,
/// is the longest delay, one year. Any other value that is negative, malformed or longer than a
/// year is ignored. So is an instant that has passed, if the response has no `Date`: this clock may
/// be wrong.
#[derive(Clone, Debug, Default)]
pub struct RateLimit<'a> {
    retry_after: Option<Duration>,
    buckets: [Option<Bucket<'a>>; MAX_BUCKETS],
}

impl<'a> RateLimit<'a> {
    /// Returns whether the name of a header may describe a bucket. Cheaper than a read.
    #[must_use]
    pub fn may_be_in(headers: &HeaderMap) -> bool {
        headers.keys().any(|name| may_be_bucket(name.as_str()))
    }

    /// Reads the headers of a response. `now` is used if the response has no `Date`.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, now: SystemTime) -> Self {
        let now = &Now { headers, now };
        let mut limit = Self {
            retry_after: retry_after(headers, now),
            ..Self::default()
        };
        for (name, value) in headers {
            if !may_be_bucket(name.as_str()) {
                continue;
            }
            let Ok(value) = value.to_str() else { continue };
            if name == "ratelimit" {
                limit.read_draft(value);
            } else if let Some((family, bucket, field)) = bucket_field(name.as_str()) {
                limit.set(family, bucket, field, value.trim(), now);
            }
        }
        limit
    }

    /// Reads the headers of a refusal.
    ///
    /// Some providers send only the reset with a refusal. If no bucket has a remaining count, a
    /// bucket with a reset is assumed to be spent.
    pub(crate) fn of_refusal(headers: &'a HeaderMap, now: SystemTime) -> Self {
        let mut limit = Self::from_headers(headers, now);
        if limit.buckets().all(|bucket| bucket.remaining.is_none()) {
            // Of several windows, the unified one is the cause of the refusal.
            let unified = limit.buckets().any(|bucket| bucket.name == UNIFIED);
            for bucket in limit.buckets.iter_mut().flatten() {
                if !unified || bucket.name == UNIFIED {
                    bucket.assume_spent_if_reset();
                }
            }
        }
        limit
    }

    /// Returns the delay that the endpoint asks for: `retry-after` or, if it is absent, the
    /// [`pause`](Self::pause) of the spent buckets.
    #[must_use]
    pub fn hint(&self) -> Option<Duration> {
        self.retry_after.or_else(|| self.pause(None))
    }

    /// Returns the delay of `retry-after` and its variants.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the buckets, in the order of the headers.
    pub fn buckets(&self) -> impl Iterator<Item = &Bucket<'a>> {
        self.buckets.iter().flatten()
    }

    /// Returns whether a bucket has nothing left.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.buckets().any(Bucket::is_spent)
    }

    /// Returns the time until each spent bucket has more.
    ///
    /// `tokens` is the need of the next request. If it is absent, the time for a bucket of tokens
    /// lasts until the bucket is full.
    #[must_use]
    pub fn pause(&self, tokens: Option<u64>) -> Option<Duration> {
        self.buckets()
            .filter(|bucket| bucket.is_spent())
            .filter_map(|bucket| bucket.pause(tokens))
            .max()
    }

    fn bucket(&mut self, family: &'static str, name: &'a str) -> Option<&mut Bucket<'a>> {
        let known = |bucket: &Bucket<'a>| bucket.family == family && bucket.name == name;
        self.buckets
            .iter_mut()
            .find(|slot| slot.as_ref().is_none_or(known))
            .map(|slot| slot.get_or_insert(Bucket::new(family, name)))
    }

    fn set(
        &mut self,
        family: &'static str,
        name: &'a str,
        field: Field,
        value: &str,
        now: &Now<'_>,
    ) {
        let Some(bucket) = self.bucket(family, name) else {
            return;
        };
        match field {
            Field::Limit => bucket.limit = count(value),
            Field::Remaining => bucket.remaining = count(value),
            Field::Reset => bucket.set_reset(reset(value, now)),
            Field::ResetMillis => {
                bucket.set_reset(milliseconds(value).map(Reset::UntilWindow));
            }
        }
    }

    /// Reads `"default";r=50;t=30` of the current draft, and `limit=100, remaining=50, reset=5`
    /// of an earlier draft.
    fn read_draft(&mut self, value: &'a str) {
        for item in value.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let mut name = "";
            if !item.trim_start().starts_with(['l', 'r']) {
                name = parts.next().unwrap_or_default().trim_matches('"');
            }
            let Some(bucket) = self.bucket("ratelimit", name) else {
                return;
            };
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                match key.trim() {
                    "r" | "remaining" => bucket.remaining = count(value),
                    "t" | "reset" => bucket.reset = seconds(value).map(Reset::UntilWindow),
                    "limit" => bucket.limit = count(value),
                    _ => {}
                }
            }
        }
    }
}
