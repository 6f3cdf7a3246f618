//! Servers with changing faults.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stack_tests::SECOND;
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::time::Instant;

/// The faults of all servers.
#[derive(Clone)]
pub(super) struct Weather {
    servers: Arc<[Upstream]>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The state of a small generator of random numbers.
    random: u64,
    /// Since when each server is healthy, and when it changes.
    servers: Vec<(Option<Instant>, Instant)>,
}

/// A kind of fault.
#[derive(Clone, Copy)]
enum Fault {
    Healthy,
    Limited,
    Failing,
    Overloaded,
    Silent,
    Resetting,
    Breaking,
    Dead,
}

const FAULTS: [Fault; 8] = [
    Fault::Healthy,
    Fault::Limited,
    Fault::Failing,
    Fault::Overloaded,
    Fault::Silent,
    Fault::Resetting,
    Fault::Breaking,
    Fault::Dead,
];

impl Weather {
    pub(super) fn over(servers: &[Upstream]) -> Self {
        let now = Instant::now();
        let state = State {
            random: 1,
            servers: servers.iter().map(|_| (Some(now), now)).collect(),
        };
        Self {
            servers: servers.into(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Returns the longest time for which a server has been healthy.
    pub(super) fn healthy_for(&self) -> Duration {
        let state = self.state.lock().expect("no panic");
        let healthy = state.servers.iter().filter_map(|(since, _)| *since);
        healthy
            .map(|since| since.elapsed())
            .max()
            .unwrap_or_default()
    }

    /// Changes the fault of each server at the end of its time.
    pub(super) async fn change(&self) {
        for (at, server) in self.servers.iter().enumerate() {
            if let Some(fault) = self.draw(at) {
                apply(server, fault).await;
            }
        }
    }

    /// Ends all faults.
    pub(super) async fn clear(&self) {
        for server in self.servers.iter() {
            apply(server, Fault::Healthy).await;
        }
    }

    /// Draws the next fault of a server, if its time is over. Every second state is healthy.
    fn draw(&self, at: usize) -> Option<Fault> {
        let mut state = self.state.lock().expect("no panic");
        let now = Instant::now();
        if now < state.servers[at].1 {
            return None;
        }
        let kind = state.below(16);
        let fault = FAULTS.get(kind).copied().unwrap_or(Fault::Healthy);
        let until = now + Duration::from_millis(200 + 100 * state.below(30) as u64);
        let is_healthy = matches!(fault, Fault::Healthy);
        let since = state.servers[at].0.filter(|_| is_healthy);
        state.servers[at] = (since.or(is_healthy.then_some(now)), until);
        Some(fault)
    }
}

impl State {
    /// Draws a number below `end`, by a xorshift generator: a failed run can be repeated.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % end
    }
}

async fn apply(server: &Upstream, fault: Fault) {
    server.restore().await.expect("the port is reserved");
    let hint = Hint::RetryAfterMs(SECOND / 5);
    server.set(match fault {
        Fault::Healthy | Fault::Dead => Reply::ok().latency(SECOND / 100),
        Fault::Limited => Reply::rate_limited(hint),
        Fault::Failing => Reply::status(500),
        Fault::Overloaded => Reply::status(503).header("retry-after", "1"),
        Fault::Silent => Reply::silence(),
        Fault::Resetting => Reply::reset(),
        Fault::Breaking => Reply::ok().chunks(5).cut_after(2),
    });
    if matches!(fault, Fault::Dead) {
        server.cut_off();
    }
}
