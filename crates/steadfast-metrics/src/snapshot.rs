use std::fmt;

/// The numbers of a [`MetricsLayer`](crate::MetricsLayer) at one moment.
///
/// `total` is always the sum of `successful`, `rate_limited`, `other_errors` and `cancelled`, even
/// while requests are in flight. The numbers count from the creation of the layer. Only `in_flight`
/// can fall.
///
/// `Display` prints a small table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests or attempts that ended, with any outcome.
    pub total: u64,
    /// Started and not ended: without a head, or with a body that is neither read to its end nor
    /// dropped.
    pub in_flight: u64,
    /// Ended as `Success`. A dropped body of a successful response is a success.
    pub successful: u64,
    /// Ended as `RateLimited` or `QuotaExhausted`.
    pub rate_limited: u64,
    /// Dropped before the head of the response.
    pub cancelled: u64,
    /// Ended as any other class.
    pub other_errors: u64,
    /// The attempts of all requests that ended and were not cancelled.
    ///
    /// A request without an admissible endpoint has none. In a layer of attempts, each attempt
    /// counts once.
    pub attempts: u64,
    /// The moves of these requests to another endpoint. Zero in a layer of attempts.
    pub failovers: u64,
}

impl Snapshot {
    /// Returns the share of successes among all ends that are no cancellation, from 0 to 1.
    ///
    /// It is 1 before the first end.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        match self.total - self.cancelled {
            0 => 1.0,
            answered => self.successful as f64 / answered as f64,
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("ended", self.total),
            ("  successful", self.successful),
            ("  rate limited", self.rate_limited),
            ("  other errors", self.other_errors),
            ("  cancelled", self.cancelled),
            ("in flight", self.in_flight),
            ("attempts", self.attempts),
            ("failovers", self.failovers),
        ];
        let width = rows
            .iter()
            .map(|(_, value)| value.to_string().len())
            .max()
            .unwrap_or(0)
            // Room for "100.0 %".
            .max(7);
        for (name, value) in rows {
            writeln!(f, "{name:<14}  {value:>width$}")?;
        }
        let percent = format!("{:.1} %", self.success_rate() * 100.0);
        write!(f, "{:<14}  {percent:>width$}", "success rate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_request_leaves_the_success_rate_unchanged() {
        let mut snapshot = Snapshot::default();
        assert_eq!(snapshot.success_rate(), 1.0);

        snapshot.total = 2;
        snapshot.cancelled = 2;
        assert_eq!(snapshot.success_rate(), 1.0);

        snapshot.total = 6;
        snapshot.successful = 3;
        snapshot.rate_limited = 1;
        assert_eq!(snapshot.success_rate(), 0.75);
    }

    #[test]
    fn snapshot_is_printed_as_an_aligned_table() {
        let snapshot = Snapshot {
            total: 1204,
            in_flight: 3,
            successful: 1190,
            rate_limited: 3,
            cancelled: 2,
            other_errors: 9,
            attempts: 12_345_678,
            failovers: 52,
        };
        let expected = "\
ended               1204
  successful        1190
  rate limited         3
  other errors         9
  cancelled            2
in flight              3
attempts        12345678
failovers             52
success rate      99.0 %";
        assert_eq!(snapshot.to_string(), expected);
    }
}
