//! What a breaker does in an outage and after it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;
use super::{Breaker, End, PACE, Row, Ticket};

/// When the outage begins, after as much traffic that is well.
const BEGINS: Duration = Duration::from_secs(120);
/// The least and the greatest length. If all were as long as open times are, it would be luck
/// which probe just comes too early.
const LASTS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(90));
/// How long is waited for the traffic to be whole again.
const AFTER: Duration = Duration::from_secs(150);
const ANSWER: Duration = Duration::from_millis(50);

/// How calls go that are let through while the breaker is not closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Probes {
    /// Like all others.
    Usual,
    /// Each takes this time, as caches are cold.
    Slow(Duration),
    /// After the outage, the callers of this number of probes cancel before the answer.
    Cancelled(u32),
}

/// The observation of an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// The requests that were sent into the outage, and of these those after it had opened.
    pub(crate) sent: u32,
    pub(crate) sent_after: u32,
    /// The seconds from the end of the outage until no request is rejected any more.
    pub(crate) whole: Option<f64>,
    pub(crate) opened: bool,
}

impl Observed {
    /// Runs `runs` outages of each length.
    pub(crate) fn of(row: &Row, probes: Probes, runs: u32) -> Vec<Self> {
        let (least, most) = LASTS;
        let step = (most - least) / (2 * runs);
        (0..runs)
            .map(|n| Self::of_one(row, probes, least + step * (2 * n + 1), n.into()))
            .collect()
    }

    fn of_one(row: &Row, probes: Probes, lasts: Duration, seed: u64) -> Self {
        Clock::run(|clock| {
            let mut run = Run::new(row.make(seed), clock, probes, lasts);
            run.play();
            run.observed()
        })
    }
}

struct Run<'a> {
    breaker: Box<dyn Breaker>,
    clock: &'a Clock,
    probes: Probes,
    begins: Instant,
    heals: Instant,
    ends: Instant,
    /// Calls in flight, by the time of their end and then by their number.
    under_way: BTreeMap<(Instant, u32), (Ticket, End)>,
    cancelled: u32,
    seen: Observed,
    last_rejected: Option<Instant>,
}

impl<'a> Run<'a> {
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

    /// Ends all calls that are due.
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
