//! The values of the headers: counts, delays and dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::DATE;

use super::bucket::Reset;
use crate::hint::{MAX_HINT, decimal, go_duration, milliseconds, sane, seconds};

/// The present time at the server.
pub(super) struct Now<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The time of this machine, for a response without `Date`.
    pub(super) now: SystemTime,
}

impl Now<'_> {
    /// Returns the time from now to `date`: zero if `date` has passed, `None` if it is absurd.
    ///
    /// Without the time of the server, an instant that has passed is no hint. Only read if a header
    /// needs it: most responses contain no instant.
    fn until(&self, date: SystemTime) -> Option<Duration> {
        let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since_epoch >= NEVER {
            return Some(MAX_HINT);
        }
        match header_date(self.headers) {
            Some(now) => sane(date.duration_since(now).unwrap_or(Duration::ZERO)),
            None => sane(date.duration_since(self.now).ok()?),
        }
    }
}

/// The start of the year 9999, which stands for "never".
const NEVER: Duration = Duration::from_secs(253_370_764_800);

fn header_date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// The headers of a delay, in the order of their precedence.
const DELAYS: [(&str, fn(&str, &Now<'_>) -> Option<Duration>); 4] = [
    ("retry-after-ms", |value, _| milliseconds(value)),
    ("x-ms-retry-after-ms", |value, _| milliseconds(value)),
    (RETRY_AFTER, delay),
    ("x-retry-after", delay),
];

const RETRY_AFTER: &str = "retry-after";

/// Reads the first of the headers with a delay that is valid. Of doubled headers, the longest
/// delay.
pub(super) fn retry_after(headers: &HeaderMap, now: &Now<'_>) -> Option<Duration> {
    DELAYS.iter().find_map(|(name, read)| {
        let values = headers.get_all(*name).iter();
        values
            .filter_map(|value| read(value.to_str().ok()?, now))
            .max()
    })
}

/// Reads a number of seconds, a duration such as `1m30s`, or a date.
fn delay(value: &str, now: &Now<'_>) -> Option<Duration> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("never") {
        return Some(MAX_HINT);
    }
    let date = || httpdate::parse_http_date(value).or_else(|_| rfc3339(value));
    seconds(value)
        .or_else(|| go_duration(value))
        .or_else(|| now.until(date().ok()?))
}

/// Reads a date as in `2026-08-21T12:40:59+00:00`.
fn rfc3339(value: &str) -> Result<SystemTime, humantime::TimestampError> {
    humantime::parse_rfc3339(&value.replacen("+00:00", "Z", 1))
}

/// Reads a count. Some servers send it as a decimal number.
pub(super) fn count(value: &str) -> Option<u64> {
    let value = value.trim();
    value
        .parse()
        .ok()
        .or_else(|| decimal(value).map(|number| number as u64))
}

/// Reads a Go duration, a number of seconds, an instant since 1970 or a date.
pub(super) fn reset(value: &str, now: &Now<'_>) -> Option<Reset> {
    if let Some(number) = decimal(value) {
        return reset_number(number, now).map(Reset::UntilWindow);
    }
    if value.eq_ignore_ascii_case("never") {
        return Some(Reset::UntilWindow(MAX_HINT));
    }
    if let Some(wait) = go_duration(value) {
        return Some(Reset::UntilFull(wait));
    }
    let date = rfc3339(value).ok();
    let date = date.or_else(|| httpdate::parse_http_date(value).ok())?;
    now.until(date).map(Reset::UntilWindow)
}

/// Reads a number as seconds, or as seconds or milliseconds since 1970 if it is large.
fn reset_number(number: f64, now: &Now<'_>) -> Option<Duration> {
    /// From here on, a number is seconds since 1970. As a delay it would be three decades.
    const EPOCH_SECONDS: f64 = 1e9;
    /// From here on, a number is milliseconds since 1970.
    const EPOCH_MILLIS: f64 = 1e12;

    let since_epoch = match number {
        EPOCH_MILLIS.. => number / 1000.0,
        EPOCH_SECONDS.. => number,
        _ => return sane(Duration::try_from_secs_f64(number).ok()?),
    };
    let since_epoch = Duration::try_from_secs_f64(since_epoch).ok()?;
    now.until(UNIX_EPOCH.checked_add(since_epoch)?)
}
