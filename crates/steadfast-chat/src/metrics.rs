use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use steadfast::{Class, Trail};

/// The numbers of a [`ChatClient`](crate::ChatClient) at one moment.
///
/// Errors count per attempt, so a request that succeeds after a `429` increases both numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChatMetrics {
    /// Requests that started.
    pub total_requests: u64,
    /// Requests with an answer. A stream counts when it begins.
    pub successful_requests: u64,
    /// Attempts that ended with a rate limit or a spent quota.
    #[serde(rename = "429_errors")]
    pub errors_429: u64,
    /// Attempts that failed in another way, and requests that failed without an attempt.
    pub other_errors: u64,
    /// Moves of a request to another endpoint.
    pub fallback_count: u64,
    /// The share of successful requests in percent, with two decimals. 100 without requests.
    pub success_rate: f64,
}

/// Prints one number per line, as `429_errors: 2`.
impl fmt::Display for ChatMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "total_requests: {}", self.total_requests)?;
        writeln!(f, "successful_requests: {}", self.successful_requests)?;
        writeln!(f, "429_errors: {}", self.errors_429)?;
        writeln!(f, "other_errors: {}", self.other_errors)?;
        writeln!(f, "fallback_count: {}", self.fallback_count)?;
        write!(f, "success_rate: {:.2}%", self.success_rate)
    }
}

/// The counters behind [`ChatMetrics`]. All clones of a client share them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    total: AtomicU64,
    successful: AtomicU64,
    limited: AtomicU64,
    other: AtomicU64,
    fallbacks: AtomicU64,
}

impl Counters {
    pub(crate) fn start(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a request and its attempts. `class` is the outcome of a request that no
    /// attempt explains.
    pub(crate) fn end(&self, trail: &Trail, class: Class) {
        let add = |class: Class| match class {
            Class::Success | Class::Cancelled => {}
            Class::RateLimited | Class::QuotaExhausted => {
                self.limited.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.other.fetch_add(1, Ordering::Relaxed);
            }
        };
        if class == Class::Success {
            self.successful.fetch_add(1, Ordering::Relaxed);
        } else if trail.is_empty() {
            add(class);
        }
        trail.with_attempts(|attempts| attempts.for_each(|it| add(it.verdict.class())));
        self.fallbacks
            .fetch_add(trail.failovers() as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> ChatMetrics {
        // Read before `total`, so that the share is at most 100 percent.
        let successful = self.successful.load(Ordering::Acquire);
        let total = self.total.load(Ordering::Acquire);
        let share = if total == 0 {
            1.0
        } else {
            successful as f64 / total as f64
        };
        ChatMetrics {
            total_requests: total,
            successful_requests: successful,
            errors_429: self.limited.load(Ordering::Relaxed),
            other_errors: self.other.load(Ordering::Relaxed),
            fallback_count: self.fallbacks.load(Ordering::Relaxed),
            success_rate: (share * 10_000.0).round() / 100.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_has_two_decimals_and_names_match_the_reference() {
        let counters = Counters::default();
        assert_eq!(counters.read().success_rate, 100.0);
        for class in [Class::Success, Class::Success, Class::RateLimited] {
            counters.start();
            counters.end(&Trail::new(), class);
        }
        let metrics = counters.read();
        assert_eq!(metrics.success_rate, 66.67);
        let shown = metrics.to_string();
        let expected = "total_requests: 3\nsuccessful_requests: 2\n429_errors: 1\n\
            other_errors: 0\nfallback_count: 0\nsuccess_rate: 66.67%";
        assert_eq!(shown, expected);
        let json = serde_json::to_value(metrics).expect("a value");
        assert_eq!(json["429_errors"], 1);
    }
}
