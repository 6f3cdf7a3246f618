//! What a request that can be sent again carries along.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Body;
use steadfast_core::layer::{Next, RecordAttempts, verdict_of};
use steadfast_core::{
    Attempt, BoxError, Event, Exhausted, SameEndpoint, Trail, Verdict, Withdrawal,
};
use tokio::time::Instant;
use tracing::Span;

use crate::answer::{ReadAhead, ResponseBody};
use crate::attempt;
use crate::mode::BodyMode;
use crate::policy::{Decision, Limits, Outcome, Policy, Spent};

/// What all requests of a service share.
pub(crate) struct Shared {
    pub(crate) policy: Policy,
    pub(crate) attempt_header: Option<HeaderName>,
}

/// A request that can be sent again, and what became of it so far.
pub(crate) struct Retry<S, K, B: Body> {
    pub(crate) service: S,
    head: Parts,
    body: K,
    shared: Arc<Shared>,
    trail: Trail,
    /// How often it was sent, when last, and how many attempts had been noted then.
    sent: u32,
    started: Instant,
    noted: usize,
    /// How many attempts were noted before the first of these.
    before: usize,
    /// Apart, as most requests need none of it.
    past: Option<Box<Past<B>>>,
}

/// What became of the attempts so far, none of which succeeded.
struct Past<B: Body> {
    limits: Limits,
    spent: Spent,
    /// The last verdict, and when it was given.
    verdict: Verdict,
    judged: Instant,
    waits_since: Option<Instant>,
    /// What the next attempt costs. It comes back if that is not made.
    reserved: Option<Withdrawal>,
    at_stake: AtStake,
    /// The next attempt was counted already.
    counted: bool,
    /// The last answer, and the last error, of the lowest tier that gave one.
    answer: Option<(u32, Response<ReadAhead<B>>)>,
    error: Option<(u32, BoxError)>,
}

/// What the attempt that is under way costs. It comes back if that succeeds, and not if its caller
/// leaves: servers that hang would otherwise get twice the load, and all of it for free.
#[derive(Default)]
struct AtStake(Option<Withdrawal>);

/// What to do with the future of a request.
pub(crate) enum Step<Res> {
    Done(Result<Res, BoxError>),
    /// Send it again after this time, which may be zero.
    Again(Duration),
}

impl<S, K, B: Body> Retry<S, K, B> {
    /// Begins with an attempt that was sent at `started`, before which `noted` had been noted.
    #[inline]
    pub(crate) fn new(
        service: S,
        (head, body): (Parts, K),
        shared: Arc<Shared>,
        trail: Trail,
        (noted, started): (usize, Instant),
    ) -> Self {
        Self {
            service,
            head,
            body,
            shared,
            trail,
            sent: 1,
            started,
            noted,
            before: noted,
            past: None,
        }
    }

    /// Makes the request for a further attempt, which is sent now.
    pub(crate) fn again<ReqBody, M>(&mut self) -> Option<(Request<M::Body>, Span)>
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let body = M::again(&self.body)?;
        self.end_wait();
        if let Some(past) = &mut self.past {
            past.at_stake.0 = past.reserved.take();
        }
        self.sent = self.sent.saturating_add(1);
        self.started = Instant::now();
        self.noted = self.trail.len();
        let mut head = self.head.clone();
        head.extensions.insert(self.trail.clone());
        let number = (self.noted - self.before).saturating_add(1);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let header = self.shared.attempt_header.as_ref();
        attempt::number(&mut head.headers, header, number);
        Some((Request::from_parts(head, body), attempt::span(number)))
    }

    /// Notes that the request waits from now on.
    pub(crate) fn begin_wait(&mut self) {
        if let Some(past) = &mut self.past {
            past.waits_since = Some(Instant::now());
        }
    }

    /// Notes that a wait is over. It may have been longer than planned.
    pub(crate) fn end_wait(&mut self) {
        if let Some(past) = &mut self.past {
            if let Some(since) = past.waits_since.take() {
                past.spent.slept += Instant::now().saturating_duration_since(since);
            }
        }
    }

    /// How long an attempt may wait until the service is ready.
    pub(crate) fn time_left(&self) -> Duration {
        let left = |past: &Past<B>| past.limits.time_left(past.spent, Instant::now());
        self.past.as_deref().map_or(Duration::MAX, left)
    }

    /// Whether the answer that is kept would be lost by a further attempt: that cuts off the body
    /// of the one before, and with it the connection over which the answer still comes.
    pub(crate) fn has_more_to_read<ReqBody, M>(&self) -> bool
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let answer = self.past.as_ref().and_then(|past| past.answer.as_ref());
        answer.is_some_and(|(_, answer)| answer.body().is_unread()) && M::is_open(&self.body)
    }

    /// Reads what there is of the answer that is kept, so that its connection becomes free.
    pub(crate) fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let answer = self.past.as_mut().and_then(|past| past.answer.as_mut());
        if let Some((_, response)) = answer {
            response.body_mut().poll(cx);
        }
    }
}

