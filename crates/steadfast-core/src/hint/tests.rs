use super::duration::{MAX_HINT, go_duration, milliseconds, seconds};
use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn provider_message_is_parsed() {
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
        ("please try again after 30 seconds", ms(30_000)),
        (
            "Please wait 8 hours 50 minutes before trying again.",
            ms(31_800_000),
        ),
        ("wait 8 hours and 50 minutes", ms(31_800_000)),
        ("wait 1 day, 2 hours, and 3 seconds", ms(93_603_000)),
        ("Please wait for 23 seconds before retrying.", ms(23_000)),
        ("retrying in 500 milliseconds", ms(500)),
        ("it will reset in 2 weeks", ms(1_209_600_000)),
        ("available in 5 min and not before", ms(300_000)),
        ("please wait before trying again", None),
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
fn go_duration_is_parsed() {
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
fn number_with_sign_or_exponent_is_rejected() {
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
    fn any_text_gives_a_bounded_hint(text in ".{0,60}") {
        for text in [text.clone(), format!("retry after {text}"), format!("try again in 1{text}")] {
            if let Some(wait) = hint_in_text(&text) {
                prop_assert!(wait <= MAX_HINT);
            }
        }
    }

    #[test]
    fn any_number_and_unit_gives_a_bounded_hint(
        text in "([0-9]{1,20}(\\.[0-9]{1,20})?(ns|us|ms|s|m|h|d|y)){1,3}",
    ) {
        prop_assert!(go_duration(&text).is_none_or(|wait| wait <= MAX_HINT));
    }

    #[test]
    fn printed_duration_is_parsed_back(minutes in 0..10_000u64, millis in 0..60_000u64) {
        let text = format!("try again in {minutes}m{}.{:03}s", millis / 1000, millis % 1000);
        prop_assert_eq!(hint_in_text(&text), ms(minutes * 60_000 + millis));
    }
}
