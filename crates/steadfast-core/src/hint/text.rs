use std::time::Duration;

use super::duration::{go_duration, is_digit, seconds, unit_of};

/// Reads the hint in an error message, such as "Please try again in 7.66s".
///
/// Recognizes "try again in", "retry in", "retry after", "reset after", "resets after" and
/// "resets in", followed by numbers with or without units. Some providers send a hint only in the
/// message, without a header.
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

/// Reads the longest prefix of `text` that is a duration. A number without a unit means seconds.
fn leading_duration(text: &str) -> Option<Duration> {
    match end_of_units(text) {
        0 => leading_seconds(text),
        end => go_duration(&text[..end]),
    }
}

/// Returns the end of the numbers with units at the start of `text`.
fn end_of_units(text: &str) -> usize {
    let mut end = 0;
    loop {
        let rest = text[end..].trim_start_matches(' ');
        let number = rest.len() - rest.trim_start_matches(is_digit).len();
        let after = rest[number..].trim_start_matches(' ');
        let other = after.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let unit = after.len() - other.len();
        if number == 0 || unit_of(&after[..unit]).is_none() {
            return end;
        }
        end = text.len() - after.len() + unit;
    }
}

fn leading_seconds(text: &str) -> Option<Duration> {
    let (number, rest) = text.split_at(text.len() - text.trim_start_matches(is_digit).len());
    // The start of a date, or of a number with separators.
    let goes_on = rest.starts_with(['-', ':', '/'])
        || rest.starts_with(',') && rest[1..].starts_with(is_digit);
    if goes_on {
        return None;
    }
    seconds(number.trim_end_matches('.'))
}
