//! What a breaker does in an outage and after it.
//!
//! The traffic is constant: 100 requests per second, each with an answer after 50 ms, before,
//! during and after the outage.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;
use super::{Breaker, End, PACE, Row, Ticket};

/// The healthy time before the outage.
const BEGINS: Duration = Duration::from_secs(120);
/// The shortest and the longest outage. With equal lengths, chance would decide whether a probe
/// comes just before the end.
const LASTS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(90));
/// The time after the outage in which full traffic is expected.
const AFTER: Duration = Duration::from_secs(150);
/// The latency of a call.
const ANSWER: Duration = Duration::from_millis(50);

/// The behaviour of calls that a half-open breaker admits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Probes {
    /// Like all other calls.
    Usual,
    /// Each takes this time, because caches are cold.
    Slow(Duration),
    /// After the outage, the callers of this number of probes cancel before the answer.
    Cancelled(u32),
}

/// The observations of one outage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// The requests that were sent during the outage.
    pub(crate) sent: u32,
    /// The requests that were sent during the outage after the breaker had opened.
    pub(crate) sent_after: u32,
    /// The seconds from the end of the outage to the last rejected request. `None`: requests were
    /// rejected until the end of the run.
    pub(crate) whole: Option<f64>,
    /// Whether the breaker opened.
    pub(crate) opened: bool,
}

impl Observed {
    /// Runs `runs` outages of different lengths.
    pub(crate) fn of(row: &Row, probes: Probes, runs: u32) -> Vec<Self> {
        let (least, most) = LASTS;
        let step = (most - least) / (2 * runs);
        (0..runs)
            .map(|n| Self::of_one(row, probes, least + step * (2 * n + 1), n.into()))
            .collect()
    }

    /// Runs one outage of this length.
    fn of_one(row: &Row, probes: Probes, lasts: Duration, seed: u64) -> Self {
        Clock::run(|clock| {
            let mut run = Run::new(row.make(seed), clock, probes, lasts);
            run.play();
            run.observed()
        })
    }
}

/// One outage in progress.
struct Run<'a> {
    /// The observed breaker.
    breaker: Box<dyn Breaker>,
    /// The clock of the run.
    clock: &'a Clock,
    /// The behaviour of probes.
    probes: Probes,
    /// The start of the outage.
    begins: Instant,
    /// The end of the outage.
    heals: Instant,
    /// The end of the run.
    ends: Instant,
    /// Calls in flight, by the time of their end and then by their number.
    under_way: BTreeMap<(Instant, u32), (Ticket, End)>,
    /// The number of probes that were cancelled.
    cancelled: u32,
    /// The observations so far.
    seen: Observed,
    /// The instant of the last rejection.
    last_rejected: Option<Instant>,
}

impl<'a> Run<'a> {
    /// Creates a run with this breaker and this length of the outage.
    fn new(breaker: Box<dyn Breaker>, clock: &'a Clock, probes: Probes, lasts: Duration) -> Self {
        let begins = clock.now() + BEGINS;
        let heals = begins + lasts;
        Self {
            breaker,
            clock,
            probes,
            begins,
            heals,
            ends: heals + AFTER,
            under_way: BTreeMap::new(),
            cancelled: 0,
            seen: Observed::default(),
            last_rejected: None,
        }
    }

    /// Sends all requests of the run.
    fn play(&mut self) {
        let start = self.clock.now();
        for number in 0.. {
            let now = start + PACE * number;
            if now >= self.ends {
                break;
            }
            self.finish(now);
            self.clock.advance_to(now);
            self.arrive(number, now);
        }
    }

    /// Ends the calls that are due.
    fn finish(&mut self, until: Instant) {
        while let Some(first) = self.under_way.first_entry() {
            let (at, _) = *first.key();
            if at > until {
                break;
            }
            let (ticket, end) = first.remove();
            self.clock.advance_to(at);
            self.breaker.record(ticket, end, at);
            self.seen.opened |= !self.breaker.is_closed();
        }
    }

    /// Sends a request, which the breaker admits or rejects.
    fn arrive(&mut self, number: u32, now: Instant) {
        let Some(ticket) = self.breaker.admit(now) else {
            self.last_rejected = Some(now);
            return;
        };
        let is_out = (self.begins..self.heals).contains(&now);
        self.seen.sent += u32::from(is_out);
        self.seen.sent_after += u32::from(is_out && self.seen.opened);
        let is_probe = !self.breaker.is_closed();
        let (takes, end) = self.answer(is_out, is_probe);
        self.under_way.insert((now + takes, number), (ticket, end));
    }

    /// Returns the duration and the end of an admitted call.
    fn answer(&mut self, is_out: bool, is_probe: bool) -> (Duration, End) {
        let end = if is_out { End::Failed } else { End::Succeeded };
        match self.probes {
            Probes::Slow(takes) if is_probe => (takes, end),
            Probes::Cancelled(most) if is_probe && !is_out && self.cancelled < most => {
                self.cancelled += 1;
                (Duration::from_secs(1), End::Cancelled)
            }
            _ => (ANSWER, end),
        }
    }

    /// Returns the observations of the run.
    fn observed(&self) -> Observed {
        let rejected = self.last_rejected.unwrap_or(self.heals);
        let whole = rejected.saturating_duration_since(self.heals);
        let is_whole = rejected + Duration::from_secs(1) < self.ends;
        Observed {
            whole: is_whole.then_some(whole.as_secs_f64()),
            ..self.seen
        }
    }
}
