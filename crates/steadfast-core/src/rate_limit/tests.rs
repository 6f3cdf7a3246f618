use super::headers::MAX_BUCKETS;
use super::*;
use crate::hint::MAX_HINT;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Thu, 21 Aug 2025 12:40:39 GMT.
const NOW: u64 = 1_755_780_039;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

#[test]
fn each_form_of_retry_after_is_parsed() {
    for (pairs, expected) in [
        (&[("retry-after", "0")][..], ms(0)),
        (&[("retry-after", "120")], ms(120_000)),
        (&[("retry-after", " 7 ")], ms(7_000)),
        (&[("retry-after", "1.5")], ms(1_500)),
        (&[("retry-after", "86400")], ms(86_400_000)),
        (
            &[("retry-after", "Thu, 21 Aug 2025 12:41:09 GMT")],
            ms(30_000),
        ),
        (
            &[("retry-after", "Thursday, 21-Aug-25 12:41:09 GMT")],
            ms(30_000),
        ),
        (&[("retry-after", "Thu Aug 21 12:41:09 2025")], ms(30_000)),
        // Without the time of the server, an instant in the past may be due to a wrong clock.
        (&[("retry-after", "Thu, 21 Aug 2025 12:00:00 GMT")], None),
        (
            &[
                ("retry-after", "Thu, 21 Aug 2025 12:00:00 GMT"),
                ("date", "Thu, 21 Aug 2025 12:00:01 GMT"),
            ],
            ms(0),
        ),
        (&[("retry-after", "2025-08-21T12:41:09Z")], ms(30_000)),
        (&[("retry-after", "1m30s")], ms(90_000)),
        (&[("retry-after", "500ms")], ms(500)),
        (&[("x-retry-after", "9")], ms(9_000)),
        // Of doubled headers, the later instant applies.
        (&[("retry-after", "5"), ("retry-after", "9")], ms(9_000)),
        (&[("retry-after", "9"), ("retry-after", "5")], ms(9_000)),
        (&[("retry-after", "9"), ("retry-after", "soon")], ms(9_000)),
        (
            &[("retry-after-ms", "90"), ("retry-after-ms", "80")],
            ms(90),
        ),
        // "Never" is cut to the longest delay.
        (&[("retry-after", "never")], Some(MAX_HINT)),
        (
            &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")],
            Some(MAX_HINT),
        ),
        (&[("retry-after-ms", "250")], ms(250)),
        (
            &[("retry-after-ms", "250.5")],
            Some(Duration::from_micros(250_500)),
        ),
        (&[("x-ms-retry-after-ms", "300")], ms(300)),
        (&[("retry-after", "1"), ("retry-after-ms", "250")], ms(250)),
        (
            &[("retry-after", "1"), ("x-ms-retry-after-ms", "300")],
            ms(300),
        ),
        (
            &[("x-ms-retry-after-ms", "300"), ("retry-after-ms", "250")],
            ms(250),
        ),
        // An invalid value is ignored, and the next header counts.
        (
            &[("retry-after-ms", "soon"), ("retry-after", "2")],
            ms(2_000),
        ),
        (&[("retry-after", "")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "+5")], None),
        (&[("retry-after", "1e3")], None),
        (&[("retry-after", "inf")], None),
        (&[("retry-after", "NaN")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "99999999999999999999")], None),
        (&[("retry-after", "Fri, 21 Aug 9995 12:41:09 GMT")], None),
        (&[], None),
    ] {
        let headers = headers(pairs);
        let limit = RateLimit::from_headers(&headers, now());
        assert_eq!(limit.retry_after(), expected, "{pairs:?}");
    }
}

/// With a wrong clock, the client would otherwise wait for hours, or not at all.
#[test]
fn retry_after_date_is_relative_to_the_date_of_the_response() {
    let headers = headers(&[
        ("date", "Thu, 21 Aug 2025 13:00:00 GMT"),
        ("retry-after", "Thu, 21 Aug 2025 13:00:20 GMT"),
    ]);
    let limit = RateLimit::from_headers(&headers, UNIX_EPOCH);
    assert_eq!(limit.retry_after(), ms(20_000));
}

