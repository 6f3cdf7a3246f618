//! The endpoints at work: the client that all policies send through.
//!
//! The steps of an attempt have a fixed order: troubles, random refusals, quotas, refused callers,
//! poison, random failures, then the work. So a request that a trouble or chance refuses uses
//! neither a quota nor a slot, as at real providers.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, StatusCode, Uri};
use steadfast_core::{BoxError, Class};
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use crate::world::answer::{answer, broken, late, refusal};
use crate::world::call::{Answer, Body, Call};
use crate::world::endpoint::{Endpoint, Trouble};
use crate::world::latency::scaled;
use crate::world::place::{Place, host};
use crate::world::random::{exponential, generator};

/// The HTTP client of a simulation: it sends a request to the endpoint that its URI names.
///
/// An attempt that takes longer than the scenario's attempt timeout ends with a
/// [`Classified`](steadfast_core::Classified) error, as do connections that are refused or lost.
#[derive(Clone, Debug)]
pub struct World(Arc<Shared>);

/// The state that all clients of one run share.
#[derive(Debug)]
struct Shared {
    /// The start of the run on the virtual clock.
    start: Instant,
    /// The seed of latencies and failures.
    seed: u64,
    /// The time limit of an attempt, or `None` without a limit.
    attempt_timeout: Option<Duration>,
    /// The endpoints, in the order of the scenario.
    places: Vec<Place>,
}

impl World {
    /// Creates a world at the current instant, and starts the tasks of its endpoints: other
    /// processes, and queues that move at the end of a trouble.
    pub(crate) fn new(
        endpoints: &[Endpoint],
        attempt_timeout: Option<Duration>,
        seed: u64,
    ) -> Self {
        let start = Instant::now();
        let world = Self(Arc::new(Shared {
            start,
            seed,
            attempt_timeout,
            places: endpoints
                .iter()
                .map(|endpoint| Place::new(endpoint, start))
                .collect(),
        }));
        for index in 0..endpoints.len() {
            world.wake_queue_after_troubles(index);
            world.begin_neighbour(index);
        }
        world
    }

    /// Returns the base URI of an endpoint.
    #[must_use]
    pub fn uri(endpoint: &Endpoint) -> Uri {
        let uri = format!("http://{}", host(endpoint));
        uri.parse().expect("the name of an endpoint is a host")
    }

    /// Returns the attempts at each endpoint, in columns of 100 ms.
    pub(crate) fn attempts(&self) -> Vec<Vec<u32>> {
        let places = self.0.places.iter();
        places.map(|place| place.lock().attempts.clone()).collect()
    }

    /// Returns the time in seconds during which each endpoint had a full bucket of requests. The
    /// quota of that time is lost.
    pub(crate) fn unused(&self) -> Vec<f64> {
        let places = self.0.places.iter();
        places
            .map(|place| place.lock().unused.as_secs_f64())
            .collect()
    }

    /// Returns the time since the start of the run.
    fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Returns the endpoint that a URI names.
    fn index_of(&self, uri: &Uri) -> usize {
        let host = uri.host().unwrap_or_default();
        let mut places = self.0.places.iter();
        let found = places.position(|place| place.host == host);
        found.unwrap_or_else(|| panic!("no endpoint is called {host}"))
    }

    /// Makes one attempt within the attempt timeout, and records its outcome in the call.
    async fn attempt(self, index: usize, call: Call) -> Result<Answer, BoxError> {
        let number = call.attempt();
        self.0.places[index].count(self.elapsed());
        let started = Instant::now();
        let serve = self.serve(index, &call, number);
        call.began();
        let result = match self.0.attempt_timeout {
            Some(limit) => timeout(limit, serve).await.unwrap_or_else(|_| Err(late())),
            None => serve.await,
        };
        call.ended();
        match &result {
            Ok(answer) if answer.status().is_success() => call.served(index, started.elapsed()),
            Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => call.limited(),
            _ => call.failed(number),
        }
        result
    }

