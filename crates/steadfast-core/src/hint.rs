//! Pure functions from protocol text to durations: no headers, no clock.

use std::time::Duration;

/// Longer waits than this are taken for nonsense.
pub(crate) const MAX_HINT: Duration = Duration::from_secs(366 * 86_400);

/// Reads a wait out of the message of an error, such as "Please try again in 7.66s".
///
/// Understands "try again in", "retry in", "retry after", "reset after" and "resets in", followed
/// by numbers with or without units. Providers that send no header often say it only here.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::hint_in_text;
///
/// let wait = hint_in_text("Rate limit reached. Please try again in 2m 13s, or upgrade.");
/// assert_eq!(wait, Some(Duration::from_secs(133)));
/// ```
#[must_use]
pub fn hint_in_text(text: &str) -> Option<Duration> {
    const PHRASES: [&str; 6] = [
        "try again in ",
        "retry in ",
        "retry after ",
        "reset after ",
        "resets after ",
        "resets in ",
    ];
    let text = text.to_ascii_lowercase();
    PHRASES
        .iter()
        .flat_map(|phrase| text.match_indices(phrase))
        .filter_map(|(at, phrase)| Some((at, leading_duration(&text[at + phrase.len()..])?)))
        .min()
        .map(|(_, wait)| wait)
}

/// The longest start of `text` that reads as a duration. A lone number means seconds.
fn leading_duration(text: &str) -> Option<Duration> {
    let mut end = 0;
    loop {
        let rest = text[end..].trim_start_matches(' ');
        let number = rest.len() - rest.trim_start_matches(is_digit).len();
        let after = rest[number..].trim_start_matches(' ');
        let unit = after.len()
            - after
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        if number == 0 || unit_of(&after[..unit]).is_none() {
            break;
        }
        end = text.len() - after.len() + unit;
    }
    if end > 0 {
        return go_duration(&text[..end]);
    }
    let (number, rest) = text.split_at(text.len() - text.trim_start_matches(is_digit).len());
    // The start of a date, or of a number that is written in groups.
    let goes_on = rest.starts_with(['-', ':', '/'])
        || rest.starts_with(',') && rest[1..].starts_with(is_digit);
    if goes_on {
        return None;
    }
    seconds(number.trim_end_matches('.'))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// The seconds of a unit.
fn unit_of(word: &str) -> Option<f64> {
    Some(match word {
        "ns" => 1e-9,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// Reads `1h2m3.5s`, `6m0s` or `120ms`. A number without a unit is not one.
///
/// Not by `humantime`: its parser panics at `18446744073709551615s1000ms`, which a server may send,
/// and refuses fractions of more than nine digits, which Python prints.
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

/// Splits a text after the characters with which it begins.
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

/// Reads digits with at most one point among them: no sign, no exponent, no `inf`.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        text.parse().ok()
    } else {
        None
    }
}

pub(crate) fn sane(wait: Duration) -> Option<Duration> {
    (wait <= MAX_HINT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn reads_the_messages_of_the_providers() {
        for (text, expected) in [
            ("Please try again in 20s", ms(20_000)),
            ("Please try again in 7.66s. Need more?", ms(7_660)),
            ("try again in 12.0000000000001s", ms(12_000)),
            ("try again in 18446744073709551615s1000ms", None),
            ("Please try again in 120ms.", ms(120)),
            ("Please retry in 10h17m5.72s", ms(37_025_720)),
            ("Please retry after 37 seconds.", ms(37_000)),
            ("Try again in 86400 seconds", ms(86_400_000)),
            ("your quota will reset after 2m 13s", ms(133_000)),
            ("it resets in 1 hour 5 minutes and so on", ms(3_900_000)),
            ("retry after 12", ms(12_000)),
            ("retry after 12.", ms(12_000)),
            ("retry after 12, please", ms(12_000)),
            ("retry after some time", None),
            ("retry after -5 seconds", None),
            ("retry after 99999999999999999999 seconds", None),
            ("try again in 3 fortnights", ms(3_000)),
            ("TRY AGAIN IN 5 SECONDS", ms(5_000)),
            ("Überlastet… try again in 2s", ms(2_000)),
            (
                "try again in a moment, or retry after 20 seconds",
                ms(20_000),
            ),
            ("retry after 2026-12-01T00:00:00Z", None),
            ("retry after 1,234 seconds", None),
            ("no hint here", None),
            ("retry after ", None),
            ("retry after 1.2.3s", None),
            ("", None),
        ] {
            assert_eq!(hint_in_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_go_durations() {
        for (text, expected) in [
            ("12ms", ms(12)),
            ("1s", ms(1_000)),
            ("6m0s", ms(360_000)),
            ("1h2m3s", ms(3_723_000)),
            ("2m59.56s", ms(179_560)),
            ("7.66s", ms(7_660)),
            ("34.074824224s", Some(Duration::new(34, 74_824_224))),
            ("0.30000000000000004s", ms(300)),
            ("1.5\u{b5}s", Some(Duration::from_nanos(1_500))),
            ("18446744073709551615s1000ms", None),
            ("18446744073709551615s 18446744073709551615s", None),
            ("1s2", None),
            ("s", None),
            ("8000h", Some(Duration::from_secs(8000 * 3600))),
            ("99999h", None),
            ("12", None),
            ("-1s", None),
            ("", None),
        ] {
            assert_eq!(go_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_have_no_sign_and_no_exponent() {
        for text in [
            "-1", "+1", "1e3", "inf", "NaN", "", ".", "1.2.3", "0x1", "1 2", "١",
        ] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
        assert_eq!(seconds(" 1.25 "), ms(1_250));
        assert_eq!(milliseconds("1500"), ms(1_500));
        assert_eq!(milliseconds("0.5"), Some(Duration::from_micros(500)));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_waits_for_ever(text in ".{0,60}") {
            for text in [text.clone(), format!("retry after {text}"), format!("try again in 1{text}")] {
                if let Some(wait) = hint_in_text(&text) {
                    prop_assert!(wait <= MAX_HINT);
                }
            }
        }

        #[test]
        fn no_number_of_any_unit_panics(
            text in "([0-9]{1,20}(\\.[0-9]{1,20})?(ns|us|ms|s|m|h|d|y)){1,3}",
        ) {
            prop_assert!(go_duration(&text).is_none_or(|wait| wait <= MAX_HINT));
        }

        #[test]
        fn durations_are_read_back(minutes in 0..10_000u64, millis in 0..60_000u64) {
            let text = format!("try again in {minutes}m{}.{:03}s", millis / 1000, millis % 1000);
            prop_assert_eq!(hint_in_text(&text), ms(minutes * 60_000 + millis));
        }
    }
}