/// One row for each known format of the headers.
#[test]
fn buckets_of_each_dialect_are_parsed() {
    let epoch = (NOW + 20).to_string();
    let epoch_millis = (NOW * 1000 + 20_500).to_string();
    for (dialect, pairs, expected) in [
        (
            "OpenAI: the reset is the time until the bucket is full",
            &[
                ("x-ratelimit-limit-requests", "60"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "1m0s"),
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "149984"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ][..],
            ms(1_000),
        ),
        (
            "OpenAI: tokens without an estimate",
            &[
                ("x-ratelimit-limit-tokens", "1000"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "12ms"),
            ],
            ms(12),
        ),
        (
            "OpenAI: a project's own bucket",
            &[
                ("x-ratelimit-limit-project-tokens", "1000"),
                ("x-ratelimit-remaining-project-tokens", "0"),
                ("x-ratelimit-reset-project-tokens", "1h2m3s"),
            ],
            ms(3_723_000),
        ),
        (
            "Azure: whole seconds",
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-limit-requests", "10"),
                ("x-ratelimit-reset-requests", "8"),
            ],
            ms(8_000),
        ),
        (
            "Azure: minus one",
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "-1"),
            ],
            None,
        ),
        (
            "Anthropic: RFC 3339",
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "12"),
                ("anthropic-ratelimit-requests-reset", "2025-08-21T12:50:39Z"),
                ("anthropic-ratelimit-input-tokens-limit", "50000"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "2025-08-21T12:40:59Z",
                ),
            ],
            ms(20_000),
        ),
        (
            "Anthropic: the priority tier",
            &[
                ("anthropic-priority-output-tokens-remaining", "0"),
                (
                    "anthropic-priority-output-tokens-reset",
                    "2025-08-21T12:40:59+00:00",
                ),
            ],
            ms(20_000),
        ),
        (
            "Anthropic: the unified window, in seconds since 1970",
            &[("anthropic-ratelimit-unified-reset", &*epoch)],
            ms(20_000),
        ),
        (
            "Anthropic: the window that counts, of two",
            &[
                ("anthropic-ratelimit-unified-7d-reset", "1893456000"),
                ("anthropic-ratelimit-unified-5h-reset", &*epoch),
                ("anthropic-ratelimit-unified-reset", &*epoch),
            ],
            ms(20_000),
        ),
        (
            "Groq: requests of a day",
            &[
                ("x-ratelimit-limit-requests", "14400"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "24h"),
                ("x-ratelimit-remaining-tokens", "17997"),
                ("x-ratelimit-reset-tokens", "7.66s"),
            ],
            ms(6_000),
        ),
        (
            "Mistral: by size",
            &[
                ("ratelimitbysize-limit", "500000"),
                ("ratelimitbysize-remaining", "0"),
                ("ratelimitbysize-reset", "37"),
                ("ratelimitbysize-query-cost", "12"),
                ("x-ratelimitbysize-limit-minute", "500000"),
                ("x-ratelimitbysize-remaining-month", "99"),
            ],
            ms(37_000),
        ),
        (
            "Mistral: the newer names have no reset",
            &[
                ("x-ratelimit-limit-req-minute", "60"),
                ("x-ratelimit-remaining-req-minute", "0"),
                ("x-ratelimit-remaining-tokens-minute", "5"),
            ],
            None,
        ),
        (
            "Cohere: seconds since 1970",
            &[
                ("x-ratelimit-limit", "40"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", &*epoch),
            ],
            ms(20_000),
        ),
        (
            "OpenRouter: milliseconds since 1970",
            &[
                ("x-ratelimit-limit", "20"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", &*epoch_millis),
            ],
            ms(20_500),
        ),
        (
            "the IETF draft",
            &[
                ("ratelimit-policy", "\"default\";q=100;w=60"),
                ("ratelimit", "\"default\";r=0;t=30"),
            ],
            ms(30_000),
        ),
        (
            "the IETF draft: of two policies the spent one counts",
            &[("ratelimit", "\"burst\";r=5;t=1, \"daily\";r=0;t=300")],
            ms(300_000),
        ),
        (
            "an earlier draft",
            &[("ratelimit", "limit=100, remaining=0, reset=5")],
            ms(5_000),
        ),
        (
            "the headers of the first drafts",
            &[
                ("ratelimit-limit", "100"),
                ("ratelimit-remaining", "0"),
                ("ratelimit-reset", "5"),
            ],
            ms(5_000),
        ),
        (
            "a reset in the past, by the clock of the server",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "Thu, 21 Aug 2025 12:00:00 GMT"),
                ("date", "Thu, 21 Aug 2025 12:00:00 GMT"),
            ],
            ms(0),
        ),
        (
            "an instant in the past, and no clock but a wrong one",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1700000000"),
            ],
            None,
        ),
        (
            "an instant relative to the clock of the server",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1700000020"),
                ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            ],
            ms(20_000),
        ),
        (
            "Azure: with a hyphen more",
            &[("x-rate-limit-reset-tokens", "55")],
            ms(55_000),
        ),
        (
            "X: with a hyphen more, as an instant",
            &[
                ("x-rate-limit-limit", "50"),
                ("x-rate-limit-remaining", "0"),
                ("x-rate-limit-reset", &*epoch),
            ],
            ms(20_000),
        ),
        (
            "Discord: the delay has a name of its own",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset-after", "1.5"),
            ],
            ms(1_500),
        ),
        (
            "milliseconds in the name",
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests-ms", "250"),
            ],
            ms(250),
        ),
        (
            "the property before the unit, and after it",
            &[
                ("x-ratelimit-requests-remaining", "0"),
                ("x-ratelimit-requests-reset", "7"),
            ],
            ms(7_000),
        ),
        (
            "a doubled reset",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "5"),
                ("x-ratelimit-reset", "9"),
                ("x-ratelimit-reset", "7"),
            ],
            ms(9_000),
        ),
        (
            "never",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "never"),
            ],
            Some(MAX_HINT),
        ),
        (
            "the last second of the year 9999",
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "253402300799"),
            ],
            Some(MAX_HINT),
        ),
        (
            "nothing is spent",
            &[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "60")],
            None,
        ),
    ] {
        let headers = headers(pairs);
        let limit = RateLimit::of_refusal(&headers, now());
        assert_eq!(limit.hint(), expected, "{dialect}");
    }
}

