//! One row of the table: a setting, the right behaviour, and its check.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::ask::{Ask, Outcome};
use super::contestants::{Contestant, Sending, Shape};
use super::observed::Observed;
use crate::server::{Script, Server};
use crate::table::{Cell, Mark};

/// Longer than any contestant waits.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// How long the server listens after the last caller has gone.
const AFTERWARDS: Duration = Duration::from_secs(600);

pub(crate) struct Case {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    pub(crate) right: &'static str,
    pub(crate) shape: Shape,
    script: Script,
    ask: Ask,
    callers: Callers,
    closed: Option<Duration>,
    check: Box<dyn Fn(&Observed) -> Seen + Send + Sync>,
}

/// The headings of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Hints,
    Statuses,
    Safety,
    Bodies,
    Waiting,
    Budget,
    Manners,
}

/// How often the request is sent.
#[derive(Clone, Copy, Debug)]
struct Callers {
    one_by_one: usize,
    /// After those.
    at_once: usize,
    cancelled_after: Option<Duration>,
}

/// What a check has seen.
pub(crate) struct Seen {
    pub(crate) holds: bool,
    pub(crate) did: String,
}

// ===== impl Group =====

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

// ===== impl Seen =====

impl Seen {
    /// What happened, and nothing to add.
    pub(crate) fn of(holds: bool, observed: &Observed) -> Self {
        Self {
            holds,
            did: observed.story(),
        }
    }

    pub(crate) fn and(mut self, more: impl fmt::Display) -> Self {
        self.did = format!("{}; {more}", self.did);
        self
    }
}

// ===== impl Case =====

impl Case {
    pub(crate) fn new(
        group: Group,
        name: &'static str,
        right: &'static str,
        ask: Ask,
        script: Script,
        check: impl Fn(&Observed) -> Seen + Send + Sync + 'static,
    ) -> Self {
        Self {
            group,
            name,
            right,
            shape: Shape::Usual,
            script,
            ask,
            callers: Callers {
                one_by_one: 1,
                at_once: 0,
                cancelled_after: None,
            },
            closed: None,
            check: Box::new(check),
        }
    }

    pub(crate) fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    pub(crate) fn ask(mut self, ask: Ask) -> Self {
        self.ask = ask;
        self
    }

    /// Sends a number of requests one after the other, then a number of requests at once.
    pub(crate) fn callers(mut self, one_by_one: usize, at_once: usize) -> Self {
        self.callers.one_by_one = one_by_one;
        self.callers.at_once = at_once;
        self
    }

    pub(crate) fn cancelled_after(mut self, time: Duration) -> Self {
        self.callers.cancelled_after = Some(time);
        self
    }

    /// Refuses connections until the clock has moved.
    pub(crate) fn closed_at_first(mut self) -> Self {
        self.closed = Some(Duration::from_millis(1));
        self
    }

    /// Runs the case on a clock of its own.
    pub(crate) fn run(&self, contestant: &dyn Contestant) -> Cell {
        match self.observe(contestant) {
            Ok(observed) => {
                let seen = (self.check)(&observed);
                Cell::of(seen.holds, seen.did)
            }
            Err(why) => Cell::new(Mark::NotAsked, why),
        }
    }

    pub(crate) fn observe(&self, contestant: &dyn Contestant) -> Result<Observed, &'static str> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        runtime
            .expect("a runtime")
            .block_on(self.observe_now(contestant))
    }

    async fn observe_now(&self, contestant: &dyn Contestant) -> Result<Observed, &'static str> {
        let server = Server::start(self.script.clone(), self.closed).expect("a free port");
        let client = contestant.client(self.shape, &server.origin())?;
        let mut outcomes = Vec::new();
        let mut started = Instant::now();
        let mut cancelled = None;
        for number in 0..self.callers.one_by_one {
            started = Instant::now();
            let sending = client.send(&self.ask.numbered(number))?;
            let patience = self.callers.cancelled_after.unwrap_or(PATIENCE);
            match timeout(patience, outcome(sending, &self.ask)).await {
                Ok(outcome) => outcomes.push(outcome),
                Err(_) => cancelled = Some(Instant::now()),
            }
        }
        let mut at_once = Vec::new();
        for number in 0..self.callers.at_once {
            let ask = self.ask.numbered(self.callers.one_by_one + number);
            let sending = client.send(&ask)?;
            at_once.push(tokio::spawn(async move { outcome(sending, &ask).await }));
        }
        for sent in at_once {
            outcomes.push(sent.await.expect("no panic"));
        }
        sleep(AFTERWARDS).await;
        Ok(Observed {
            started,
            attempts: server.attempts(),
            outcomes,
            cancelled,
            budget: client.budget(),
            promised: contestant.promise(),
        })
    }
}

async fn outcome(sending: Sending, ask: &Ask) -> Outcome {
    let (patience, nothing) = match ask.deadline {
        Some(deadline) => (deadline, "nothing at the deadline"),
        None => (PATIENCE, "no answer"),
    };
    let result = timeout(patience, sending).await;
    Outcome {
        result: result.unwrap_or_else(|_| Err(nothing.to_owned())),
        at: Instant::now(),
    }
}
