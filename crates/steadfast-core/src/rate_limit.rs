//! What the headers of a response say about rate limits, in the dialects of the providers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use crate::hint::{decimal, go_duration, milliseconds, sane, seconds};

/// More buckets than this are ignored; the most talkative provider sends seven.
const MAX_BUCKETS: usize = 12;
/// How Anthropic names the window, of those of five hours and of seven days, that counts now.
const UNIFIED: &str = "unified";

/// The rate-limit headers of one response.
///
/// Reads `retry-after-ms`, `x-ms-retry-after-ms` and `retry-after` (whole or decimal seconds, or a
/// date, which is compared with the `Date` of the same response), and the buckets of
/// `x-ratelimit-*`, `anthropic-ratelimit-*`, `anthropic-priority-*`, `ratelimit-*`,
/// `ratelimitbysize-*`, `x-ratelimitbysize-*` and the `ratelimit` of the IETF draft.
///
/// A value that is negative, malformed or longer than a year is no value.
#[derive(Clone, Debug, Default)]
pub struct RateLimit<'a> {
    retry_after: Option<Duration>,
    buckets: [Option<Bucket<'a>>; MAX_BUCKETS],
}

/// One limit: so much in so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<'a> {
    family: &'static str,
    name: &'a str,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<Reset>,
}

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Requests, or nothing that is named.
    Requests,
    /// Tokens of a language model.
    Tokens,
}

/// When a bucket has something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// The bucket is full again after this time, and fills steadily until then. OpenAI and Groq
    /// mean this, and write it as a Go duration.
    UntilFull(Duration),
    /// The window ends after this time, and there is nothing before.
    UntilWindow(Duration),
}

// ===== impl RateLimit =====

impl<'a> RateLimit<'a> {
    /// Returns whether one of the headers may be that of a bucket: a cheap look before a read.
    #[must_use]
    pub fn may_be_in(headers: &HeaderMap) -> bool {
        headers.keys().any(|name| may_be_bucket(name.as_str()))
    }

    /// Reads the headers of a response. `now` is used where the response has no `Date`.
    #[must_use]
    pub fn from_headers(headers: &'a HeaderMap, now: SystemTime) -> Self {
        // Read only where a header needs it: most answers name no date and no instant.
        let now = &|| header_date(headers).unwrap_or(now);
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

    /// Reads the headers of a refusal, where a bucket that gives a reset but no remaining count
    /// is taken for spent: some providers send only the reset.
    pub(crate) fn of_refusal(headers: &'a HeaderMap, now: SystemTime) -> Self {
        let mut limit = Self::from_headers(headers, now);
        if limit.buckets().all(|bucket| bucket.remaining.is_none()) {
            // Of several windows the one under this name is the one that refuses.
            let unified = limit.buckets().any(|bucket| bucket.name == UNIFIED);
            for bucket in limit.buckets.iter_mut().flatten() {
                if !unified || bucket.name == UNIFIED {
                    bucket.assume_spent_if_reset();
                }
            }
        }
        limit
    }

    /// Returns how long the endpoint asks to be left alone, by `retry-after` or, if that is
    /// missing, by the reset of a spent bucket.
    #[must_use]
    pub fn hint(&self) -> Option<Duration> {
        self.retry_after.or_else(|| self.pause(None))
    }

    /// Returns the wait of `retry-after` and its relatives.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the buckets, in the order of the headers.
    pub fn buckets(&self) -> impl Iterator<Item = &Bucket<'a>> {
        self.buckets.iter().flatten()
    }

    /// Returns whether a bucket says that nothing remains.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.buckets().any(|bucket| bucket.remaining == Some(0))
    }

    /// Returns how long it takes until all spent buckets have something again.
    ///
    /// `tokens` is what the next request needs of a bucket of tokens. Without it, such a bucket
    /// is left alone until it is full.
    #[must_use]
    pub fn pause(&self, tokens: Option<u64>) -> Option<Duration> {
        self.buckets()
            .filter(|bucket| bucket.remaining == Some(0))
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
        now: &dyn Fn() -> SystemTime,
    ) {
        let Some(bucket) = self.bucket(family, name) else {
            return;
        };
        match field {
            Field::Limit => bucket.limit = count(value),
            Field::Remaining => bucket.remaining = count(value),
            Field::Reset => bucket.reset = reset(value, now),
        }
    }

    /// Reads `"default";r=50;t=30` of the current draft, and `limit=100, remaining=50, reset=5`
    /// of an earlier one.
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

// ===== impl Bucket =====

impl<'a> Bucket<'a> {
    fn new(family: &'static str, name: &'a str) -> Self {
        Self {
            family,
            name,
            limit: None,
            remaining: None,
            reset: None,
        }
    }

