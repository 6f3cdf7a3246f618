use std::time::Duration;

use super::duration::{go_duration, is_digit, seconds, unit_of};

/// Reads the hint in an error message, such as "Please try again in 7.66s".
///
/// Recognizes "try again in", "try again after", "retry in", "retry after", "reset in", "reset
/// after" and "wait", with endings, followed by numbers with or without units. Some providers send
/// a hint only in the message, without a header.
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
    const PHRASES: [&str; 13] = [
        "try again in ",
        "try again after ",
        "retry in ",
        "retry after ",
        "retrying in ",
        "retrying after ",
        "reset in ",
        "reset after ",
        "resets in ",
        "resets after ",
        "available in ",
        "wait ",
        "wait for ",
    ];
    let text = text.to_ascii_lowercase();
    PHRASES
        .iter()
        .flat_map(|phrase| text.match_indices(phrase))
        .filter_map(|(at, phrase)| Some((at, leading_duration(&text[at + phrase.len()..])?)))
        .min()
        .map(|(_, wait)| wait)
}

/// The words between two parts of a duration, as in `1 hour, 5 minutes and 3 seconds`.
const JOINTS: [&str; 2] = [",", "and "];

/// Reads the longest prefix of `text` that is a duration. A number without a unit means seconds.
fn leading_duration(text: &str) -> Option<Duration> {
    match end_of_units(text) {
        0 => leading_seconds(text),
        end => go_duration(&without_joints(&text[..end])),
    }
}

/// Returns the end of the numbers with units at the start of `text`.
fn end_of_units(text: &str) -> usize {
    let mut end = 0;
    loop {
        let mut rest = text[end..].trim_start_matches(' ');
        for joint in JOINTS.iter().filter(|_| end > 0) {
            rest = rest
                .strip_prefix(joint)
                .unwrap_or(rest)
                .trim_start_matches(' ');
        }
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

/// Removes the words between the parts of a duration.
fn without_joints(text: &str) -> String {
    (JOINTS.iter()).fold(text.to_owned(), |text, joint| text.replace(joint, " "))
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
