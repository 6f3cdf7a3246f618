use std::fmt;

/// The numbers of a [`MetricsLayer`](crate::MetricsLayer) at one moment.
///
/// `total` is always the sum of `successful`, `rate_limited`, `other_errors` and `cancelled`,
/// also while requests are under way. The numbers count from the creation of the layer and never
/// go down, `in_flight` excepted.
///
/// `Display` prints a small table for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// Ended, in whatever way.
    pub total: u64,
    /// Started and not ended: no head yet, or a body that is neither read to its end nor dropped.
    pub in_flight: u64,
    /// Ended as `Success`. A caller who drops the body of a good response has had a success.
    pub successful: u64,
    /// Ended as `RateLimited` or `QuotaExhausted`.
    pub rate_limited: u64,
    /// The caller left before the head of the response came.
    pub cancelled: u64,
    /// Ended as anything else.
    pub other_errors: u64,
    /// The attempts of all that ended and was not cancelled.
    ///
    /// In a layer of requests each of them has one or more, or none if no endpoint could take it.
    /// In a layer of attempts each of them is one.
    pub attempts: u64,
    /// How often those requests moved to another endpoint. Zero in a layer of attempts.
    pub failovers: u64,
}

impl Snapshot {
    /// Returns the share of successes among all that ended and was not cancelled, from 0 to 1.
    ///
    /// It is 1 as long as nothing ended: nobody was failed yet.
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
    fn a_cancelled_request_neither_helps_nor_hurts_the_success_rate() {
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
    fn prints_an_aligned_table() {
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
