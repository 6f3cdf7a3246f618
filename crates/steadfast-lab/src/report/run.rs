//! Runs a scenario with a policy.
//!
//! One task per request runs on a runtime with one thread and a paused clock. The clock advances
//! only while all tasks are idle, so decisions take no time, and the order of events depends on the
//! seed alone.

use std::time::Duration;

use http::Response;
use steadfast_core::{BoxError, Exhausted};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::ServiceExt;

use crate::policy::{Client, Policy, Setup};
use crate::report::record::Record;
use crate::report::summary::Report;
use crate::world::{Call, Scenario, World, generator, hint};

impl Scenario {
    /// Runs the scenario with a policy on a virtual clock.
    ///
    /// The same seed gives the same requests to every policy, and the same report each time.
    ///
    /// # Panics
    ///
    /// Panics if the scenario has no endpoint, or if called on a runtime of tokio.
    #[must_use]
    pub fn run(&self, policy: &dyn Policy, seed: u64) -> Report {
        assert!(!self.endpoints.is_empty(), "a scenario needs an endpoint");
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O");
        runtime.block_on(self.play(policy, seed))
    }

    /// Sends all requests at their times, and waits for the last outcome.
    ///
    /// Requests are distributed over the clients in turn. Sizes and patience have generators of
    /// their own, so they are the same for every policy.
    async fn play(&self, policy: &dyn Policy, seed: u64) -> Report {
        // For whatever draws from the generator of the thread.
        fastrand::seed(seed);
        let world = World::new(&self.endpoints, self.attempt_timeout, seed);
        let clients: Vec<_> = (0..self.clients as u64)
            .map(|n| {
                let seed = generator(seed, n + 1).u64(..);
                policy.client(&Setup::new(self, world.clone(), seed))
            })
            .collect();
        let mut sizes = generator(seed, u64::MAX);
        let mut patience = generator(seed, u64::MAX / 2);
        let start = Instant::now();
        let mut requests = JoinSet::new();
        let mut records = Vec::new();
        for (n, (arrival, caller)) in self.requests(seed).into_iter().enumerate() {
            sleep_until(start + arrival).await;
            let mut sent = Sent {
                call: Call::new(n as u64, self.draw_size(&mut sizes)),
                caller,
                start,
                deadline: self.deadline,
                patience: None,
            };
            if let Some(caller) = self.callers.get(caller) {
                sent.call = sent.call.sent_by(caller.sender);
                sent.patience = caller.draw_patience(&mut patience);
            }
            let client = clients[n % clients.len()].clone();
            requests.spawn(sent.to(client));
            while let Some(record) = requests.try_join_next() {
                records.push(record.expect("a policy does not panic"));
            }
        }
        records.extend(requests.join_all().await);
        let mut report = Report::new(self, policy.name(), seed, &records, &world.attempts());
        report.details.unused_s = world.unused();
        report
    }
}

/// A request with the bounds on its time.
struct Sent {
    /// The record of the request.
    call: Call,
    /// The index of its caller.
    caller: usize,
    /// The start of the run.
    start: Instant,
    /// The time from arrival to failure.
    deadline: Duration,
    /// The time from arrival to cancellation, if its caller has one.
    patience: Option<Duration>,
}

impl Sent {
    /// Sends the request, and records its outcome. At the earlier of deadline and patience the
    /// request is dropped, which is a cancellation for all layers.
    async fn to(self, client: Client) -> Record {
        let (call, arrived) = (&self.call, Instant::now());
        let limit = self.patience.unwrap_or(self.deadline).min(self.deadline);
        let answer = timeout_at(arrived + limit, client.oneshot(call.request())).await;
        let success = matches!(&answer, Ok(Ok(answer)) if answer.status().is_success());
        let took = arrived.elapsed();
        let service = call.service().filter(|_| success);
        Record {
            arrived: arrived - self.start,
            took,
            waited: service.map_or(took, |(_, service)| took.saturating_sub(service)),
            caller: self.caller,
            served_by: service.map(|(endpoint, _)| endpoint),
            attempts: call.attempts(),
            limited: call.refusals(),
            unlucky: call.bad_luck(),
            failed_first: call.failed_first(),
            unlucky_first: call.unlucky_first(),
            cancelled: answer.is_err(),
            hint: answer
                .ok()
                .filter(|_| !success)
                .and_then(|answer| told(&answer)),
            late: !success && call.is_under_way(),
        }
    }
}

/// Returns the hint of a rejection in the form in which an HTTP server returns it: whole seconds,
/// rounded up.
fn told(answer: &Result<Response<()>, BoxError>) -> Option<Duration> {
    match answer {
        Ok(answer) => hint(answer.headers()),
        Err(error) => hint(Exhausted::find(&**error)?.to_response::<()>().headers()),
    }
}
