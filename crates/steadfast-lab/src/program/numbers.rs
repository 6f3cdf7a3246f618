//! Numbers as people read them.
//!
//! Tables have few digits, so that a difference between two rows is visible. A success of 99.996 %
//! is not printed as 100 %.

/// The text in place of a missing number.
pub(super) const NONE: &str = "–";

/// Formats a share as a percentage of two decimals, with more if it would otherwise look like 100
/// %.
pub(super) fn percent(share: f64) -> String {
    let text = |decimals: usize| format!("{:.decimals$}", 100.0 * share);
    let exact = |text: &String| share == 1.0 || !text.starts_with("100");
    let mut texts = (2..8).map(text);
    texts.find(exact).unwrap_or_else(|| text(8))
}

/// Formats a number with about three digits.
pub(super) fn seconds(value: f64) -> String {
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// Returns the mean, or `None` without values.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then_some(sum / count)
}

/// Returns half of the distance between the smallest and the largest value.
pub(super) fn half_range(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        least = least.min(value);
        most = most.max(value);
    }
    ((most - least) / 2.0).max(0.0)
}

/// Formats shares as whole percentages with slashes between.
pub(super) fn shares(shares: &[f64]) -> String {
    let texts: Vec<_> = shares
        .iter()
        .map(|share| format!("{:.0}", 100.0 * share))
        .collect();
    texts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_success_is_100_percent() {
        for (share, expected) in [
            (1.0, "100.00"),
            (0.9996, "99.96"),
            (0.99996, "99.996"),
            (1.0 - 1e-6, "99.9999"),
            (0.5, "50.00"),
            (0.0, "0.00"),
        ] {
            assert_eq!(percent(share), expected, "{share}");
        }
    }

    #[test]
    fn seconds_have_three_digits() {
        for (value, expected) in [
            (0.054, "0.05"),
            (9.87, "9.87"),
            (12.34, "12.3"),
            (345.6, "346"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn empty_values_have_no_spread_and_no_mean() {
        assert_eq!(mean([]), None);
        assert_eq!(half_range([]), 0.0);
        assert_eq!(mean([1.0, 2.0]), Some(1.5));
        assert_eq!(half_range([0.5, 0.75, 0.25]), 0.25);
    }

    #[test]
    fn shares_are_whole_percentages() {
        assert_eq!(shares(&[0.484, 0.25, 0.133, 0.133]), "48/25/13/13");
    }
}
