//! Attempts at a broken pool: early probes, and the last resort.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::context::PoolContext;
use crate::select::eligibility::{Eligibility, Stage};
use crate::state::EndpointState;
use crate::state::availability::Availability;

/// The minimum interval between two last-resort attempts of a pool.
const INTERVAL: Duration = Duration::from_secs(1);

/// Returns the endpoint with the earliest probe outside `skip`, and when the probe is due or the
/// outcome of one may be known.
///
/// Returns `None` if an eligible endpoint takes attempts or cools. The end of a cooldown is known,
/// unless the endpoint refused its last probe: then a broken one may recover sooner. An endpoint at
/// which the request found no connection does not count.
pub(crate) fn earliest_probe(
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<(Instant, usize)> {
    earliest(
        eligibility,
        Stage::Next,
        skip,
        now,
        |endpoint, availability| match availability {
            Availability::Broken { early, .. } => Some(early),
            Availability::Limited(_) if endpoint.limits.is_refused(eligibility.demand) => {
                Some(None)
            }
            // The request has just found no connection there. A broken endpoint is no worse.
            _ if eligibility.history(endpoint).1 => Some(None),
            _ => None,
        },
    )
}

/// Returns the endpoint outside `skip` with the earliest instant.
///
/// `instant` returns the instant of an endpoint, if it has one. It returns `None` if the state of
/// the endpoint rules out all of them.
fn earliest(
    eligibility: &Eligibility<'_>,
    stage: Stage,
    skip: &[u64],
    now: Instant,
    instant: impl Fn(&EndpointState, Availability) -> Option<Option<Instant>>,
) -> Option<(Instant, usize)> {
    let mut best: Option<(Instant, usize)> = None;
    for (index, entry) in eligibility.snapshot.active().iter().enumerate() {
        let availability = eligibility.check(stage, &entry.state, now);
        if availability == Availability::Never {
            continue;
        }
        let at = instant(&entry.state, availability)?.filter(|_| !skip.contains(&entry.state.id));
        best = at.map(|at| (at, index)).into_iter().chain(best).min();
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
        let best = earliest(eligibility, Stage::Untried, skip, now, |_, availability| {
            match availability {
                Availability::Broken {
                    at,
                    last_resort: true,
                    ..
                } => Some(Some(at)),
                // An isolated endpoint must not be tried, a limited one would refuse, and a healthy
                // one may only be busy.
                _ => None,
            }
        });
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