impl<S, K, B> Retry<S, K, B>
where
    B: Body,
{
    /// Returns the verdict on the outcome of an attempt.
    pub(crate) fn verdict(&self, outcome: Result<&Response<B>, &BoxError>, span: &Span) -> Verdict {
        let verdict = match outcome {
            Ok(response) => verdict_of(Ok(response)),
            Err(error) => verdict_of::<B>(Err(&**error)),
        };
        attempt::record(span, verdict, outcome.ok().map(Response::status));
        verdict
    }

    /// Decides what follows an attempt that did not succeed.
    pub(crate) fn judge<ReqBody, M>(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        verdict: Verdict,
    ) -> Step<Response<ResponseBody<B>>>
    where
        M: BodyMode<ReqBody, Kept = K>,
    {
        let attempted = self.note(verdict, outcome.as_ref());
        let policy = &self.shared.policy;
        let (limits, mut spent) = match &mut self.past {
            Some(past) => {
                past.end_attempt(attempted);
                (past.limits, past.spent)
            }
            None => (policy.limits(&self.head), Spent::FIRST_ATTEMPT),
        };
        spent.once += u32::from(verdict.same_endpoint() == SameEndpoint::OnceAfterBackoff);
        let past = self.past.as_ref();
        let counted = past.is_some_and(|past| past.counted);
        let reserved = past.and_then(|past| past.reserved.as_ref());
        let now = Instant::now();
        let known = Outcome {
            verdict,
            next: self.trail.take_next(),
            attempted,
            owed: !counted && !self.trail.is_empty(),
            paid: reserved.map_or(0, Withdrawal::tokens),
            first: self.trail.is_empty(),
        };
        // What the trail forgets looks untried again, and moving to that is free.
        let decision = if self.trail.len() >= Trail::MAX_ATTEMPTS {
            Decision::GiveUp("it was sent too often")
        } else if M::is_whole(&self.body) {
            policy.decide(known, limits, spent, now)
        } else {
            Decision::GiveUp("its body is too large to be kept")
        };
        let (wait, counts, cost) = match decision {
            Decision::Again { wait, counts, cost } => (wait, counts, cost),
            Decision::GiveUp(reason) => {
                let (class, attempts) = (verdict.class(), self.trail.len());
                tracing::debug!(%class, attempts, reason, "request given up");
                return Step::Done(self.end(outcome, known, limits, now));
            }
        };
        let status = outcome.as_ref().ok().map(Response::status);
        let tier = self.tier_of(verdict, status);
        let past = self.past.get_or_insert_with(|| Box::new(Past::new(limits)));
        past.spent = spent;
        (past.verdict, past.judged) = (verdict, now);
        past.keep(tier, outcome);
        // What was paid for an attempt that nobody took is still paid for.
        past.reserved = match (past.reserved.take(), cost) {
            (Some(paid), Some(more)) => Some(paid.join(more)),
            (paid, more) => paid.or(more),
        };
        past.counted |= counts;
        past.spent.attempts = past.spent.attempts.saturating_add(u32::from(counts));
        if !wait.is_zero() {
            past.begin_wait(wait, counts, now);
            policy.observers.emit(&Event::Retry {
                class: verdict.class(),
                attempt: self.trail.len() + 1,
                wait,
            });
        }
        Step::Again(wait)
    }

    /// Ends the request with the outcome of its last attempt, or a better one from before.
    fn end(
        &mut self,
        outcome: Result<Response<B>, BoxError>,
        known: Outcome,
        limits: Limits,
        now: Instant,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let told = match known.next {
            Some(Next::At(at)) => {
                let wait = at.saturating_duration_since(now);
                known.verdict.with_hint(Some(wait))
            }
            _ => known.verdict,
        };
        // When some endpoint is back is no word of the one that was asked: it proves nothing of that.
        let proves_as_much = told.proves_unprocessed() == known.verdict.proves_unprocessed();
        let verdict = if proves_as_much { told } else { known.verdict };
        if let Some(past) = &mut self.past {
            if known.may_have_been_done(limits) {
                // An earlier refusal would say that it was not, and be sent again further out.
                (past.answer, past.error) = (None, None);
            }
        }
        self.give_up(Some(outcome), verdict)
    }

    /// Ends the request because no further attempt could be made: its service did not become
    /// ready, or too much of its body had been sent meanwhile.
    pub(crate) fn no_attempt(
        &mut self,
        error: Option<BoxError>,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let past = self.past.as_mut().expect("an attempt was made");
        if let Some(error) = error {
            // That nobody could be asked says less than the error of any attempt.
            keep_lowest(&mut past.error, u32::MAX, || error);
        }
        // A part of the time that it names has passed.
        let waited = Instant::now().saturating_duration_since(past.judged);
        let hint = past.verdict.hint();
        // With nothing left it still proves that nothing was done.
        let left = hint.map(|hint| hint.saturating_sub(waited));
        let verdict = past.verdict.with_hint(left);
        self.give_up(None, verdict)
    }

    /// Settles the request by an attempt that succeeded.
    pub(crate) fn succeeded(&mut self, outcome: Result<&Response<B>, &BoxError>) {
        if self.sent > 1 {
            self.note(Verdict::SUCCESS, outcome);
        }
        if let Some(past) = &mut self.past {
            drop(past.at_stake.0.take());
        }
        if let Some(budget) = &self.shared.policy.budget {
            if self.trail.len() <= 1 {
                budget.deposit(1);
            }
        }
    }

    /// Returns an answer to the caller.
    pub(crate) fn answer(&self, response: Response<B>) -> Response<ResponseBody<B>> {
        self.with_trail(ResponseBody::passed(response))
    }

    /// Notes an attempt unless a layer below did. Returns whether there was one: a balancer may
    /// refuse a request without asking any endpoint.
    fn note(&self, verdict: Verdict, outcome: Result<&Response<B>, &BoxError>) -> bool {
        if self.trail.len() > self.noted {
            return true;
        }
        let status = match outcome {
            Ok(response) => Some(response.status()),
            Err(error) if Exhausted::find(&**error).is_some() => return false,
            Err(_) => None,
        };
        let mut attempt = Attempt::new(self.started, verdict);
        attempt.status = status;
        self.trail.record(attempt);
        true
    }

    /// Returns the best there is: `last`, or what was kept before it.
    fn give_up(
        &mut self,
        last: Option<Result<Response<B>, BoxError>>,
        verdict: Verdict,
    ) -> Result<Response<ResponseBody<B>>, BoxError> {
        let (answer, error) = match (last, self.past.take()) {
            (Some(Ok(response)), past) => {
                let answer = past.and_then(|past| past.answer);
                let tier = self.tier_of(verdict, Some(response.status()));
                match answer.filter(|(lowest, _)| *lowest < tier) {
                    Some((_, answer)) => (Some(ResponseBody::kept(answer)), None),
                    None => (Some(ResponseBody::passed(response)), None),
                }
            }
            (Some(Err(error)), None) => (None, Some(error)),
            (last, past) => {
                let mut past = past.expect("an attempt was made");
                if let Some(last) = last {
                    let status = last.as_ref().ok().map(Response::status);
                    past.keep(self.tier_of(verdict, status), last);
                }
                let answer = past.answer.map(|(_, answer)| ResponseBody::kept(answer));
                (answer, past.error.map(|(_, error)| error))
            }
        };
        match (answer, error) {
            (Some(answer), _) => Ok(self.with_trail(answer)),
            // After one attempt there is nothing to add.
            (None, Some(error)) if self.sent == 1 && self.trail.len() <= 1 => Err(error),
            (None, error) => Err(Exhausted::new(self.trail.clone(), verdict, error).into()),
        }
    }

    /// The tier of the attempt that had this outcome. Of several that ran at the same time another
    /// one may have ended last.
    fn tier_of(&self, verdict: Verdict, status: Option<StatusCode>) -> u32 {
        let is_it = |attempt: &&Attempt| {
            attempt.verdict.class() == verdict.class() && attempt.status == status
        };
        let found = self.trail.with_attempts(|attempts| {
            let new = attempts.skip(self.noted);
            new.filter(is_it).last().map(|attempt| attempt.tier)
        });
        let last = || self.trail.last().map_or(0, |last| last.tier);
        u32::from(found.unwrap_or_else(last))
    }

    fn with_trail(&self, mut response: Response<ResponseBody<B>>) -> Response<ResponseBody<B>> {
        if self.trail.len() > 1 {
            response.extensions_mut().insert(self.trail.clone());
        }
        response
    }
}