    /// Returns the answer of an endpoint, after its latency.
    ///
    /// The randomness of an attempt depends on the seed, the request and the number of the attempt.
    /// It does not depend on the policy or on earlier draws.
    async fn serve(&self, index: usize, call: &Call, number: u32) -> Result<Answer, BoxError> {
        let place = &self.0.places[index];
        let endpoint = &place.endpoint;
        let at = self.elapsed();
        let mut rng = generator(self.0.seed, (call.id << 8) | u64::from(number.min(255)));
        for trouble in endpoint.troubles_at(at) {
            match trouble {
                Trouble::Refuses => {
                    sleep(endpoint.refusal).await;
                    return Err(broken(Class::Connect, io::ErrorKind::ConnectionRefused));
                }
                Trouble::Hangs => pending().await,
                Trouble::Fails(share, status) if rng.f64() < share => {
                    sleep(endpoint.refusal).await;
                    return Ok(answer(StatusCode::from_u16(status)?));
                }
                Trouble::Limits(wait) => {
                    sleep(endpoint.refusal).await;
                    return Ok(refusal(endpoint.hint, wait));
                }
                Trouble::Quota(quota) => {
                    if let Err(wait) = place.admit_in_trouble(quota) {
                        sleep(endpoint.refusal).await;
                        return Ok(refusal(endpoint.hint, wait));
                    }
                }
                Trouble::Capacity(_) | Trouble::Fails(..) | Trouble::Slow(_) => {}
            }
        }
        if endpoint.random_limits > 0.0 && rng.f64() < endpoint.random_limits {
            sleep(endpoint.refusal).await;
            return Ok(refusal(endpoint.hint, Duration::from_secs(1)));
        }
        if let Err(wait) = place.admit(call.tokens, call.sender.name) {
            sleep(endpoint.refusal).await;
            return Ok(refusal(endpoint.hint, wait));
        }
        if call.sender.refused {
            sleep(endpoint.refusal).await;
            return Ok(refusal(endpoint.hint, Duration::from_secs(1)));
        }
        if call.sender.poison {
            sleep(endpoint.refusal).await;
            return Ok(answer(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if rng.f64() < endpoint.failures {
            call.unlucky(number);
            sleep(endpoint.refusal).await;
            return Ok(answer(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let work = scaled(endpoint.latency.draw(&mut rng), endpoint.slowness_at(at));
        if endpoint.capacity.is_some() {
            // Detached when the client leaves: the server goes on.
            tokio::spawn(self.clone().work(index, work)).await?;
        } else if let Some(end) = endpoint.breaks_in(at..at + work) {
            sleep(end - at).await;
            return Err(broken(Class::Transport, io::ErrorKind::ConnectionReset));
        } else {
            sleep(work).await;
        }
        Ok(answer(StatusCode::OK))
    }

    /// Queues for a slot of the endpoint, and works for this time.
    async fn work(self, index: usize, work: Duration) {
        let place = &self.0.places[index];
        let turn = place.lock().queue.join(self.capacity(index));
        if let Some(turn) = turn {
            turn.await.expect("a queue outlives who waits in it");
        }
        sleep(work).await;
        place.lock().queue.leave(self.capacity(index));
    }

    /// Returns the slots of an endpoint at this instant. An endpoint without a capacity has slots
    /// without limit.
    fn capacity(&self, index: usize) -> u32 {
        let capacity = self.0.places[index].endpoint.capacity_at(self.elapsed());
        capacity.unwrap_or(u32::MAX)
    }

    /// Starts another process that uses the quota of an endpoint.
    fn begin_neighbour(&self, index: usize) {
        let Some(rate) = self.0.places[index].endpoint.neighbour else {
            return;
        };
        let mut rng = generator(self.0.seed, u64::MAX - 1 - index as u64);
        let world = self.clone();
        tokio::spawn(async move {
            let mut next = world.0.start;
            loop {
                next += exponential(&mut rng, rate);
                tokio::time::sleep_until(next).await;
                // A refused request of the neighbour is lost.
                let _ = world.0.places[index].admit(1, "");
            }
        });
    }

    /// Moves the queue of an endpoint at the end of each trouble, because its capacity may have
    /// grown.
    fn wake_queue_after_troubles(&self, index: usize) {
        for (range, _) in &self.0.places[index].endpoint.troubles {
            let (world, end) = (self.clone(), self.0.start + range.end);
            tokio::spawn(async move {
                tokio::time::sleep_until(end).await;
                let capacity = world.capacity(index);
                world.0.places[index].lock().queue.move_up(capacity);
            });
        }
    }
}

impl Service<Request<Body>> for World {
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let index = self.index_of(request.uri());
        let call = request.extensions().get::<Call>();
        let call = call
            .expect("a policy keeps the extensions of a request")
            .clone();
        Box::pin(self.clone().attempt(index, call))
    }
}

#[cfg(test)]
mod tests;
