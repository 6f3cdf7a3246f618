//! Durations and dates, in the notations of headers.

use std::time::{Duration, SystemTime};

/// Ten years. Dates beyond the year 9999 cannot be written, and no server means them.
const MAX_WAIT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The clock of an upstream: whole seconds, ahead of the machine's by less than one.
///
/// A `date` header has no fractions. Rounding it up keeps sums with it from being early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    epoch_seconds: u64,
}

impl ServerClock {
    /// Rounds the instant up to a whole second, as a `date` header does.
    pub(crate) fn at(now: SystemTime) -> Self {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            epoch_seconds: seconds(since_epoch.unwrap_or_default()),
        }
    }

    /// The epoch second in which `wait` will have passed.
    pub(crate) fn after(self, wait: Duration) -> u64 {
        self.epoch_seconds + seconds(wait.min(MAX_WAIT))
    }

    pub(crate) fn after_ms(self, wait: Duration) -> u128 {
        u128::from(self.epoch_seconds) * 1000 + milliseconds(wait.min(MAX_WAIT))
    }

    /// Returns the `date` header.
    pub(crate) fn date(self) -> String {
        self.date_after(Duration::ZERO)
    }

    /// Returns the HTTP date after a wait.
    pub(crate) fn date_after(self, wait: Duration) -> String {
        httpdate::fmt_http_date(self.time_after(wait))
    }

    /// Returns the RFC 3339 time after a wait.
    pub(crate) fn rfc3339_after(self, wait: Duration) -> String {
        humantime::format_rfc3339_seconds(self.time_after(wait)).to_string()
    }

    fn time_after(self, wait: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.after(wait))
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
}

/// Whole milliseconds, rounded up.
pub(crate) fn milliseconds(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000)
}

/// Seconds with as many decimals as it takes: `46s`, `34.074824224s`. Google's JSON durations.
pub(crate) fn decimal_seconds(wait: Duration) -> String {
    format!("{}s", decimal(wait.as_secs(), wait.subsec_nanos(), 9))
}

/// The notation of Go's `time.Duration`: `12ms`, `7.66s`, `6m0s`, `1h2m3s`.
pub(crate) fn go_duration(wait: Duration) -> String {
    let nanos = wait.subsec_nanos();
    match wait.as_secs() {
        0 if nanos == 0 => "0s".to_owned(),
        0 if nanos < 1_000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => {
            format!("{}µs", decimal((nanos / 1_000).into(), nanos % 1_000, 3))
        }
        0 => format!(
            "{}ms",
            decimal((nanos / 1_000_000).into(), nanos % 1_000_000, 6)
        ),
        secs => {
            let (hours, minutes) = (secs / 3600, secs / 60 % 60);
            let seconds = decimal(secs % 60, nanos, 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `whole` and a fraction of `digits` digits, without the zeros at its end.
fn decimal(whole: u64, fraction: u32, digits: usize) -> String {
    if fraction == 0 {
        return whole.to_string();
    }
    let number = format!("{whole}.{fraction:0digits$}");
    number.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_format_of_go() {
        for (nanos, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (12_000_000, "12ms"),
            (1_050_000, "1.05ms"),
            (1_000_000_000, "1s"),
            (7_660_000_000, "7.66s"),
            (179_560_000_000, "2m59.56s"),
            (360_000_000_000, "6m0s"),
            (3_723_000_000_000, "1h2m3s"),
            (36_000_000_000_000, "10h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        for (nanos, secs, millis) in [
            (0, 0, 0),
            (1, 1, 1),
            (999_999_999, 1, 1000),
            (1_000_000_000, 1, 1000),
            (1_000_000_001, 2, 1001),
        ] {
            let wait = Duration::from_nanos(nanos);
            assert_eq!((seconds(wait), milliseconds(wait)), (secs, millis));
        }
    }

    #[test]
    fn google_format_omits_empty_fractions() {
        assert_eq!(decimal_seconds(Duration::from_secs(46)), "46s");
        let odd = Duration::new(34, 74_824_224);
        assert_eq!(decimal_seconds(odd), "34.074824224s");
    }

    #[test]
    fn absolute_times_are_never_early() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(10_400);
        let clock = ServerClock::at(now);
        assert_eq!(clock.after(Duration::from_secs(5)), 16);
        assert_eq!(clock.after_ms(Duration::from_millis(5_250)), 16_250);
        assert_eq!(clock.date(), "Thu, 01 Jan 1970 00:00:11 GMT");
        let reset = clock.rfc3339_after(Duration::from_millis(4_001));
        assert_eq!(reset, "1970-01-01T00:00:16Z");
    }

    #[test]
    fn absurd_wait_is_formatted() {
        let clock = ServerClock::at(SystemTime::now());
        assert!(clock.date_after(Duration::MAX).ends_with("GMT"));
        assert_eq!(seconds(Duration::MAX), u64::MAX);
        assert!(go_duration(Duration::MAX).ends_with('s'));
    }
}
