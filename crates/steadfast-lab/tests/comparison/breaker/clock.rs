//! The clocks that contestants follow.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

const TURNS: usize = 100;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Which clock a contestant follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// The clock of tokio, which these runs pause.
    Tokio,
    /// The clock of std, which cannot be moved.
    Std,
    /// One that failsafe keeps for its own tests.
    Failsafe,
}

/// The time of one run.
#[derive(Debug)]
pub(crate) struct Clock {
    time: Time,
    hand: mpsc::UnboundedSender<Move>,
    started: Instant,
    /// When the clock was last waited for.
    waited: Cell<Instant>,
    longest_gap: Cell<Duration>,
}

struct Move {
    by: Duration,
    done: oneshot::Sender<()>,
}

impl Clock {
    /// Runs `check` on a runtime of its own.
    pub(crate) fn run<T>(time: Time, check: impl AsyncFnOnce(Self) -> T) -> T {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(time != Time::Std)
            .build()
            .expect("a runtime");
        if time == Time::Failsafe {
            failsafe::clock::freeze(|hand| {
                runtime.block_on(drive(time, check, |by| hand.advance(by)))
            })
        } else {
            runtime.block_on(drive(time, check, |_| {}))
        }
    }

    pub(crate) fn is(&self, time: Time) -> bool {
        self.time == time
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits.
    pub(crate) async fn pass(&self, by: Duration) {
        self.note_gap(self.waited.get());
        let end = Instant::now() + by;
        sleep_until(end).await;
        self.note_gap(end);
        let (done, moved) = oneshot::channel();
        if self.hand.send(Move { by, done }).is_ok() {
            let _ = moved.await;
        }
        self.waited.set(Instant::now());
    }

    /// Lets every task go as far as it can.
    pub(crate) async fn settle(&self) {
        self.note_gap(self.waited.get());
        for _ in 0..TURNS {
            yield_now().await;
        }
        // Some look again after a millisecond.
        sleep(2 * MILLISECOND).await;
        for _ in 0..TURNS {
            yield_now().await;
        }
        self.waited.set(Instant::now());
    }

    /// The longest time that passed between two waits, or in one of them beyond its end. None
    /// should have.
    pub(crate) fn longest_gap(&self) -> Duration {
        self.note_gap(self.waited.get());
        self.longest_gap.get()
    }

    fn note_gap(&self, since: Instant) {
        let gap = since.elapsed();
        self.longest_gap.set(self.longest_gap.get().max(gap));
    }
}

async fn drive<T>(
    time: Time,
    check: impl AsyncFnOnce(Clock) -> T,
    mut advance: impl FnMut(Duration),
) -> T {
    let (hand, mut moves) = mpsc::unbounded_channel::<Move>();
    let clock = Clock {
        time,
        hand,
        started: Instant::now(),
        waited: Cell::new(Instant::now()),
        longest_gap: Cell::default(),
    };
    let mut check = pin!(check(clock));
    loop {
        tokio::select! {
            biased;
            Some(Move { by, done }) = moves.recv() => {
                advance(by);
                let _ = done.send(());
            }
            seen = &mut check => return seen,
        }
    }
}
