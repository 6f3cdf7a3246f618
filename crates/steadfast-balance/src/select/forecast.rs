//! The forecast for a request that no endpoint can take now.

use std::time::Duration;

use steadfast_core::layer::{Next, RecordAttempts, saturating_add};
use steadfast_core::{Event, Exhausted, Verdict};
use tokio::time::Instant;

use crate::admit::waiters::Key;
use crate::pool::context::PoolContext;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::eligibility::{Eligibility, Order, Stage};
use crate::select::last_resort::earliest_probe;
use crate::select::outlook::Outlook;
use crate::select::recovery::doubtful;
use crate::select::request_context::RequestContext;
use crate::select::vain::turn_away;
use crate::state::EndpointState;
use crate::state::availability::Availability;
use crate::state::limits::limit_state::LimitState;

/// The assumed send rate of an endpoint without a confirmed one, in requests per second. It is
/// high, so that no request is refused for a guess.
const UNKNOWN_RATE: f64 = 1_000.0;
/// The hint of a request that was rejected for its wait, if no wait is left. Clients read whole
/// seconds.
const SOONEST_RETURN: Duration = Duration::from_secs(1);

impl PoolContext {
    /// Returns when the next attempt can start, after an attempt without success.
    pub(crate) fn next(
        &self,
        snapshot: &PoolSnapshot,
        context: &RequestContext,
        now: Instant,
    ) -> Next {
        let eligibility = context.eligibility_after_all(self, snapshot);
        let key = Key::behind(eligibility.since(now));
        let claims =
            (self.signals.queue).claims((key, eligibility.demand), snapshot.all_active(), now);
        let found = self.search(&eligibility, &[], now, |tier, stage| {
            let mut tier = snapshot.active()[tier].iter().map(|entry| &*entry.state);
            let is_free = |endpoint: &&EndpointState| {
                eligibility.is_now(stage, endpoint, now) && !claims.has(endpoint)
            };
            tier.find(is_free).map(|_| stage)
        });
        // An attempt that repeats at once must not return to the same endpoint, except after a
        // lone failure.
        match found {
            Ok(Stage::Untried) => return Next::Now,
            Ok(Stage::BeforeDegraded) => return Next::RetrySameNow,
            Ok(Stage::Again(Order { dead: true, .. })) => {}
            Ok(_) => return Next::At(now),
            Err(_) if doubtful(&eligibility, &[], now).is_some() => return Next::Now,
            Err(_) => {}
        }
        // A deadline bounds the wait for a slot of another endpoint, in the queue.
        let has_slots = (endpoints(snapshot))
            .any(|endpoint| eligibility.check(Stage::Untried, endpoint, now).is_paced());
        if context.deadline.is_some()
            && (has_slots || self.has_probe(&eligibility, context, now, now))
        {
            return Next::Now;
        }
        // The longest wait applies to a request without a deadline.
        let until = context.deadline.map_or_else(
            || saturating_add(eligibility.since(now), self.config.max_wait),
            |deadline| deadline.instant(),
        );
        let at = known_end(&eligibility, until, now).or_else(|| eligibility.end_of_limit(now));
        match at {
            Some(at) => self.after_limit(&eligibility, context, at, now),
            None if self.rides_out(&eligibility, context, now) => Next::At(now),
            None => Next::Never,
        }
    }

    /// Returns the end of a wait for a probe that begins at `since`.
    ///
    /// The first success releases the waiters step by step, so each success extends their waits by
    /// the time of the next one.
    pub(crate) fn probe_wait_end(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        since: Instant,
    ) -> Instant {
        let wait = self.config.probe_wait;
        let recovery = endpoints(eligibility.snapshot)
            .filter(|endpoint| eligibility.admits(Stage::Ever, endpoint))
            .filter_map(|endpoint| endpoint.recovery_wait_end(wait));
        let end = recovery.fold(saturating_add(since, wait), Instant::max);
        let ridden_out = self.ridden_out_until(eligibility, context, eligibility.since(since));
        ridden_out.map_or(end, |until| end.max(until))
    }

