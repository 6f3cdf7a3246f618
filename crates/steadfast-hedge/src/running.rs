//! The attempts of one request, and the choice between their outcomes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_core::layer::{AttemptGroup, RecordAttempts, verdict_of, verdict_of_error};
use steadfast_core::{Class, Deadline, OtherEndpoint, Trail};
use tokio::time::Instant;
use tower_service::Service;

use crate::copy::CopyBody;
use crate::repeat::Repeat;
use crate::rules::{Hedging, Stake};

/// The fraction of its delay after which a request checks a used-up share again.
const SHARE_CHECKS: u32 = 8;
/// The fraction of its time without a hedge after which it checks again, if that is longer. Eight
/// delays pass before its checks become rarer, so stragglers hardly wait for one.
const RARE_CHECKS: u32 = 64;

/// A request with a measured first attempt and its hedges.
pub(crate) struct Running<S: Service<Request<B>>, B, C> {
    hedging: Arc<Hedging<C>>,
    group: AttemptGroup,
    called: Instant,
    repeat: Option<Repeat<S, B>>,
    hedges: Vec<InFlight<S::Future>>,
    /// The best failure so far.
    failed: Option<Failed<S::Response, S::Error>>,
}

struct InFlight<F> {
    future: Pin<Box<F>>,
    group: AttemptGroup,
    stake: Stake,
}

struct Failed<Res, E> {
    rank: (bool, bool),
    tier: u16,
    outcome: Result<Res, E>,
}

impl<S: Service<Request<B>>, B, C> Running<S, B, C> {
    pub(crate) fn new(
        hedging: Arc<Hedging<C>>,
        group: AttemptGroup,
        called: Instant,
        repeat: Option<Repeat<S, B>>,
    ) -> Self {
        Self {
            hedging,
            group,
            called,
            repeat,
            hedges: Vec::new(),
            failed: None,
        }
    }

    /// Returns the time of the next hedge, if there is one.
    pub(crate) fn due(&self) -> Option<Instant> {
        let repeat = self.repeat.as_ref()?;
        if !repeat.may_hedge(self.hedging.rules.max_hedges) {
            return None;
        }
        let since = self.group.last_sent().unwrap_or(self.called);
        Some(repeat.due(since))
    }

    /// Returns the best failure, once no attempt is in flight.
    pub(crate) fn give_up(&mut self) -> Option<Result<S::Response, S::Error>> {
        if !self.hedges.is_empty() {
            return None;
        }
        let failed = self.failed.take()?;
        self.set_tier(failed.tier);
        Some(failed.outcome)
    }

    /// Ends the other attempts. Their cost is spent.
    fn decide(&mut self) {
        self.group.set_decided();
        self.hedges.clear();
    }

    /// Records the latency of the first attempt, or a lower bound of it.
    fn measure(&self) {
        let since = self.group.first_sent().unwrap_or(self.called);
        self.hedging
            .record(Instant::now().saturating_duration_since(since));
    }

    /// Returns the tier of the attempt that has just ended.
    fn tier(&self) -> u16 {
        self.trail().map_or(0, RecordAttempts::tier)
    }

    /// Sets the tier of the outcome that is returned. Another attempt may have ended after it.
    fn set_tier(&self, tier: u16) {
        if let Some(trail) = self.trail() {
            trail.set_tier(tier);
        }
    }

    fn trail(&self) -> Option<&Trail> {
        Trail::of(&self.repeat.as_ref()?.head.extensions)
    }
}

impl<S, B, C, ResBody> Running<S, B, C>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: 'static,
    C: CopyBody<B>,
{
    /// Takes the outcome of the first attempt. Returns the outcome of the request, if it is
    /// decided.
    pub(crate) fn first_ended(
        &mut self,
        outcome: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let class = Self::class_of(&outcome);
        if class == Class::Success {
            self.measure();
            self.decide();
            return Some(outcome);
        }
        let tier = self.tier();
        if matches!(class.other_endpoint(), OtherEndpoint::Never) {
            // Another endpoint would return the same.
            self.decide();
            self.set_tier(tier);
            return Some(outcome);
        }
        self.keep(true, tier, outcome);
        self.give_up()
    }

    /// Polls the hedges. Returns the outcome of a hedge that succeeds.
    pub(crate) fn poll_hedges(
        &mut self,
        first_runs: bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut at = 0;
        while at < self.hedges.len() {
            let Poll::Ready(outcome) = self.hedges[at].future.as_mut().poll(cx) else {
                at += 1;
                continue;
            };
            let InFlight { group, stake, .. } = self.hedges.remove(at);
            if !group.was_sent() {
                self.unsent(stake);
            } else if Self::class_of(&outcome) == Class::Success {
                stake.refund();
                if first_runs {
                    // Its latency is above the quantile, and no more needs to be known.
                    self.measure();
                }
                self.decide();
                return Some(outcome);
            } else {
                self.keep(false, self.tier(), outcome);
            }
        }
        None
    }

    /// Takes back a hedge that no endpoint could take.
    fn unsent(&mut self, stake: Stake) {
        self.hedging.refund(stake);
        if let Some(repeat) = &mut self.repeat {
            repeat.unsent();
        }
    }

    fn class_of(outcome: &Result<S::Response, S::Error>) -> Class {
        let verdict = match outcome {
            Ok(response) => verdict_of(Ok(response)),
            Err(error) => verdict_of_error(error),
        };
        verdict.class()
    }

    /// Keeps a failure if it ranks higher: an answer before an error, and the first attempt before
    /// a hedge.
    fn keep(&mut self, is_first: bool, tier: u16, outcome: Result<S::Response, S::Error>) {
        let rank = (outcome.is_ok(), is_first);
        if self.failed.as_ref().is_none_or(|known| known.rank < rank) {
            self.failed = Some(Failed {
                rank,
                tier,
                outcome,
            });
        }
    }
}

impl<S, B, C> Running<S, B, C>
where
    S: Service<Request<B>> + Clone,
    C: CopyBody<B>,
{
    /// Sends a hedge, if that is allowed and the service is ready now.
    pub(crate) fn send_hedge(&mut self, cx: &mut Context<'_>) {
        let Some(repeat) = &mut self.repeat else {
            return;
        };
        let now = Instant::now();
        let since = self.group.last_sent().unwrap_or(self.called);
        let missing = now.saturating_duration_since(since);
        repeat.check_again_in(repeat.delay, missing, now);
        if self.group.is_waiting() {
            // The request is still queued, and a hedge would only lengthen the queue.
            return;
        }
        if Deadline::of(&repeat.head.extensions).is_some_and(|it| it.remaining(now).is_zero()) {
            repeat.close();
            return;
        }
        let Some(stake) = self.hedging.pay() else {
            // Other requests soon earn a share, and slightly slow requests end first.
            let soon = (repeat.delay / SHARE_CHECKS).max(self.hedging.rules.min_delay);
            repeat.check_again_in(soon, missing / RARE_CHECKS, now);
            return;
        };
        let group = repeat.next_group(&self.group);
        match repeat.call(&group, &self.hedging.copy, cx) {
            Some(future) => self.hedges.push(InFlight {
                future: Box::pin(future),
                group,
                stake,
            }),
            None => self.hedging.refund(stake),
        }
    }
}
