//! Shows on stderr how far a long run is.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

#[expect(
    clippy::disallowed_types,
    reason = "people wait for this on the real clock, not on that of a simulation"
)]
use std::time::Instant;

/// The progress of a batch of runs. On a terminal, one line is overwritten. Otherwise a line is
/// written every ten seconds. Short batches show nothing.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(super) struct Progress {
    /// Whether stderr is a terminal.
    terminal: bool,
    /// The start of the batch.
    began: Instant,
    /// The time of the last line.
    shown: Instant,
    /// Whether a line was written.
    visible: bool,
    /// The number of finished runs.
    done: usize,
    /// The number of all runs.
    total: usize,
    /// The last started run.
    current: String,
}

impl Progress {
    /// Creates a progress of no runs.
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

    /// Sets the number of runs.
    pub(super) fn start(&mut self, total: usize) {
        self.total = total;
    }

    /// Records the start of a run.
    pub(super) fn began(&mut self, job: String) {
        self.current = job;
        self.show();
    }

    /// Records the end of a run.
    pub(super) fn ended(&mut self) {
        self.done += 1;
        self.show();
    }

    /// Writes a line if enough time has passed since the last one.
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

    /// Clears the line on a terminal.
    pub(super) fn finish(&mut self) {
        if self.terminal && self.visible {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    /// Returns the time between two lines.
    fn interval(&self) -> Duration {
        if self.terminal {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(10)
        }
    }

    /// Returns the line.
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
