//! One row of the table: a setting, the right behaviour, and its check.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::clock::{Clock, Time};
use super::contestants::Contestant;
use super::stage::{Log, Setting, Shape, Stage};
use crate::table::{Cell, Mark};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// A minute is too long if one waits for it.
const SHORT: Duration = Duration::from_millis(50);
/// A run on the clock of std in which the machine was busy elsewhere is made again.
const RUNS: usize = 20;

pub(crate) struct Case {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    pub(crate) right: &'static str,
    shape: Shape,
    open: Open,
    on_tokios_clock: bool,
    check: Check,
}

/// The steps and the observations of a case.
type Check = for<'a> fn(&'a Stage<'_>) -> Pin<Box<dyn Future<Output = Cell> + 'a>>;

/// The headings of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Opening,
    Open,
    HalfOpen,
    Use,
}

/// For how long circuits are open.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// For longer than any run.
    Hour,
    /// For as long as a run can wait.
    Shortly,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "Opening",
            Self::Open => "Open",
            Self::HalfOpen => "Half-open",
            Self::Use => "Use",
        })
    }
}

impl Case {
    pub(crate) fn new(group: Group, name: &'static str, right: &'static str, check: Check) -> Self {
        Self {
            group,
            name,
            right,
            shape: Shape::Usual,
            open: Open::Hour,
            on_tokios_clock: false,
            check,
        }
    }

    pub(crate) fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Lets circuits be open for so short that a run can wait for their probes.
    pub(crate) fn waits(mut self) -> Self {
        self.open = Open::Shortly;
        self
    }

    /// Moves the clock of tokio, also for contestants with the clock of std.
    pub(crate) fn on_tokios_clock(mut self) -> Self {
        self.on_tokios_clock = true;
        self
    }

    pub(crate) fn run(&self, contestant: &dyn Contestant) -> Cell {
        let time = match contestant.time() {
            Time::Std if self.on_tokios_clock => Time::Tokio,
            time => time,
        };
        let mut runs = RUNS;
        loop {
            let (cell, is_timely) = self.run_once(contestant, time);
            runs -= 1;
            if is_timely || runs == 0 {
                return cell;
            }
        }
    }

    /// Returns the observation, and whether nothing else delayed it.
    fn run_once(&self, contestant: &dyn Contestant, time: Time) -> (Cell, bool) {
        let open = match (self.open, time) {
            (Open::Hour, _) => HOUR,
            (Open::Shortly, Time::Std) => SHORT,
            (Open::Shortly, Time::Tokio | Time::Failsafe) => MINUTE,
        };
        let setting = Setting {
            shape: self.shape,
            open,
            log: Log::default(),
        };
        Clock::run(time, async |clock| {
            let stage = match Stage::new(contestant, setting, clock) {
                Ok(stage) => stage,
                Err(why) => return (Cell::new(Mark::NotAsked, why), true),
            };
            let cell = (self.check)(&stage).await;
            (cell, stage.clock.longest_gap() < open / 2)
        })
    }
}
