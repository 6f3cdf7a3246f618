//! Callers: groups of requests with a model, a credential and a patience of their own.

use std::time::Duration;

use fastrand::Rng;

use crate::world::arrivals::Arrivals;
use crate::world::random::generator;

/// A group of requests of one sender.
///
/// ```
/// use std::time::Duration;
/// use steadfast_lab::{Arrivals, Caller};
///
/// let caller = Caller::new("chat", Arrivals::Poisson(20.0))
///     .model("large")
///     .patience([Duration::from_secs(5)]);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a caller does nothing until it is part of a scenario"]
pub struct Caller {
    /// The properties that each request carries.
    pub(crate) sender: Sender,
    /// The arrivals of its requests, independent of other callers.
    pub(crate) arrivals: Arrivals,
    /// The times until a request is cancelled. Empty: never.
    pub(crate) patience: Vec<Duration>,
}

/// The properties of a caller that travel with each of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The name in reports, and in the quotas of
    /// [`Endpoint::requests_of`](crate::Endpoint::requests_of).
    pub(crate) name: &'static str,
    /// The model, which becomes the limit key.
    pub(crate) model: Option<&'static str>,
    /// The credential, which becomes the `authorization` header.
    pub(crate) credential: Option<&'static str>,
    /// Whether each endpoint fails on its requests.
    pub(crate) poison: bool,
    /// Whether each endpoint refuses its requests.
    pub(crate) refused: bool,
}

impl Caller {
    /// Creates a caller without a model and a credential, and with unlimited patience.
    pub fn new(name: &'static str, arrivals: Arrivals) -> Self {
        Self {
            sender: Sender {
                name,
                ..Sender::default()
            },
            arrivals,
            patience: Vec::new(),
        }
    }

    /// Sets the model that its requests name, which is their limit key.
    pub fn model(mut self, model: &'static str) -> Self {
        self.sender.model = Some(model);
        self
    }

    /// Sets the credential of its requests, which is passed on to the endpoints.
    pub fn credential(mut self, credential: &'static str) -> Self {
        self.sender.credential = Some(credential);
        self
    }

    /// Sets the times after which requests are cancelled. Each request has one of them, at random.
    pub fn patience(mut self, times: impl IntoIterator<Item = Duration>) -> Self {
        self.patience = times.into_iter().collect();
        self
    }

    /// Makes every endpoint fail with `500` on its requests.
    pub fn poison(mut self) -> Self {
        self.sender.poison = true;
        self
    }

    /// Makes every endpoint refuse its requests with `429` and a hint of a second, at any time.
    pub fn refused(mut self) -> Self {
        self.sender.refused = true;
        self
    }

    /// Returns whether its requests carry a credential.
    pub(crate) fn has_credential(&self) -> bool {
        self.sender.credential.is_some()
    }

    /// Draws the time until one request is cancelled, or `None` for unlimited patience.
    pub(crate) fn draw_patience(&self, rng: &mut Rng) -> Option<Duration> {
        rng.choice(&self.patience).copied()
    }
}

/// Returns all requests of the callers in order of time, each with the index of its caller.
///
/// Each caller has a seed of its own. Two callers at one rate would otherwise send at the same
/// instants.
pub(crate) fn merged(callers: &[Caller], end: Duration, seed: u64) -> Vec<(Duration, usize)> {
    let times = |(n, caller): (usize, &Caller)| {
        // Two callers at the same rate do not send at the same instants.
        let seed = generator(seed, u64::MAX / 4 + n as u64).u64(..);
        let times = caller.arrivals.times(end, seed).into_iter();
        times.map(move |time| (time, n)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = callers.iter().enumerate().flat_map(times).collect();
    all.sort_by_key(|(time, _)| *time);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn requests_of_callers_are_merged_in_order_and_independent() {
        let caller = |name| Caller::new(name, Arrivals::Poisson(10.0));
        let all = merged(&[caller("a"), caller("b")], 100 * SECOND, 1);
        assert!(all.is_sorted_by_key(|(time, _)| *time));
        let of = |n| all.iter().filter(move |one| one.1 == n).map(|one| one.0);
        assert!(of(0).count().abs_diff(1_000) < 127, "{}", of(0).count());
        assert!(of(1).count().abs_diff(1_000) < 127, "{}", of(1).count());
        assert!(!of(0).eq(of(1)));
        assert_eq!(all, merged(&[caller("a"), caller("b")], 100 * SECOND, 1));
    }

    #[test]
    fn patience_is_one_of_given_times_or_unlimited() {
        let mut rng = generator(1, 1);
        let caller = Caller::new("a", Arrivals::Constant(1.0));
        assert_eq!(caller.draw_patience(&mut rng), None);
        let caller = caller.patience([2 * SECOND, 5 * SECOND]);
        let drawn: Vec<_> = (0..1_000)
            .filter_map(|_| caller.draw_patience(&mut rng))
            .collect();
        let short = drawn.iter().filter(|time| **time == 2 * SECOND).count();
        assert_eq!(drawn.len(), 1_000);
        assert!(short.abs_diff(500) < 64, "{short}");
    }
}