#[test]
fn lone_reset_is_a_spent_bucket_only_in_a_refusal() {
    let headers = headers(&[("x-ratelimit-reset", "60")]);
    assert_eq!(RateLimit::from_headers(&headers, now()).hint(), None);
    assert_eq!(RateLimit::of_refusal(&headers, now()).hint(), ms(60_000));
}

#[test]
fn retry_after_has_precedence_over_buckets() {
    let headers = headers(&[("retry-after", "2"), ("ratelimit", "\"default\";r=0;t=30")]);
    assert_eq!(RateLimit::from_headers(&headers, now()).hint(), ms(2_000));
}

#[test]
fn pause_of_a_steadily_filling_bucket_is_proportional_to_the_need() {
    let headers = headers(&[
        ("x-ratelimit-limit-tokens", "60000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "1m0s"),
    ]);
    let limit = RateLimit::from_headers(&headers, now());
    assert_eq!(limit.pause(Some(500)), ms(500));
    assert_eq!(limit.pause(Some(90_000)), ms(60_000), "no more than full");
    assert_eq!(limit.pause(None), ms(60_000));

    let bucket = limit.buckets().next().expect("one bucket");
    assert_eq!(bucket.unit(), Unit::Tokens);
    assert_eq!((bucket.name(), bucket.limit()), ("tokens", Some(60_000)));
    assert_eq!(bucket.remaining(), Some(0));
    assert_eq!(
        bucket.reset(),
        Some(Reset::UntilFull(Duration::from_secs(60)))
    );
}

#[test]
fn further_buckets_than_the_maximum_are_ignored() {
    let headers = (0..1000)
        .map(|n| {
            let name = format!("x-ratelimit-remaining-{n}")
                .parse::<HeaderName>()
                .unwrap();
            (name, HeaderValue::from_static("5"))
        })
        .collect::<HeaderMap>();
    assert_eq!(
        RateLimit::from_headers(&headers, now()).buckets().count(),
        MAX_BUCKETS
    );
}

const NAMES: [&str; 17] = [
    "x-retry-after",
    "x-rate-limit-reset",
    "x-ratelimit-reset-requests-ms",
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "date",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-unified-reset",
    "ratelimitbysize-reset",
    "ratelimit",
    "ratelimit-reset",
];

/// Arbitrary bytes, and nearly valid texts.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "-?[0-9]{0,25}(\\.[0-9]{0,12})?(ms|s|m|h|d|y)?([0-9]{0,4}s)?".prop_map(String::into_bytes),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z".prop_map(String::into_bytes),
        "(Thu|Fri), [0-9]{2} Aug [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
            .prop_map(String::into_bytes),
        "\"?[a-z]{0,5}\"?;r=-?[0-9]{0,20};t=-?[0-9]{0,20}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_headers_give_a_bounded_wait(
        pairs in prop::collection::vec((prop::sample::select(&NAMES[..]), value()), 0..8),
        seconds in 0..20_000_000_000u64,
        tokens: Option<u64>,
    ) {
        let headers = pairs
            .into_iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?))
            })
            .collect::<HeaderMap>();
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        for limit in [RateLimit::from_headers(&headers, now), RateLimit::of_refusal(&headers, now)] {
            for wait in [limit.hint(), limit.pause(tokens), limit.retry_after()].into_iter().flatten() {
                prop_assert!(wait <= MAX_HINT, "{wait:?}");
            }
        }
    }

    #[test]
    fn printed_milliseconds_are_parsed_back(millis in 0..31_000_000_000u64) {
        let headers = headers(&[("retry-after-ms", &millis.to_string())]);
        let wait = RateLimit::from_headers(&headers, now()).hint().expect("a hint");
        // A decimal number is exact to fifteen digits.
        prop_assert!(wait.abs_diff(Duration::from_millis(millis)) < Duration::from_micros(10));
    }
}
