//! What a request that can be sent again carries along.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use steadfast_core::{
    Attempt, BoxError, Classify, Deadline, Event, Exhausted, Next, SameEndpoint, Trail, Verdict,
    Withdrawal, verdict_of,
};
use tokio::time::Instant;

use crate::mode::BodyMode;
use crate::policy::{Decision, Outcome, Policy, Spent};

/// A request that can be sent again, and what became of it so far.
pub(crate) struct Retry<S, C, Body, Res> {
    pub(crate) service: S,
    head: Parts,
    body: Body,
    policy: Arc<Policy>,
    classifier: Arc<C>,
    trail: Trail,
    safe: bool,
    spent: Spent,
    /// How often it was sent, when last, and how many attempts had been noted then.
    sent: u32,
    started: Instant,
    noted: usize,
    waits_since: Option<Instant>,
    cost: Option<Withdrawal>,
    /// The next attempt was counted already.
    counted: bool,
    /// The last answer, and the last error, of the lowest tier that gave one.
    answer: Option<(u32, Res)>,
    error: Option<(u32, BoxError)>,
}

/// What to do with the future of a request.
pub(crate) enum Step<Res> {
    Done(Result<Res, BoxError>),
    /// Send it again after this time, which may be zero.
    Again(Duration),
}

impl<S, C, Body, Res> Retry<S, C, Body, Res> {
    pub(crate) fn new(
        service: S,
        head: Parts,
        body: Body,
        policy: Arc<Policy>,
        classifier: Arc<C>,
        trail: Trail,
    ) -> Self {
        Self {
            service,
            safe: policy.is_safe(&head),
            head,
            body,
            policy,
            classifier,
            spent: Spent {
                attempts: 1,
                ..Spent::default()
            },
            sent: 1,
            started: Instant::now(),
            noted: trail.len(),
            trail,
            waits_since: None,
            cost: None,
            counted: false,
            answer: None,
            error: None,
        }
    }

    /// Makes the request for a further attempt, which is sent now.
    pub(crate) fn again<B, M>(&mut self) -> Option<Request<Body>>
    where
        M: BodyMode<B, Body = Body>,
    {
        let body = M::try_clone(&self.body)?;
        self.sent = self.sent.saturating_add(1);
        self.started = Instant::now();
        self.noted = self.trail.len();
        let mut head = self.head.clone();
        head.extensions.insert(self.trail.clone());
        Some(Request::from_parts(head, body))
    }

    /// Notes that a wait is over. It may have been longer than planned.
    pub(crate) fn end_wait(&mut self) {
        if let Some(since) = self.waits_since.take() {
            self.spent.slept += Instant::now().saturating_duration_since(since);
        }
    }