    /// Returns when a request gives up an outage, if it rides the outage out.
    ///
    /// An outage of unknown length lasts about as long again as it has lasted (Lindy's law). So a
    /// request waits until its deadline if it arrived with more time than the outage had lasted. A
    /// later request fails as soon as one without a deadline.
    fn ridden_out_until(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        since: Instant,
    ) -> Option<Instant> {
        let deadline = context.deadline?;
        let served = endpoints(eligibility.snapshot)
            .filter(|endpoint| eligibility.is_permitted(endpoint))
            .map(|endpoint| endpoint.load.served.last());
        let age = since.saturating_duration_since(saturating_add(self.start, served.max()?));
        (age < deadline.remaining(since)).then(|| deadline.instant())
    }

    /// Returns whether a request waits for the end of an outage, at one of its endpoints.
    pub(crate) fn rides_out(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        now: Instant,
    ) -> bool {
        let until = self.ridden_out_until(eligibility, context, eligibility.since(now));
        !self.config.probe_wait.is_zero()
            && until.is_some_and(|until| now < until)
            && endpoints(eligibility.snapshot)
                .any(|endpoint| eligibility.admits(Stage::Ever, endpoint))
    }

    /// Returns whether an early probe of an untried endpoint is due within the wait for one, which
    /// began at `since`.
    pub(crate) fn has_probe(
        &self,
        eligibility: &Eligibility<'_>,
        context: &RequestContext,
        since: Instant,
        now: Instant,
    ) -> bool {
        let latest = self.probe_wait_end(eligibility, context, since);
        let probe = earliest_probe(eligibility, &[], now).filter(|(at, _)| *at <= latest);
        probe.is_some_and(|(_, index)| {
            let endpoint = &eligibility.snapshot.active()[index].state;
            eligibility.admits(Stage::Untried, endpoint)
        })
    }

    /// Rejects a request that no endpoint can take. The rejection has the root cause as its class,
    /// the earliest recovery as its hint, and a reason for each endpoint.
    ///
    /// `slot_in` is the time until its slot behind all waiters, if the request was rejected for
    /// that time. Such a request must not return on its own.
    pub(crate) fn exhausted(
        &self,
        snapshot: &PoolSnapshot,
        context: &RequestContext,
        slot_in: Option<Duration>,
        now: Instant,
    ) -> Exhausted {
        let eligibility = context.eligibility(self, snapshot);
        turn_away(&eligibility, context);
        let trail = context.trail.clone().unwrap_or_default();
        let outlook = Outlook::of(snapshot, context, &trail.attempts(), now);
        let retry_in = outlook.recovery.and_then(|at| {
            let wait = at.saturating_duration_since(now);
            match slot_in {
                // The caller was probably about to cancel. The slot of this instant is another's.
                Some(slot_in) if wait.max(slot_in).is_zero() => Some(SOONEST_RETURN),
                // A wait of zero is no hint, because another request was faster.
                None if wait.is_zero() => None,
                _ => Some(wait.max(slot_in.unwrap_or_default())),
            }
        });
        // The breakers have already counted the failures.
        let verdict = Verdict::new(outlook.class).neutral().with_hint(retry_in);
        if let Some(reasons) = outlook.reasons {
            trail.set_reasons(reasons);
        }
        // A limit ends by itself and is worth a wait. A broken pool is not.
        let next = slot_in
            .is_none()
            .then(|| match eligibility.is_unrestricted() {
                // The outlook has checked the same endpoints.
                true => outlook.end_of_limit,
                false => eligibility.end_of_limit(now),
            });
        trail.set_next(next.flatten().map_or(Next::Never, |at| {
            self.after_limit(&eligibility, context, at, now)
        }));
        self.signals.observers.emit(&Event::Exhausted { retry_in });
        Exhausted::new(trail, verdict, None)
    }
}

/// Returns the earliest recovery of an eligible endpoint that is not in `skip`.
pub(crate) fn soonest(
    eligibility: &Eligibility<'_>,
    skip: &[u64],
    now: Instant,
) -> Option<Instant> {
    endpoints(eligibility.snapshot)
        .filter(|endpoint| !skip.contains(&endpoint.id))
        .filter_map(|endpoint| eligibility.check(Stage::Ever, endpoint, now).recovery(now))
        .min()
}

