//! A second attempt beside a slow one: a slow answer is not a dead endpoint.
//!
//! The layer that limits the time of attempts reports in the trail that an attempt is slow. A
//! balancer sends the rescue to another endpoint, or not at all. The first good answer is returned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use steadfast_core::layer::{AttemptGroup, AttemptSlot, RecordAttempts};
use steadfast_core::{BoxError, EndpointName, Trail, Verdict};
use tokio::time::Instant;
use tower_service::Service;
use tracing::Span;

use super::past::{AtStake, Past};
use super::state::Retry;
use crate::mode::BodyMode;

/// An attempt beside the slow attempt of a request.
pub(crate) struct Rescue<F> {
    future: Pin<Box<F>>,
    /// The span of the attempt.
    span: Span,
    /// The slow attempt and the rescue, for the balancer.
    group: AttemptGroup,
    /// Keeps the rescue away from the endpoint of the slow attempt.
    _slow: AttemptSlot,
    /// Whether that endpoint has answered nothing since the slow attempt began.
    is_silent: bool,
    /// The cost of the rescue.
    stake: AtStake,
}

impl<F: Future> Rescue<F> {
    /// Polls the attempt.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.future.as_mut();
        self.span.in_scope(|| future.poll(cx))
    }

    /// Returns the span of the attempt.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Ends the rescue, because the slow attempt has decided the request. The cost is spent.
    pub(crate) fn lose(self) {
        self.group.set_decided();
    }

    /// Ends the rescue after its success. A silent endpoint has cost the request a move, which is
    /// free if it succeeds. Any other rescue is paid for, so that they stay within a share of the
    /// requests.
    pub(crate) fn win(mut self, trail: &Trail) {
        trail.set_overtaken(self.is_silent);
        if self.is_silent {
            drop(self.stake.0.take());
        }
    }

    /// Returns whether an endpoint has taken the rescue.
    fn was_sent(&self) -> bool {
        self.group.was_sent()
    }

    /// Refunds a rescue that was not sent.
    fn unsent(mut self) {
        drop(self.stake.0.take());
    }
}

impl<S, K, B: Body> Retry<S, K, B> {
    /// Sends a rescue, if the attempt in flight is slow and an endpoint takes the rescue at once.
    pub(crate) fn rescue<ReqBody, M>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<Box<Rescue<S::Future>>>
    where
        S: Service<Request<M::Body>> + Clone,
        M: BodyMode<ReqBody, Kept = K>,
    {
        let slow = self.trail.take_slow()?;
        if !self.may_rescue::<ReqBody, M>() {
            return None;
        }
        let cost = self.settings.policy.pay_for_rescue(slow.1)?;
        self.send_rescue::<ReqBody, M>(slow, AtStake(cost), cx)
    }

    /// Returns whether a second attempt at the same time is allowed. A body that is still being
    /// sent cannot be sent twice.
    fn may_rescue<ReqBody, M>(&self) -> bool
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let (limits, spent) = match &self.past {
            Some(past) => (past.limits, past.spent.attempts),
            None => (self.limits(), 1),
        };
        limits.safe
            && !self.trail.is_hedged()
            && self.trail.len() + 1 < Trail::MAX_ATTEMPTS
            && spent < limits.max_attempts
            && (limits.deadline).is_none_or(|it| !it.remaining(Instant::now()).is_zero())
            && M::is_whole(&self.body)
            && !M::is_open(&self.body)
    }

    /// Calls the service, if it is ready now and the body can be sent again.
    fn send_rescue<ReqBody, M>(
        &mut self,
        (endpoint, is_silent): (EndpointName, bool),
        mut stake: AtStake,
        cx: &mut Context<'_>,
    ) -> Option<Box<Rescue<S::Future>>>
    where
        S: Service<Request<M::Body>> + Clone,
        M: BodyMode<ReqBody, Kept = K>,
    {
        let body = M::again(&self.body);
        // Of its own, because readiness that no request uses would occupy a slot of a layer below.
        let mut service = self.service.clone();
        let ready = body.is_some() && matches!(service.poll_ready(cx), Poll::Ready(Ok(())));
        let (Some(body), true) = (body, ready) else {
            drop(stake.0.take());
            return None;
        };
        let group = AttemptGroup::new();
        let slow = group.enter(&endpoint, self.started);
        let group = group.hedge(1);
        // The slow attempt is not recorded yet.
        let (mut head, span) = self.next_head(2);
        head.extensions.insert(group.clone());
        let future = span.in_scope(|| service.call(Request::from_parts(head, body)));
        Some(Box::new(Rescue {
            future: Box::pin(future),
            span,
            group,
            _slow: slow,
            is_silent,
            stake,
        }))
    }

    /// Counts a rescue that was sent as the one attempt that may follow a slow one. Refunds a
    /// rescue that no endpoint took, and returns `None`.
    pub(crate) fn keep_sent<F: Future>(
        &mut self,
        rescue: Box<Rescue<F>>,
    ) -> Option<Box<Rescue<F>>> {
        if !rescue.was_sent() {
            rescue.unsent();
            return None;
        }
        let past = self.past();
        past.spent.attempts = past.spent.attempts.saturating_add(1);
        past.spent.late = past.spent.late.saturating_add(1);
        Some(rescue)
    }

    /// Keeps the failure of one of two attempts while the other one continues.
    pub(crate) fn keep_failure(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        verdict: Verdict,
    ) {
        let tier = self.trail.tier();
        self.past().best.keep(tier, verdict, outcome);
    }

    /// Returns the history of a request with more than one attempt.
    fn past(&mut self) -> &mut Past<B> {
        let past = self.past.take();
        let past = past.unwrap_or_else(|| Box::new(Past::new(self.limits())));
        self.past.insert(past)
    }
}
