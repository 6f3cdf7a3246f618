//! Attempts at a broken pool: early probes, and the last resort.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::select::eligibility::{Eligibility, Stage};
use crate::state::availability::Availability;

/// The minimum interval between two last-resort attempts of a pool.
const INTERVAL: Duration = Duration::from_secs(1);

/// Returns the endpoint with the earliest probe outside `skip`, and when the probe is due or the
/// outcome of one may be known.
///
/// Returns `None` unless all eligible endpoints are broken.
pub(crate) fn earliest_probe(
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<(Instant, usize)> {
    let mut best: Option<(Instant, usize)> = None;
    for (index, entry) in eligibility.snapshot.active().iter().enumerate() {
        match eligibility.check(Stage::Next, &entry.state, now) {
            Availability::Never => {}
            Availability::Broken { early, .. } => {
                let early = early.filter(|_| !skip.contains(&entry.state.id));
                best = early.map(|at| (at, index)).into_iter().chain(best).min();
            }
            _ => return None,
        }
    }
    best
}

impl PoolContext {
    /// Chooses the endpoint with the earliest recovery.
    ///
    /// Returns `None` unless all eligible endpoints are broken and an attempt is due.
    pub(crate) fn least_bad(
        &self,
        eligibility: &Eligibility<'_>,
        skip: &[u64],
        now: Instant,
    ) -> Option<usize> {
        let mut best: Option<(Instant, usize)> = None;
        for (index, entry) in eligibility.snapshot.active().iter().enumerate() {
            match eligibility.check(Stage::Untried, &entry.state, now) {
                Availability::Never => {}
                Availability::Broken {
                    at,
                    last_resort: true,
                    ..
                } => {
                    let is_better = best.is_none_or(|(best, _)| at < best);
                    if is_better && !skip.contains(&entry.state.id) {
                        best = Some((at, index));
                    }
                }
                // An isolated endpoint must not be tried, a limited one would refuse, and a
                // healthy one may only be busy.
                _ => return None,
            }
        }
        let (_, index) = best?;
        self.take_last_resort(now).then_some(index)
    }

    /// Takes the last-resort attempt of this interval. Returns `false` if it is already taken.
    fn take_last_resort(&self, now: Instant) -> bool {
        let since_start = u64::try_from(self.since_start(now).as_nanos()).unwrap_or(u64::MAX);
        let order = Ordering::Relaxed;
        let due = |last: u64| {
            let due = last == 0 || since_start.saturating_sub(last) >= INTERVAL.as_nanos() as u64;
            due.then_some(since_start.max(1))
        };
        let last = &self.draws.last_resort;
        last.fetch_update(order, order, due).is_ok()
    }
}