impl<B: Body> Past<B> {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            spent: Spent::FIRST_ATTEMPT,
            verdict: Verdict::SUCCESS,
            judged: Instant::now(),
            waits_since: None,
            reserved: None,
            at_stake: AtStake::default(),
            counted: false,
            answer: None,
            error: None,
        }
    }

    /// What an attempt that did not succeed has cost does not come back. Where nobody was asked
    /// it is kept for the next one.
    fn end_attempt(&mut self, attempted: bool) {
        if attempted {
            self.counted = false;
            self.at_stake = AtStake::default();
        } else {
            self.reserved = self.at_stake.0.take();
        }
    }

    fn begin_wait(&mut self, wait: Duration, counts: bool, now: Instant) {
        // Only what an endpoint has answered makes the next wait longer.
        if counts {
            self.spent.waits = self.spent.waits.saturating_add(1);
            self.spent.last_wait = wait;
        }
        self.waits_since = Some(now);
    }

    /// Keeps an answer until a better one comes: the last one of the lowest tier, which is the
    /// root of the trouble and not the noise of the last fallback.
    fn keep(&mut self, tier: u32, outcome: Result<Response<B>, BoxError>) {
        match outcome {
            Ok(response) => keep_lowest(&mut self.answer, tier, || response.map(ReadAhead::new)),
            // That nobody was asked says less than the error of any attempt.
            Err(error) if Exhausted::find(&*error).is_some() => {
                keep_lowest(&mut self.error, u32::MAX, || error);
            }
            Err(error) => keep_lowest(&mut self.error, tier, || error),
        }
    }
}

impl Drop for AtStake {
    fn drop(&mut self) {
        if let Some(cost) = self.0.take() {
            cost.spend();
        }
    }
}

fn keep_lowest<T>(kept: &mut Option<(u32, T)>, tier: u32, new: impl FnOnce() -> T) {
    if kept.as_ref().is_none_or(|(lowest, _)| tier <= *lowest) {
        *kept = Some((tier, new()));
    }
}
