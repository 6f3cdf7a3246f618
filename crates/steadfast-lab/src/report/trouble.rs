//! The effect of a trouble: amplification, and the time until recovery.
//!
//! A trouble is a fault of one endpoint with a start and an end, such as
//! [`Trouble::Refuses`](crate::Trouble::Refuses). All times count from the end of the last trouble.

use std::time::Duration;

use crate::report::record::Record;
use crate::report::statistics::{columns, floats, mean, per_second, ticks_per_second, total};
use crate::world::Scenario;

/// Returns the largest number of attempts per request in any second.
///
/// Each second begins at a tick. Seconds after the last arrival have no ratio.
pub(super) fn peak_amplification(ticks: &[Vec<u32>], arrivals: &[u32]) -> f64 {
    let at = |tick: usize| {
        ticks
            .iter()
            .filter_map(|ticks| ticks.get(tick))
            .sum::<u32>()
    };
    let attempts: Vec<_> = (0..arrivals.len()).map(at).collect();
    let width = ticks_per_second().min(arrivals.len()).max(1);
    let seconds = attempts.windows(width).zip(arrivals.windows(width));
    let ratios = seconds.map(|(attempts, arrivals)| total(attempts) / total(arrivals).max(1.0));
    ratios.fold(0.0, f64::max)
}

/// Returns the seconds from `healed` to full success: from there on, in every second at least 99 %
/// of the requests succeed, or fail by chance alone. `None` if the run ends before.
pub(super) fn recovered(records: &[Record], healed: Duration) -> Option<f64> {
    let late = records.iter().filter(|record| record.arrived >= healed);
    let (mut all, mut good) = (Vec::new(), Vec::new());
    for record in late {
        let since = record.arrived - healed;
        all.push(since);
        if record.served_by.is_some() || record.is_bad_luck() {
            good.push(since);
        }
    }
    let second = Duration::from_secs(1);
    let (all, good) = (
        columns(all.into_iter(), second),
        columns(good.into_iter(), second),
    );
    let is_bad = |n: usize| total(&good[n..good.len().min(n + 1)]) < 0.99 * f64::from(all[n]);
    let first = (0..all.len())
        .rev()
        .find(|n| *n >= good.len() || is_bad(*n));
    match first {
        None => Some(0.0),
        Some(last) if last + 1 < all.len() => Some((last + 1) as f64),
        Some(_) => None,
    }
}

/// Returns the seconds from the end of the last trouble until its endpoint gets 80 % of its earlier
/// attempts.
///
/// The rate is the mean of five seconds, since single seconds of a small endpoint vary by chance.
pub(super) fn back(scenario: &Scenario, ticks: &[Vec<u32>]) -> Option<f64> {
    let (endpoint, trouble) = scenario.last_trouble()?;
    let seconds: Vec<_> = per_second(&ticks[endpoint]);
    let (start, end) = (
        trouble.start.as_secs() as usize,
        trouble.end.as_secs() as usize,
    );
    let before = mean(&floats(seconds.get(..start)?))?;
    let after = floats(seconds.get(end..)?);
    let found = after
        .windows(5)
        .position(|five| mean(five) >= Some(0.8 * before))?;
    Some(found as f64)
}

/// Returns the seconds from the end of the last trouble until its endpoint gets 95 attempts per 100
/// requests in every second. `None` if the run ends before.
pub(super) fn full(scenario: &Scenario, ticks: &[Vec<u32>], arrivals: &[u32]) -> Option<f64> {
    let (endpoint, trouble) = scenario.last_trouble()?;
    let attempts = per_second(&ticks[endpoint]);
    let healed = trouble.end.as_secs() as usize;
    let is_short = |n: usize| {
        let sent = attempts.get(n).copied().unwrap_or_default();
        f64::from(sent) < 0.95 * f64::from(arrivals[n])
    };
    let last = (healed..arrivals.len()).rev().find(|n| is_short(*n));
    match last {
        None => Some(0.0),
        Some(last) if last + 1 < arrivals.len() => Some((last + 1 - healed) as f64),
        Some(_) => None,
    }
}

/// Returns the share of requests with more than one attempt, among those with this failure of the
/// first attempt.
pub(super) fn retried(records: &[Record], failed: fn(&Record) -> bool) -> Option<f64> {
    let again = |record: &Record| f64::from(u8::from(record.attempts > 1));
    let again: Vec<_> = records.iter().filter(|r| failed(r)).map(again).collect();
    mean(&again)
}
