//! The names of the headers that describe buckets.

/// The prefixes of the headers, one per format of the providers.
const FAMILIES: [&str; 6] = [
    "x-ratelimit-",
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
}

/// Returns `false` for nearly all headers of other kinds. Cheaper than [`bucket_field`].
pub(super) fn may_be_bucket(name: &str) -> bool {
    name.starts_with("x-ratelimit")
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
    fields.iter().find_map(|&(word, field)| {
        let bucket = match rest.strip_prefix(word) {
            Some("") => "",
            Some(bucket) => bucket.strip_prefix('-')?,
            None => rest.strip_suffix(word)?.strip_suffix('-')?,
        };
        Some((family, bucket, field))
    })
}