/// Returns the earliest end of a limit before `until`, at an endpoint that takes
/// connections.
///
/// An endpoint without a connection is no better: most probably it refuses the next one as well.
fn known_end(eligibility: &Eligibility<'_>, until: Instant, now: Instant) -> Option<Instant> {
    endpoints(eligibility.snapshot)
        .filter(|endpoint| !eligibility.history(endpoint).1)
        .filter_map(|endpoint| {
            eligibility
                .check(Stage::Ever, endpoint, now)
                .end_of_limit(now)
        })
        .filter(|at| *at < until)
        .min()
}

/// Returns the wait of a request behind `ahead` waiters for these endpoints.
pub(crate) fn wait_behind<'a>(
    ahead: usize,
    (eligibility, stage): (&Eligibility<'_>, Stage),
    wanted: impl Iterator<Item = &'a EndpointState>,
    now: Instant,
) -> Duration {
    let starts = wanted.filter_map(|endpoint| {
        let ready = match eligibility.check(stage, endpoint, now) {
            Availability::Now => now,
            Availability::Paced(at) | Availability::Limited(at) => at,
            Availability::Broken { .. } | Availability::Never => return None,
        };
        let rate = |limits: &LimitState| limits.cooldown.confirmed_rate().unwrap_or(UNKNOWN_RATE);
        let rate = (endpoint.limits).fold(eligibility.demand, rate, f64::min);
        Some((ready.saturating_duration_since(now).as_secs_f64(), rate))
    });
    seconds_until(ahead as f64 + 1.0, starts.collect())
}

/// Returns the states of the active endpoints.
fn endpoints(snapshot: &PoolSnapshot) -> impl Iterator<Item = &EndpointState> {
    snapshot.active().iter().map(|entry| &*entry.state)
}

/// Returns the time until the endpoints have given `slots` slots.
///
/// Each endpoint gives its first slot at its start, in seconds, and then has a rate in slots per
/// second.
fn seconds_until(slots: f64, mut endpoints: Vec<(f64, f64)>) -> Duration {
    endpoints.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut came, mut rate, mut now) = (0.0, 0.0, 0.0);
    for (begin, more) in endpoints {
        let until = now + (slots - came) / rate;
        if rate > 0.0 && until <= begin {
            return Duration::try_from_secs_f64(until).unwrap_or(Duration::MAX);
        }
        // Each endpoint gives its first slot at its start.
        came += rate * (begin - now) + 1.0;
        rate += more;
        now = begin;
        if came >= slots {
            return Duration::try_from_secs_f64(now).unwrap_or(Duration::MAX);
        }
    }
    if rate <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(now + (slots - came) / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::pool;

    /// A waiter that was too old for its slot was rejected at the instant of the slot. Without a
    /// hint, its caller returned at once, during the overload.
    #[test]
    fn rejection_at_the_instant_of_a_slot_has_a_hint() {
        let pool = pool(&[0]);
        let context = RequestContext::default();
        for (slot_in, hint) in [
            (None, None),
            (Some(Duration::ZERO), Some(Duration::from_secs(1))),
            (
                Some(Duration::from_millis(30)),
                Some(Duration::from_millis(30)),
            ),
        ] {
            let snapshot = pool.snapshot();
            let rejected = pool
                .shared
                .exhausted(&snapshot, &context, slot_in, Instant::now());
            assert_eq!(rejected.retry_in(), hint, "{slot_in:?}");
        }
    }

    #[test]
    fn wait_ends_with_enough_slots() {
        let seconds = |slots, endpoints: &[(f64, f64)]| {
            seconds_until(slots, endpoints.to_vec()).as_secs_f64()
        };
        assert_eq!(seconds(1.0, &[(0.5, 2.0)]), 0.5, "the first slot");
        assert_eq!(seconds(3.0, &[(0.5, 2.0)]), 1.5, "and two half seconds");
        assert_eq!(seconds(3.0, &[(0.5, 2.0), (0.75, 4.0)]), 0.833333333);
        assert_eq!(
            seconds(2.0, &[(0.5, 2.0), (9.0, 4.0)]),
            1.0,
            "before the second begins"
        );
        assert_eq!(seconds(5.0, &[]), 0.0, "nothing is known");
    }
}
