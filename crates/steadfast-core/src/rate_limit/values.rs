//! The values of the headers: counts, delays and dates.

use std::cmp::Reverse;
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

/// Reads the value of a delay.
type ReadDelay = fn(&str, &Now<'_>) -> Option<Duration>;

/// Returns the precedence of a header with a delay, lowest first, and its format.
fn delay_header(name: &str) -> Option<(u8, ReadDelay)> {
    match name {
        "retry-after-ms" => Some((0, |value, _| milliseconds(value))),
        "x-ms-retry-after-ms" => Some((1, |value, _| milliseconds(value))),
        "retry-after" => Some((2, delay)),
        "x-retry-after" => Some((3, delay)),
        _ => None,
    }
}

/// Reads the first of the headers with a delay that is valid. Of doubled headers, the longest
/// delay. One pass: a search by name would cost 150 instructions for each of the headers.
pub(super) fn retry_after(headers: &HeaderMap, now: &Now<'_>) -> Option<Duration> {
    let delays = headers.iter().filter_map(|(name, value)| {
        let (precedence, read) = delay_header(name.as_str())?;
        Some((precedence, Reverse(read(value.to_str().ok()?, now)?)))
    });
    delays.min().map(|(_, Reverse(delay))| delay)
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
