//! Endpoints that do not take one request although they may take others.
//!
//! An endpoint that gave a hint to the request does not take it before the end of the hint. It may
//! serve other requests meanwhile, if the evidence contradicts the refusal.
//!
//! # Spared attempts
//!
//! Each attempt at a silent endpoint takes its whole timeout, and only a few of them fit into the
//! limit of attempts. After two of them, a request with a deadline does not test an endpoint that
//! has just failed: it leaves the test to other requests. It looks again three seconds after the
//! last failure, and takes the endpoint if another request has succeeded there, or none has failed
//! since.
//!
//! **Premise:** other requests test the endpoint meanwhile, and the deadline leaves time for a
//! later attempt. **It saves** requests that would meet a third endpoint that does not answer. **It
//! costs** a lone request up to three seconds, and nothing if an endpoint has not failed lately. It
//! costs more only while other requests fail at all of the endpoints.
//! The time of another silent attempt is always left, so a short deadline waits for nothing.

use std::time::Duration;

use steadfast_core::Class;
use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::select::eligibility::{Eligibility, is_at};
use crate::state::EndpointState;

/// The number of silent attempts after which a request spares the others.
const SILENT: usize = 2;
/// The time since a failure after which the request tests the endpoint itself. An endpoint with
/// requests is tested every second.
const UNTESTED: Duration = Duration::from_secs(3);

impl Eligibility<'_> {
    /// Returns until when `endpoint` does not take this request, unless that time has passed: until
    /// the end of its hint, or while the request spares its last attempts.
    pub(crate) fn held_until(&self, endpoint: &EndpointState, now: Instant) -> Option<Instant> {
        let held = self.hinted_until(endpoint).max(self.spared_until(endpoint));
        held.filter(|end| *end > now)
    }

    /// Returns the end of the hint that `endpoint` gave to this request.
    fn hinted_until(&self, endpoint: &EndpointState) -> Option<Instant> {
        let refused = self.tried.iter().filter(|attempt| {
            attempt.verdict.class() == Class::RateLimited && is_at(attempt, endpoint)
        });
        let ends = refused.filter_map(|attempt| {
            let answered = saturating_add(attempt.started, attempt.elapsed);
            Some(saturating_add(answered, attempt.verdict.hint()?))
        });
        ends.max()
    }

    /// Returns until when the request spares `endpoint`.
    fn spared_until(&self, endpoint: &EndpointState) -> Option<Instant> {
        let deadline = self.deadline?;
        let silent = self.tried.iter().filter(|attempt| attempt.silent);
        if silent.clone().count() < SILENT {
            return None;
        }
        let longest = silent.map(|attempt| attempt.elapsed).max()?;
        let latest = deadline.instant().checked_sub(longest)?;
        let failed = saturating_add(endpoint.start, endpoint.load.fails_since()?);
        Some(saturating_add(failed, UNTESTED).min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool;
    use crate::select::eligibility::Stage;
    use crate::select::request_context::RequestContext;
    use crate::state::availability::Availability;
    use steadfast_core::layer::RecordAttempts;
    use steadfast_core::{Attempt, Class, Deadline, Trail, Verdict};
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    /// The failed endpoint could be silent too, and its test would be the last attempt.
    #[tokio::test(start_paused = true)]
    async fn request_with_two_silent_attempts_leaves_tests_to_others() {
        for (silent, deadline, failed, served, spared) in [
            (2, Some(30), true, false, Some(3)),
            (1, Some(30), true, false, None),
            (2, None, true, false, None),
            // The endpoint has not failed, or it has served a request since.
            (2, Some(30), false, false, None),
            (2, Some(30), true, true, None),
            // The time of another silent attempt is left.
            (2, Some(4), true, false, Some(2)),
            (2, Some(2), true, false, None),
        ] {
            let case = format!("{silent} {deadline:?} {failed} {served}");
            let pool = pool(&[0]);
            let snapshot = pool.snapshot();
            let endpoint = &*snapshot.active()[0].state;
            advance(2 * SECOND).await;
            let start = Instant::now();
            let trail = Trail::new();
            for _ in 0..silent {
                let timeout = Verdict::new(Class::Timeout);
                let mut attempt = Attempt::new(start - 2 * SECOND, timeout);
                attempt.silent = true;
                trail.record(attempt);
            }
            if failed {
                endpoint.load.has_failed(endpoint.since_start(start));
            }
            if served {
                advance(SECOND / 100).await;
                let now = endpoint.since_start(Instant::now());
                endpoint.load.has_served(now);
            }
            let context = RequestContext {
                trail: Some(trail),
                deadline: deadline.map(|seconds| Deadline::at(start + seconds * SECOND)),
                ..RequestContext::default()
            };
            let eligibility = context.eligibility(&pool.shared, &snapshot);
            let check = eligibility.check(Stage::Untried, endpoint, Instant::now());
            let expected = spared.map_or(Availability::Now, |seconds| {
                Availability::Limited(start + seconds * SECOND)
            });
            assert_eq!(check, expected, "{case}");
            advance(3 * SECOND).await;
            let check = eligibility.check(Stage::Untried, endpoint, Instant::now());
            assert_eq!(check, Availability::Now, "{case}: later");
        }
    }
}
