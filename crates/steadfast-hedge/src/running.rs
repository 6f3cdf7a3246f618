//! The attempts of one request, and which of their outcomes counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use steadfast_core::layer::{AttemptGroup, TICK, saturating_add, verdict_of, verdict_of_error};
use steadfast_core::{Class, Deadline, OtherEndpoint};
use tokio::time::Instant;
use tower_service::Service;

use crate::copy::CopyBody;
use crate::rules::{Shared, Stake};

/// After what part of its delay a request is looked at again that found the share used up.
const SOON: u32 = 8;

/// A request whose first attempt is measured, and which may have further ones.
pub(crate) struct Running<S: Service<Request<B>>, B, C> {
    shared: Arc<Shared<C>>,
    group: AttemptGroup,
    called: Instant,
    again: Option<Again<S, B>>,
    further: Vec<Further<S::Future>>,
    /// The best outcome so far, none of which was a success.
    failed: Option<Failed<S::Response, S::Error>>,
}

/// What is kept to send a request again.
pub(crate) struct Again<S, B> {
    pub(crate) service: S,
    pub(crate) head: Parts,
    pub(crate) body: B,
    pub(crate) delay: Duration,
    /// When it is to be looked at again, after it could not be sent.
    look_again: Option<Instant>,
    /// How many attempts were made, and how many of them count.
    made: u32,
    sent: u32,
}

struct Further<F> {
    future: Pin<Box<F>>,
    group: AttemptGroup,
    stake: Stake,
}

struct Failed<Res, E> {
    rank: (bool, bool),
    outcome: Result<Res, E>,
}

impl<S, B> Again<S, B> {
    fn look_again_in(&mut self, time: Duration, now: Instant) {
        self.look_again = Some(saturating_add(now, time.max(TICK)));
    }

    pub(crate) fn new(service: S, (head, body): (Parts, B), delay: Duration) -> Self {
        Self {
            service,
            head,
            body,
            delay,
            look_again: None,
            made: 0,
            sent: 0,
        }
    }
}

impl<S: Service<Request<B>>, B, C> Running<S, B, C> {
    pub(crate) fn new(
        shared: Arc<Shared<C>>,
        group: AttemptGroup,
        called: Instant,
        again: Option<Again<S, B>>,
    ) -> Self {
        Self {
            shared,
            group,
            called,
            again,
            further: Vec::new(),
            failed: None,
        }
    }

    /// When the request is to be sent again, if it is.
    pub(crate) fn due(&self) -> Option<Instant> {
        let again = self.again.as_ref()?;
        if again.sent >= self.shared.rules.max_hedges {
            return None;
        }
        let since = self.group.last_sent().unwrap_or(self.called);
        Some(saturating_add(since, again.delay).max(again.look_again.unwrap_or(since)))
    }

    /// Returns the best outcome, once no attempt is under way.
    pub(crate) fn give_up(&mut self) -> Option<Result<S::Response, S::Error>> {
        if !self.further.is_empty() {
            return None;
        }
        self.failed.take().map(|failed| failed.outcome)
    }

    /// Ends the group for all but the one that has answered.
    fn decide(&mut self) {
        self.group.set_decided();
        self.again = None;
        // What they cost is spent.
        self.further.clear();
    }

    /// Learns how long the first attempt took, or took at least.
    fn measure(&self) {
        let since = self.group.first_sent().unwrap_or(self.called);
        self.shared
            .record(Instant::now().saturating_duration_since(since));
    }
}

impl<S, B, C, ResBody> Running<S, B, C>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: 'static,
    C: CopyBody<B>,
{
    /// Takes the outcome of the first attempt. Returns it if it counts.
    pub(crate) fn first_ended(
        &mut self,
        outcome: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let class = Self::class_of(&outcome);
        if class == Class::Success {
            self.measure();
        }
        // Another endpoint would say the same.
        let is_final = matches!(class.other_endpoint(), OtherEndpoint::Never);
        if is_final {
            self.decide();
            return Some(outcome);
        }
        self.keep(true, outcome);
        self.give_up()
    }

    /// Polls the further attempts. Returns the outcome of one that succeeds.
    pub(crate) fn poll_further(
        &mut self,
        first_runs: bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut at = 0;
        while at < self.further.len() {
            let Poll::Ready(outcome) = self.further[at].future.as_mut().poll(cx) else {
                at += 1;
                continue;
            };
            let Further { group, stake, .. } = self.further.remove(at);
            if !group.was_sent() {
                self.unsent(stake);
            } else if Self::class_of(&outcome) == Class::Success {
                stake.give_back();
                if first_runs {
                    // It took longer than the quantile, which is all that has to be known of it.
                    self.measure();
                }
                self.decide();
                return Some(outcome);
            } else {
                self.keep(false, outcome);
            }
        }
        None
    }

    /// Takes back an attempt that no endpoint could take.
    fn unsent(&mut self, stake: Stake) {
        self.shared.refund(stake);
        if let Some(again) = &mut self.again {
            again.sent -= 1;
        }
    }

    fn class_of(outcome: &Result<S::Response, S::Error>) -> Class {
        let verdict = match outcome {
            Ok(response) => verdict_of(Ok(response)),
            Err(error) => verdict_of_error(error),
        };
        verdict.class()
    }

    /// Keeps an outcome if it says more: an answer more than an error, and the first attempt more
    /// than another.
    fn keep(&mut self, is_first: bool, outcome: Result<S::Response, S::Error>) {
        let rank = (outcome.is_ok(), is_first);
        if self.failed.as_ref().is_none_or(|known| known.rank < rank) {
            self.failed = Some(Failed { rank, outcome });
        }
    }
}

impl<S, B, C> Running<S, B, C>
where
    S: Service<Request<B>>,
    C: CopyBody<B>,
{
    /// Sends the request again, if that is allowed and its service is ready now.
    pub(crate) fn send_again(&mut self, cx: &mut Context<'_>) {
        let Some(again) = &mut self.again else {
            return;
        };
        let now = Instant::now();
        again.look_again_in(again.delay, now);
        if self.group.is_waiting() {
            // It would be one more in the queue.
            return;
        }
        if Deadline::of(&again.head.extensions).is_some_and(|it| it.remaining(now).is_zero()) {
            self.again = None;
            return;
        }
        let Some(stake) = self.shared.pay() else {
            // Other requests pay for it soon, and those that are slow only by a little end first.
            let soon = (again.delay / SOON).max(self.shared.rules.min_delay);
            again.look_again_in(soon, now);
            return;
        };
        again.made += 1;
        let group = self.group.hedge(again.made);
        match again.call(&group, &self.shared.copy, cx) {
            Some(future) => {
                again.sent += 1;
                self.further.push(Further {
                    future: Box::pin(future),
                    group,
                    stake,
                });
            }
            None => self.shared.refund(stake),
        }
    }
}

impl<S, B> Again<S, B>
where
    S: Service<Request<B>>,
{
    /// Sends the request unless its service is busy or its body cannot be copied any more.
    fn call(
        &mut self,
        group: &AttemptGroup,
        copy: &impl CopyBody<B>,
        cx: &mut Context<'_>,
    ) -> Option<S::Future> {
        let Poll::Ready(Ok(())) = self.service.poll_ready(cx) else {
            return None;
        };
        let body = copy.copy(&self.body)?;
        let mut head = self.head.clone();
        head.extensions.insert(group.clone());
        Some(self.service.call(Request::from_parts(head, body)))
    }
}