    /// How long an attempt may wait until the service is ready.
    pub(crate) fn time_left(&self) -> Duration {
        match self.deadline() {
            Some(deadline) => deadline.remaining(Instant::now()),
            None => self.policy.max_wait.saturating_sub(self.spent.slept),
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        Deadline::of(&self.head.extensions)
    }
}

impl<S, C, Body, ResBody> Retry<S, C, Body, Response<ResBody>>
where
    C: Classify,
{
    /// Judges the outcome of an attempt.
    pub(crate) fn judge(
        &mut self,
        outcome: Result<Response<ResBody>, BoxError>,
    ) -> Step<Response<ResBody>> {
        let verdict = match &outcome {
            Ok(response) => verdict_of(&*self.classifier, Ok(response)),
            Err(error) => self.classifier.classify(Err(&**error)),
        };
        if verdict.is_success() {
            return Step::Done(self.succeed(outcome));
        }
        let attempted = self.note(verdict, &outcome);
        if attempted {
            self.counted = false;
            if let Some(cost) = self.cost.take() {
                cost.spend();
            }
        }
        if verdict.same_endpoint() == SameEndpoint::OnceAfterBackoff {
            self.spent.once += 1;
        }
        let now = Instant::now();
        let known = Outcome {
            verdict,
            next: self.trail.take_next(),
            attempted,
            owed: !self.counted && !self.trail.is_empty(),
            safe: self.safe,
            deadline: self.deadline(),
        };
        // What the trail forgets looks untried again, and moving to that is free.
        let decision = if self.trail.len() < Trail::MAX_ATTEMPTS {
            self.policy.decide(known, self.spent, now)
        } else {
            Decision::GiveUp
        };
        self.keep(outcome);
        match decision {
            Decision::GiveUp => {
                let verdict = match known.next {
                    Some(Next::At(at)) => {
                        let wait = at.saturating_duration_since(now);
                        verdict.with_hint(Some(wait).filter(|wait| !wait.is_zero()))
                    }
                    _ => verdict,
                };
                Step::Done(self.give_up(verdict))
            }
            Decision::Again { wait, counts, cost } => {
                // What was paid for an attempt that nobody took is still paid for.
                if known.owed || self.cost.is_none() {
                    self.cost = cost;
                }
                self.counted |= counts;
                self.spent.attempts = self.spent.attempts.saturating_add(u32::from(counts));
                self.wait(verdict, wait, counts);
                Step::Again(wait)
            }
        }
    }

    /// Ends the request because its service did not become ready for a further attempt.
    pub(crate) fn not_ready(
        &mut self,
        error: Option<BoxError>,
    ) -> Result<Response<ResBody>, BoxError> {
        let verdict = self
            .trail
            .last()
            .map_or(Verdict::SUCCESS, |last| last.verdict);
        if let Some(error) = error {
            self.keep(Err(error));
        }
        self.give_up(verdict)
    }

    fn succeed(
        &mut self,
        outcome: Result<Response<ResBody>, BoxError>,
    ) -> Result<Response<ResBody>, BoxError> {
        // A retry that succeeds gets back what it cost.
        self.cost = None;
        if self.sent > 1 {
            self.note(Verdict::SUCCESS, &outcome);
        }
        if let Some(budget) = self
            .policy
            .budget
            .as_ref()
            .filter(|_| self.trail.len() <= 1)
        {
            budget.deposit(1);
        }
        outcome.map(|response| self.with_trail(response))
    }

    fn wait(&mut self, verdict: Verdict, wait: Duration, counts: bool) {
        if wait.is_zero() {
            return;
        }
        // Only what an endpoint has answered makes the next wait longer.
        self.spent.waits = self.spent.waits.saturating_add(u32::from(counts));
        self.waits_since = Some(Instant::now());
        self.policy.observers.emit(&Event::Retry {
            class: verdict.class(),
            attempt: self.trail.len() + 1,
            wait,
        });
    }

    /// Notes an attempt unless a layer below did. Returns whether there was one: a balancer may
    /// refuse a request without asking any endpoint.
    fn note(&self, verdict: Verdict, outcome: &Result<Response<ResBody>, BoxError>) -> bool {
        if self.trail.len() > self.noted {
            return true;
        }
        let status: Option<StatusCode> = match outcome {
            Ok(response) => Some(response.status()),
            Err(error) if Exhausted::find(&**error).is_some() => return false,
            Err(_) => None,
        };
        let mut attempt = Attempt::new(self.started, verdict);
        attempt.status = status;
        self.trail.note(attempt);
        true
    }

    /// Keeps an answer until a better one comes: the last one of the lowest tier, which is the
    /// root of the trouble and not the noise of the last fallback.
    fn keep(&mut self, outcome: Result<Response<ResBody>, BoxError>) {
        let tier = self.trail.last().map_or(0, |last| u32::from(last.tier));
        match outcome {
            Ok(response) => keep_lowest(&mut self.answer, tier, response),
            // That nobody was asked says less than the error of any attempt.
            Err(error) if Exhausted::find(&*error).is_some() => {
                keep_lowest(&mut self.error, u32::MAX, error);
            }
            Err(error) => keep_lowest(&mut self.error, tier, error),
        }
    }

    fn give_up(&mut self, verdict: Verdict) -> Result<Response<ResBody>, BoxError> {
        if let Some((_, response)) = self.answer.take() {
            return Ok(self.with_trail(response));
        }
        match self.error.take().map(|(_, error)| error) {
            // After one attempt there is nothing to add.
            Some(error) if self.trail.len() <= 1 => Err(error),
            error => Err(Exhausted::new(self.trail.clone(), verdict, error).into()),
        }
    }

    fn with_trail(&self, mut response: Response<ResBody>) -> Response<ResBody> {
        if self.trail.len() > 1 {
            response.extensions_mut().insert(self.trail.clone());
        }
        response
    }
}

fn keep_lowest<T>(kept: &mut Option<(u32, T)>, tier: u32, new: T) {
    if kept.as_ref().is_none_or(|(lowest, _)| tier <= *lowest) {
        *kept = Some((tier, new));
    }
}
