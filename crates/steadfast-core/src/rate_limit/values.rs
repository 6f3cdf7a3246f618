//! The values of the headers: counts, delays and dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use super::bucket::Reset;
use crate::hint::{decimal, go_duration, milliseconds, sane, seconds};

pub(super) fn header_date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Reads `retry-after-ms`, `x-ms-retry-after-ms` or `retry-after`, the first that is valid.
pub(super) fn retry_after(headers: &HeaderMap, now: &dyn Fn() -> SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    text("retry-after-ms")
        .and_then(milliseconds)
        .or_else(|| text("x-ms-retry-after-ms").and_then(milliseconds))
        .or_else(|| {
            let value = text(RETRY_AFTER.as_str())?.trim();
            seconds(value).or_else(|| until(httpdate::parse_http_date(value).ok()?, now()))
        })
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
pub(super) fn reset(value: &str, now: &dyn Fn() -> SystemTime) -> Option<Reset> {
    if let Some(number) = decimal(value) {
        return reset_number(number, now).map(Reset::UntilWindow);
    }
    if let Some(wait) = go_duration(value) {
        return Some(Reset::UntilFull(wait));
    }
    let date = humantime::parse_rfc3339(&value.replacen("+00:00", "Z", 1))
        .ok()
        .or_else(|| httpdate::parse_http_date(value).ok())?;
    until(date, now()).map(Reset::UntilWindow)
}

/// Reads a number as seconds, or as seconds or milliseconds since 1970 if it is large.
fn reset_number(number: f64, now: &dyn Fn() -> SystemTime) -> Option<Duration> {
    /// From here on, a number is seconds since 1970. As a delay it would be three decades.
    const EPOCH_SECONDS: f64 = 1e9;
    /// From here on, a number is milliseconds since 1970.
    const EPOCH_MILLIS: f64 = 1e11;

    if number >= EPOCH_MILLIS {
        since_epoch(number / 1000.0, now())
    } else if number >= EPOCH_SECONDS {
        since_epoch(number, now())
    } else {
        sane(Duration::try_from_secs_f64(number).ok()?)
    }
}

fn since_epoch(seconds: f64, now: SystemTime) -> Option<Duration> {
    let date = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    until(date, now)
}

/// Returns the time from `now` to `date`: zero if `date` has passed, `None` if it is absurd.
fn until(date: SystemTime, now: SystemTime) -> Option<Duration> {
    sane(date.duration_since(now).unwrap_or(Duration::ZERO))
}
