use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use steadfast_core::EndpointName;
use tokio::time::Instant;

/// What the attempts of one request that run at the same time know of each other.
///
/// Each of them has it in the extensions of its request. A balancer says there to which endpoint
/// it sends the attempt, and sends the others elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Race {
    shared: Arc<Shared>,
    /// 0 for the first attempt.
    number: u32,
}

/// An attempt that is under way at an endpoint. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Place(Race);

#[derive(Debug, Default)]
struct Shared {
    is_balanced: AtomicBool,
    is_decided: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first attempt, if it was sent. It is apart from the others, so that a request which is
    /// not hedged allocates nothing for it.
    first: Option<Sent>,
    /// Those of the others that were sent.
    further: Vec<Sent>,
    first_sent: Option<Instant>,
    last_sent: Option<Instant>,
}

#[derive(Debug)]
struct Sent {
    number: u32,
    to: EndpointName,
    /// Whether it is still under way.
    runs: bool,
}

// ===== impl Race =====

impl Race {
    /// Begins with the first attempt.
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::default(),
            number: 0,
        }
    }

    /// Returns the race in the extensions of a request.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Adds an attempt.
    pub(super) fn further(&self, number: u32) -> Self {
        Self {
            shared: self.shared.clone(),
            number,
        }
    }

    /// Says that a balancer takes part, and will say where its attempts are.
    pub(crate) fn balance(&self) {
        self.shared.is_balanced.store(true, Ordering::Relaxed);
    }

    /// Whether this is not the first attempt.
    pub(crate) fn is_hedge(&self) -> bool {
        self.number > 0
    }

    /// Says that this attempt is sent to an endpoint.
    pub(crate) fn enter(&self, endpoint: &EndpointName, now: Instant) -> Place {
        let mut state = self.lock();
        if !self.is_hedge() {
            state.first_sent = Some(now);
        }
        state.last_sent = Some(now);
        state.put(Sent {
            number: self.number,
            to: endpoint.clone(),
            runs: true,
        });
        drop(state);
        Place(self.clone())
    }

    /// The endpoints at which attempts are under way, in the order in which they were sent.
    pub(crate) fn endpoints(&self) -> Vec<EndpointName> {
        self.sent_to(|sent| sent.runs)
    }

    /// The endpoints to which this attempt does not go: a further one goes nowhere where one has
    /// been, as it comes without a backoff.
    pub(crate) fn taken(&self) -> Vec<EndpointName> {
        self.sent_to(|sent| sent.runs || self.is_hedge())
    }

    fn sent_to(&self, wanted: impl Fn(&Sent) -> bool) -> Vec<EndpointName> {
        let state = self.lock();
        let all = state.first.iter().chain(&state.further);
        let wanted = all.filter(|sent| wanted(sent));
        wanted.map(|sent| sent.to.clone()).collect()
    }

    /// When the first attempt was last sent to an endpoint.
    pub(super) fn first_sent(&self) -> Option<Instant> {
        self.lock().first_sent
    }

    /// When an attempt was last sent to an endpoint.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        self.lock().last_sent
    }

    /// For how long the first attempt has been under way.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        let sent = self.first_sent();
        sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent))
    }

    /// Whether this further attempt was sent to an endpoint. Without a balancer nobody can say
    /// that it was not.
    pub(super) fn was_sent(&self) -> bool {
        let is_own = |sent: &Sent| sent.number == self.number;
        !self.is_balanced() || self.lock().further.iter().any(is_own)
    }

    /// Whether the first attempt still waits for an endpoint.
    pub(super) fn waits(&self) -> bool {
        self.is_balanced() && self.last_sent().is_none()
    }

    /// Says that one of the attempts has answered, and the others are not needed any more.
    pub(super) fn decide(&self) {
        self.shared.is_decided.store(true, Ordering::Relaxed);
    }

    /// Whether one of the attempts has answered.
    pub(crate) fn is_decided(&self) -> bool {
        self.shared.is_decided.load(Ordering::Relaxed)
    }

    fn is_balanced(&self) -> bool {
        self.shared.is_balanced.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Place =====

impl Place {
    /// Gives the place up, as the attempt is not sent.
    pub(crate) fn unsent(self) {
        let Self(race) = &self;
        race.lock().forget(race.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(race) = self;
        if let Some(sent) = race.lock().sent(race.number) {
            sent.runs = false;
        }
    }
}

// ===== impl State =====

impl State {
    /// Notes an attempt. A layer in between may send it several times, one after the other.
    fn put(&mut self, sent: Sent) {
        match self.sent(sent.number) {
            Some(known) => *known = sent,
            None if sent.number == 0 => self.first = Some(sent),
            None => self.further.push(sent),
        }
    }

    fn sent(&mut self, number: u32) -> Option<&mut Sent> {
        let mut all = self.first.iter_mut().chain(&mut self.further);
        all.find(|sent| sent.number == number)
    }

    /// Forgets an attempt.
    fn forget(&mut self, number: u32) {
        self.first.take_if(|sent| sent.number == number);
        self.further.retain(|sent| sent.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<EndpointName> {
        names.iter().map(|name| EndpointName::new(name)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_is_known_to_the_others_while_it_runs() {
        let first = Race::new();
        let second = first.further(1);
        assert!(second.is_hedge() && !first.is_hedge());
        assert_eq!(first.endpoints(), names(&[]));

        let now = Instant::now();
        let places = (
            first.enter(&"a".into(), now),
            second.enter(&"b".into(), now),
        );
        assert_eq!(second.endpoints(), names(&["a", "b"]));
        drop(places.0);
        assert_eq!(first.endpoints(), names(&["b"]));
        drop(places.1);
        assert_eq!(first.endpoints(), names(&[]));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_balancer_can_say_that_an_attempt_was_not_sent() {
        let race = Race::new();
        let hedge = race.further(1);
        assert!(hedge.was_sent());
        race.balance();
        assert!(!hedge.was_sent());
        let _place = race.enter(&"a".into(), Instant::now());
        assert!(!hedge.was_sent());
        let _place = hedge.enter(&"b".into(), Instant::now());
        assert!(hedge.was_sent());
    }
}
