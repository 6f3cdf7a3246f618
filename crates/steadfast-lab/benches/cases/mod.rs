//! The cases that all benches measure, each of them defined once.

mod balance;
mod breaker;
mod by_hand;
mod client;
mod edge;
mod metrics;
mod request;
mod reqwest;
mod retry;
mod stack;
mod tower_policy;
mod tower_resilience;
mod upstream;

use tokio::runtime::{Builder, Runtime};

pub(crate) use self::client::Call;
use self::client::{Caller, Client};

/// One thing to measure.
pub(crate) struct Case {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    paused: bool,
    build: Box<dyn Fn() -> Box<dyn Call>>,
}

/// Returns all cases.
pub(crate) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        retry::cases(),
        breaker::cases(),
        balance::cases(),
        metrics::cases(),
        stack::cases(),
        edge::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    // After any clock of a process was paused, reading the time is slower on all of tokio's clocks.
    cases.sort_by_key(|case| case.paused);
    cases
}

impl Case {
    /// Defines a case with any number of callers.
    fn new<C: Client + Clone>(
        group: &'static str,
        name: &'static str,
        make: impl Fn() -> C + 'static,
    ) -> Self {
        Self::with(group, name, move || Caller::new(make(), Some(C::clone)))
    }

    /// Defines a case with one caller, and a client that cannot be cloned.
    fn single<C: Client>(
        group: &'static str,
        name: &'static str,
        make: impl Fn() -> C + 'static,
    ) -> Self {
        Self::with(group, name, move || Caller::new(make(), None))
    }

    fn with<C: Client>(
        group: &'static str,
        name: &'static str,
        make: impl Fn() -> Caller<C> + 'static,
    ) -> Self {
        Self {
            group,
            name,
            paused: false,
            build: Box::new(move || Box::new(make())),
        }
    }

    /// Lets waits take no time.
    fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Builds a runtime of one thread.
    pub(crate) fn runtime(&self) -> Runtime {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(self.paused).build();
        runtime.expect("a runtime")
    }

    /// Builds the service, and a caller for it.
    pub(crate) fn build(&self, runtime: &Runtime) -> Box<dyn Call> {
        // A buffer spawns its worker when it is made.
        let _context = runtime.enter();
        (self.build)()
    }
}