    /// Returns the name in the headers, `tokens` for example. It may be empty.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns what the bucket counts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        let tokens = self.name.contains("token") || self.family.contains("bysize");
        if tokens { Unit::Tokens } else { Unit::Requests }
    }

    /// Returns how much the bucket holds when it is full.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Returns how much is left.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.remaining
    }

    /// Returns when there is more.
    #[must_use]
    pub fn reset(&self) -> Option<Reset> {
        self.reset
    }

    /// Returns how long it takes until an empty bucket has enough for the next request.
    fn pause(&self, tokens: Option<u64>) -> Option<Duration> {
        let full = match self.reset? {
            Reset::UntilWindow(wait) => return Some(wait),
            Reset::UntilFull(wait) => wait,
        };
        let needed = match self.unit() {
            Unit::Requests => Some(1),
            Unit::Tokens => tokens,
        };
        Some(match (needed, self.limit) {
            (Some(needed), Some(limit)) if needed < limit => {
                full.mul_f64(needed as f64 / limit as f64)
            }
            _ => full,
        })
    }

    fn assume_spent_if_reset(&mut self) {
        if self.reset.is_some() {
            self.remaining = Some(0);
        }
    }
}

// ===== header names =====

#[derive(Clone, Copy)]
enum Field {
    Limit,
    Remaining,
    Reset,
}

/// A cheap look that lets nearly every other header go.
fn may_be_bucket(name: &str) -> bool {
    name.starts_with("x-ratelimit")
        || name.starts_with("ratelimit")
        || name.starts_with("anthropic-")
}

/// Splits `x-ratelimit-remaining-tokens` or `anthropic-ratelimit-tokens-remaining` into family,
/// bucket and field.
fn bucket_field(name: &str) -> Option<(&'static str, &str, Field)> {
    const FAMILIES: [&str; 6] = [
        "x-ratelimit-",
        "anthropic-ratelimit-",
        "anthropic-priority-",
        "ratelimit-",
        "ratelimitbysize-",
        "x-ratelimitbysize-",
    ];
    let (family, rest) = FAMILIES
        .iter()
        .find_map(|family| Some((*family, name.strip_prefix(family)?)))?;
    let fields = [
        ("limit", Field::Limit),
        ("remaining", Field::Remaining),
        ("reset", Field::Reset),
    ];
    fields.iter().find_map(|&(word, field)| {
        let bucket = match rest.strip_prefix(word) {
            Some("") => "",
            Some(bucket) => bucket.strip_prefix('-')?,
            None => rest.strip_suffix(word)?.strip_suffix('-')?,
        };
        Some((family, bucket, field))
    })
}

// ===== header values =====

fn header_date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

fn retry_after(headers: &HeaderMap, now: &dyn Fn() -> SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    text("retry-after-ms")
        .and_then(milliseconds)
        .or_else(|| text("x-ms-retry-after-ms").and_then(milliseconds))
        .or_else(|| {
            let value = text(RETRY_AFTER.as_str())?.trim();
            seconds(value).or_else(|| until(httpdate::parse_http_date(value).ok()?, now()))
        })
}

/// Reads a count. Some servers write it as a decimal.
fn count(value: &str) -> Option<u64> {
    let value = value.trim();
    value
        .parse()
        .ok()
        .or_else(|| decimal(value).map(|number| number as u64))
}

fn reset(value: &str, now: &dyn Fn() -> SystemTime) -> Option<Reset> {
    /// From here on a number is seconds since 1970, and no span of three decades.
    const EPOCH_SECONDS: f64 = 1e9;
    /// From here on it is milliseconds since 1970.
    const EPOCH_MILLIS: f64 = 1e11;

    let wait = if let Some(number) = decimal(value) {
        if number >= EPOCH_MILLIS {
            since_epoch(number / 1000.0, now())
        } else if number >= EPOCH_SECONDS {
            since_epoch(number, now())
        } else {
            seconds(value)
        }
    } else if let Some(wait) = go_duration(value) {
        return Some(Reset::UntilFull(wait));
    } else {
        let date = humantime::parse_rfc3339(&value.replacen("+00:00", "Z", 1))
            .ok()
            .or_else(|| httpdate::parse_http_date(value).ok())?;
        until(date, now())
    };
    wait.map(Reset::UntilWindow)
}

fn since_epoch(seconds: f64, now: SystemTime) -> Option<Duration> {
    let date = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    until(date, now)
}

/// The time from `now` to `date`: zero if it has passed, nothing if it is absurd.
fn until(date: SystemTime, now: SystemTime) -> Option<Duration> {
    sane(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
