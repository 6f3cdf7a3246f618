//! Pure functions from text to durations.

use std::time::Duration;

/// Longer delays are ignored.
pub(crate) const MAX_HINT: Duration = Duration::from_secs(366 * 86_400);

/// Reads `1h2m3.5s`, `6m0s` or `120ms`. A number without a unit is no duration.
///
/// `humantime` is unsuitable. Its parser panics at `18446744073709551615s1000ms`, which a server
/// may send, and rejects fractions of more than nine digits, which Python prints.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut all = (!rest.is_empty()).then_some(Duration::ZERO)?;
    while !rest.is_empty() {
        let number;
        (number, rest) = split_at_end_of(rest, is_digit);
        let unit;
        (unit, rest) = split_at_end_of(rest.trim_start(), char::is_alphabetic);
        let part = Duration::try_from_secs_f64(decimal(number)? * unit_of(unit)?);
        all = all.checked_add(part.ok()?)?;
        rest = rest.trim_start();
    }
    sane(all)
}

/// Splits `text` after its longest prefix of characters in the set.
fn split_at_end_of(text: &str, is_in: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches(is_in).len())
}

/// Reads a whole or decimal number of seconds.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    sane(Duration::try_from_secs_f64(decimal(text)?).ok()?)
}

/// Reads a whole or decimal number of milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<Duration> {
    sane(Duration::try_from_secs_f64(decimal(text)? / 1000.0).ok()?)
}

/// Reads digits with at most one point: no sign, no exponent, no `inf`.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        text.parse().ok()
    } else {
        None
    }
}

/// Rejects a delay that is longer than [`MAX_HINT`].
pub(crate) fn sane(wait: Duration) -> Option<Duration> {
    (wait <= MAX_HINT).then_some(wait)
}

/// Returns the seconds of a unit.
pub(super) fn unit_of(word: &str) -> Option<f64> {
    Some(match word {
        "ns" => 1e-9,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

pub(super) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}
