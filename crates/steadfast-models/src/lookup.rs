//! The names under which a model may be called, and the names that resemble one.

/// The most suggestions in an error.
const MAX_NEAREST: usize = 3;
/// The longest name with suggestions, in bytes. The search takes the product of both lengths per
/// row, and a caller chooses the name.
const MAX_LENGTH: usize = 64;

/// Calls `find` with the name and with its shorter forms, until one is found.
pub(crate) fn first_form<T>(name: &str, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
    find(name).or_else(|| {
        let name = fine_tuned(name);
        // A relay puts its providers in front: `openai/gpt-4o`, `accounts/fireworks/models/…`.
        let name = name.rsplit('/').next().unwrap_or(name);
        // OpenRouter appends a variant, and Vertex a version.
        let short = name.split([':', '@']).next().unwrap_or(name);
        let undated = |name| without_date(name).and_then(&mut find);
        [name, short]
            .into_iter()
            .find_map(undated)
            .or_else(|| find(name))
            .or_else(|| find(short))
            .or_else(|| find(short.strip_suffix("-latest")?))
    })
}

/// Returns the base of a fine-tuned model, as in `ft:gpt-4o-mini:org::id`.
fn fine_tuned(name: &str) -> &str {
    let rest = name.strip_prefix("ft:");
    rest.and_then(|rest| rest.split(':').next()).unwrap_or(name)
}

/// Returns the name without a date at its end: `-2024-08-06`, `-20250929`, `-0613` or `-09-2025`.
fn without_date(name: &str) -> Option<&str> {
    ["dddd-dd-dd", "dddddddd", "dddd", "dd-dddd", "ddd", "dd-dd"]
        .into_iter()
        .find_map(|pattern| {
            let at = name.len().checked_sub(pattern.len() + 1)?;
            let (start, end) = name.split_at_checked(at)?;
            let end = end.strip_prefix('-')?;
            let fits = |(byte, pattern): (u8, u8)| match pattern {
                b'd' => byte.is_ascii_digit(),
                _ => byte == pattern,
            };
            let all = end.bytes().zip(pattern.bytes()).all(fits);
            (all && !start.is_empty()).then_some(start)
        })
}

/// Returns the names nearest to `name`, the best one first.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if name.len() > MAX_LENGTH {
        return Vec::new();
    }
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let name = name.replace([' ', '_'], "-");
    let most = (name.len() / 4).max(1);
    let mut found: Vec<_> = names
        .filter_map(|other| {
            let distance = strsim::osa_distance(&name, &other.to_ascii_lowercase());
            (distance <= most).then_some((distance, other))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    let best = found.into_iter().take(MAX_NEAREST);
    best.map(|(_, other)| other.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_of_a_name_are_found() {
        let find = |name: &str| {
            let names = [
                "gpt-4o",
                "gpt-4",
                "claude-sonnet-4-5",
                "gemini-2.5-pro",
                "gpt-4o-mini",
            ];
            first_form(name, |form| names.into_iter().find(|known| *known == form))
        };
        for (name, expected) in [
            ("gpt-4o", Some("gpt-4o")),
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("gpt-4-0613", Some("gpt-4")),
            ("openai/gpt-4o", Some("gpt-4o")),
            ("openai/gpt-4o-2024-08-06", Some("gpt-4o")),
            ("openai/gpt-4o:free", Some("gpt-4o")),
            ("models/gemini-2.5-pro", Some("gemini-2.5-pro")),
            ("gemini-2.5-pro-preview", None),
            ("gemini-2.5-pro-latest", Some("gemini-2.5-pro")),
            ("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
            ("claude-sonnet-4-5@20250929", Some("claude-sonnet-4-5")),
            ("ft:gpt-4o-mini-2024-07-18:org::id", Some("gpt-4o-mini")),
            ("ft:gpt-5:org::id", None),
            ("gpt-4o-x", None),
            ("-0613", None),
            ("é-0613", None),
            ("", None),
        ] {
            assert_eq!(find(name), expected, "{name}");
        }
    }

    #[test]
    fn misspelt_name_has_nearest_names() {
        let names = || ["gpt-4.1", "gpt-4.1-mini", "gpt-4o", "claude-sonnet-4-5"].into_iter();
        for (name, expected) in [
            ("gpt-4.1-mimi", vec!["gpt-4.1-mini"]),
            ("gpt4.1", vec!["gpt-4.1"]),
            ("GPT-4.1", vec!["gpt-4.1", "gpt-4o"][..1].to_vec()),
            ("claude sonnet 4.5", vec!["claude-sonnet-4-5"]),
            ("openai/gtp-4o", vec!["gpt-4o"]),
            ("llama", vec![]),
        ] {
            let found = nearest(name, names());
            assert_eq!(found, expected, "{name}");
        }
        assert!(nearest(&"gpt-4.1".repeat(100), names()).is_empty());
    }
}
