//! The names of the headers that describe buckets.

/// The prefixes of the headers, one per format of the providers.
const FAMILIES: [&str; 7] = [
    "x-ratelimit-",
    "x-rate-limit-",
    "anthropic-ratelimit-",
    "anthropic-priority-",
    "ratelimit-",
    "ratelimitbysize-",
    "x-ratelimitbysize-",
];

/// The property of a bucket that a header contains.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Limit,
    Remaining,
    Reset,
    /// A reset in milliseconds.
    ResetMillis,
}

/// Returns `false` for nearly all headers of other kinds. Cheaper than [`bucket_field`].
pub(super) fn may_be_bucket(name: &str) -> bool {
    name.starts_with("x-ratelimit")
        || name.starts_with("x-rate-limit")
        || name.starts_with("ratelimit")
        || name.starts_with("anthropic-")
}

/// Splits `x-ratelimit-remaining-tokens` or `anthropic-ratelimit-tokens-remaining` into family,
/// bucket and field.
pub(super) fn bucket_field(name: &str) -> Option<(&'static str, &str, Field)> {
    let (family, rest) = FAMILIES
        .iter()
        .find_map(|family| Some((*family, name.strip_prefix(family)?)))?;
    let fields = [
        ("limit", Field::Limit),
        ("remaining", Field::Remaining),
        ("reset", Field::Reset),
    ];
    fields
        .iter()
        .find_map(|&(word, field)| {
            let bucket = match rest.strip_prefix(word) {
                Some("") => "",
                Some(bucket) => bucket.strip_prefix('-')?,
                None => rest.strip_suffix(word)?.strip_suffix('-')?,
            };
            Some((family, bucket, field))
        })
        .map(
            |(family, bucket, field)| match (field, without_unit(bucket)) {
                (Field::Reset, (bucket, unit)) => (family, bucket, unit),
                (field, _) => (family, bucket, field),
            },
        )
}

/// Removes the unit of a reset from the name of its bucket, as in `x-ratelimit-reset-after` or
/// `x-ratelimit-reset-requests-ms`.
fn without_unit(bucket: &str) -> (&str, Field) {
    let (start, last) = bucket.rsplit_once('-').unwrap_or(("", bucket));
    match last {
        "ms" | "millis" | "milliseconds" => (start, Field::ResetMillis),
        "after" | "at" | "in" | "s" | "seconds" | "time" | "timestamp" => (start, Field::Reset),
        _ => (bucket, Field::Reset),
    }
}
