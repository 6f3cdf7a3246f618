//! A clock that is moved by hand.
//!
//! A run owns its clock, so runs on several threads are independent. Our breaker reads tokio's
//! clock itself, and the rules of others get the instant as an argument.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, advance};

/// tokio's clock, which stands still unless it is moved.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The current instant, a copy of tokio's. A read of tokio's clock costs more.
    now: Cell<Instant>,
}

impl Clock {
    /// Runs `f` with a new clock.
    pub(crate) fn run<T>(f: impl FnOnce(&Self) -> T) -> T {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        let _guard = runtime.enter();
        f(&Self {
            now: Cell::new(Instant::now()),
        })
    }

    /// Returns the current instant.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        // The clock moves at the first poll. Later polls serve tasks and timers. There are none
        // here, and the polls would take most of the time of a simulation.
        let _ = pin!(advance(by)).poll(&mut Context::from_waker(Waker::noop()));
        self.now.set(self.now.get() + by);
    }

    /// Moves the clock forward to an instant. An instant in the past has no effect.
    pub(crate) fn advance_to(&self, time: Instant) {
        self.advance(time.saturating_duration_since(self.now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_equals_tokio_clock() {
        Clock::run(|clock| {
            let start = clock.now();
            for _ in 0..1_000 {
                clock.advance(Duration::from_millis(10));
            }
            assert_eq!(clock.now() - start, Duration::from_secs(10));
            assert_eq!(clock.now(), Instant::now());
            clock.advance_to(start);
            assert_eq!(clock.now(), Instant::now());
        });
    }
}
