//! Shows on stderr how far a long run is.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

#[expect(
    clippy::disallowed_types,
    reason = "people wait for this on the real clock, not on that of a simulation"
)]
use std::time::Instant;

/// How far a run is. A terminal has a line that is written over, anything else gets one now and
/// then, and short runs show nothing.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(super) struct Progress {
    terminal: bool,
    began: Instant,
    shown: Instant,
    visible: bool,
    done: usize,
    total: usize,
    current: String,
}

impl Progress {
    #[expect(clippy::disallowed_types, reason = "as above")]
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            terminal: stderr().is_terminal(),
            began: now,
            shown: now,
            visible: false,
            done: 0,
            total: 0,
            current: String::new(),
        }
    }

    pub(super) fn start(&mut self, total: usize) {
        self.total = total;
    }

    /// A job has begun.
    pub(super) fn began(&mut self, job: String) {
        self.current = job;
        self.show();
    }

    /// A job has ended.
    pub(super) fn ended(&mut self) {
        self.done += 1;
        self.show();
    }

    /// Shows where we are if it is time to.
    pub(super) fn show(&mut self) {
        if self.shown.elapsed() < self.interval() {
            return;
        }
        #[expect(clippy::disallowed_types, reason = "as above")]
        let now = Instant::now();
        self.shown = now;
        self.visible = true;
        let line = self.line();
        // If it cannot be written, no reader misses it.
        let _ = if self.terminal {
            write!(stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(stderr(), "{line}")
        };
    }

    /// Leaves a terminal as it was.
    pub(super) fn finish(&mut self) {
        if self.terminal && self.visible {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn interval(&self) -> Duration {
        if self.terminal {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(10)
        }
    }

    fn line(&self) -> String {
        let Self {
            done,
            total,
            current,
            ..
        } = self;
        let seconds = self.began.elapsed().as_secs();
        format!("{done}/{total} runs in {seconds} s, now {current}")
    }
}
