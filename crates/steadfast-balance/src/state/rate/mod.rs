//! What a limited endpoint takes, learned from what it refuses. No clock of its own.
//!
//! At each refusal the quota of an endpoint is used up. So what it took between two refusals,
//! divided by the time between them, is its rate: no header has to say so, and it does not matter
//! whether it is counted in a bucket, in windows, or together with other clients. From there the
//! rate grows as that of TCP CUBIC does: slowly around what is known to be right, and then faster
//! and faster, since the quota may have grown.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

/// Where a rate starts of which nothing is known, in attempts a second.
const FIRST: f64 = 4.0;
/// How often such a rate doubles in a second. It is found within one, and a small quota is not
/// exceeded by much.
const DOUBLINGS: f64 = 10.0;
/// No rate is lower: one attempt in 50 s.
const LEAST: f64 = 0.02;
/// A rate of which nothing is known is no limit any more when it has grown to this.
const NO_LIMIT: f64 = 4_096.0;
/// What a refusal leaves of the rate that was measured, so that the next one is some time away.
const BACK_OFF: f64 = 0.95;
/// The most that one refusal takes from a rate. It may come from a burst, and tell little.
const MOST_TAKEN: f64 = 0.3;
/// A measurement counts in full when it is one of so many attempts.
const CONFIDENT: f64 = 10.0;
/// A rate reaches what was known after the time for so many attempts, and at least
/// [`SHORTEST_RETURN`].
const RETURN_ATTEMPTS: f64 = 5.0;
const SHORTEST_RETURN: f64 = 5.0;
/// A refusal that finds the rate as it was known makes the next return so many times longer, up to
/// [`LONGEST_RETURN`]: there is less to find out, and each refusal costs a part of the quota.
const STEADIER: f64 = 1.5;
const LONGEST_RETURN: f64 = 60.0;
/// How far a rate may be from what was known and still be the same.
const SAME: f64 = 0.1;
/// A rate is forgotten when it was not refused although that was due, and so many times the
/// shorter time of its return have passed since.
const FORGOTTEN: f64 = 6.0;
/// The most that an endpoint is taken to have saved up, in seconds of its rate.
const LONGEST_BURST: f64 = 1.0;
const SHORTEST_BURST: f64 = 0.05;

/// How many attempts a second an endpoint may get, one token each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// What it was last seen to take, in attempts a second.
    known: Option<f64>,
    /// Whether the endpoint only says so, and nothing was measured yet.
    seeded: bool,
    /// When it was last refused.
    refused: Instant,
    /// From when on the rate has grown. Later than it was if there was no use for the growth.
    grows_from: Instant,
    /// When it may be sent to after its last pause.
    resumed: Instant,
    tokens: f64,
    filled: Instant,
    /// When the last attempt was sent.
    sent: Instant,
    /// For how many seconds no token was missing.
    idle: f64,
    /// How much it takes at once, in seconds of its rate.
    burst: f64,
    /// How many seconds a return takes at least.
    shortest_return: f64,
    measured: Measured,
}

/// What was sent since the tokens of an endpoint were last known: none after a refusal, or all of
/// them after a quiet time.
#[derive(Clone, Copy, Debug)]
struct Measured {
    since: Instant,
    sent: f64,
    /// What it had saved up at that time, in seconds of its rate.
    saved: f64,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: None,
            seeded: false,
            refused: now,
            grows_from: now,
            resumed: now,
            tokens: 0.0,
            filled: now,
            sent: now,
            idle: 0.0,
            burst: LONGEST_BURST,
            shortest_return: SHORTEST_RETURN,
            measured: Measured::from(now, 0.0),
        }
    }

    #[cfg(test)]
    pub(crate) fn knowing(per_second: f64, now: Instant) -> Self {
        Self {
            known: Some(per_second.max(LEAST)),
            ..Self::new(now)
        }
    }

    /// Returns what the endpoint was seen to take, in attempts a second.
    pub(crate) fn known(&self) -> Option<f64> {
        self.known
    }

    /// Returns the same if the last refusal has confirmed it.
    pub(crate) fn confirmed(&self) -> Option<f64> {
        self.known
            .filter(|_| self.shortest_return > SHORTEST_RETURN)
    }

    /// Returns the tokens that are there, in seconds of the rate, if that is known.
    pub(crate) fn saved(&mut self, now: Instant) -> Option<f64> {
        let known = self.known?;
        self.refill(now);
        Some(self.tokens / known)
    }

    /// Learns from a refusal. The first one says nothing: nobody has counted before it.
    pub(crate) fn refused(&mut self, now: Instant) {
        if self.measured.sent > 0.0 {
            let found = match self.known {
                Some(_) if !self.seeded => Some(self.measured.correct(self.at(now), now)),
                // What was measured counts, however far it is from what the endpoint says.
                _ => self.measured.first(now),
            };
            if let Some(found) = found {
                self.learn(found.max(LEAST));
            }
            self.learn_burst(now);
        }
        self.refused = now;
        self.grows_from = now;
    }

    /// Takes what the endpoint says it allows for what it takes, as long as nothing was measured.
    pub(crate) fn seed(&mut self, per_second: f64) {
        if self.known.is_none() && per_second <= NO_LIMIT {
            self.known = Some(per_second.max(LEAST));
            self.seeded = true;
        }
    }

    fn learn(&mut self, found: f64) {
        self.shortest_return = match self.known {
            Some(known) if (found / known - 1.0).abs() < SAME => {
                (self.shortest_return * STEADIER).min(LONGEST_RETURN)
            }
            _ => SHORTEST_RETURN,
        };
        self.known = Some(found);
        self.seeded = false;
    }

    /// Tokens that were saved up and spent at once, right after a pause, may have been too many.
    fn learn_burst(&mut self, now: Instant) {
        self.burst = if seconds(self.resumed, now) < LONGEST_BURST {
            (self.burst / 2.0).max(SHORTEST_BURST)
        } else {
            (self.burst * 1.25).min(LONGEST_BURST)
        };
    }

    /// Begins a time in which the endpoint gets nothing, and the rate does not grow.
    pub(crate) fn pause(&mut self, now: Instant, until: Instant) {
        let pause = until.saturating_duration_since(now);
        self.grows_from = saturating_add(self.grows_from.min(now), pause);
        self.refused = saturating_add(self.refused.min(now), pause);
        self.resumed = until;
        self.tokens = 0.0;
        self.filled = now;
        self.idle = 0.0;
        self.measured = Measured::from(now, 0.0);
    }

    /// Ends that time early.
    pub(crate) fn resume(&mut self, now: Instant) {
        let left = self.resumed.saturating_duration_since(now);
        self.grows_from = self.grows_from.checked_sub(left).unwrap_or(now);
        self.refused = self.refused.checked_sub(left).unwrap_or(now);
        self.resumed = self.resumed.min(now);
    }

    /// Counts an attempt that is sent although no token may be there.
    pub(crate) fn send(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.sent = now;
        self.idle = 0.0;
        self.measured.sent += 1.0;
    }

    /// Takes a token, if there is one.
    pub(crate) fn try_send(&mut self, now: Instant) -> bool {
        self.refill(now);
        let sends = self.tokens >= 1.0;
        if sends {
            self.send(now);
        }
        sends
    }

    /// Takes a token no sooner after the last one than the rate says, whatever was saved up.
    pub(crate) fn try_send_at_rate(&mut self, now: Instant) -> bool {
        self.next_at_rate(now) <= now && self.try_send(now)
    }

    pub(crate) fn next_at_rate(&mut self, now: Instant) -> Instant {
        let gap = Duration::from_secs_f64(1.0 / self.at(now));
        saturating_add(self.sent, gap).max(self.next(now))
    }

    /// Gives back the token of an attempt that was not sent.
    pub(crate) fn unsend(&mut self) {
        self.tokens += 1.0;
        self.measured.sent = (self.measured.sent - 1.0).max(0.0);
    }

    /// Returns when the next token is there.
    pub(crate) fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.at(now))
    }

    /// Returns whether there was no refusal for so long that the rate is no limit any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        match self.known {
            Some(known) => {
                let [back, soon] = self.times_to_return(known);
                seconds(self.refused, now) >= 2.0 * back + FORGOTTEN * soon
            }
            None => self.at(now) >= NO_LIMIT,
        }
    }

    /// The rate at an instant.
    fn at(&self, now: Instant) -> f64 {
        let time = seconds(self.grows_from, now);
        let Some(known) = self.known else {
            return FIRST * (DOUBLINGS * time.min(6.0)).exp2();
        };
        let [back, soon] = self.times_to_return(known);
        // A refusal is due by now. Without one the quota has grown, and that is soon found out.
        let way = if time > 2.0 * back {
            1.0 + (time - 2.0 * back) / soon
        } else {
            (time - back) / back
        };
        known * (1.0 + (1.0 - BACK_OFF) * way.powi(3))
    }

    /// The seconds after which the rate has come back to what was known, and after which it would
    /// have if that were less sure.
    fn times_to_return(&self, known: f64) -> [f64; 2] {
        let attempts = RETURN_ATTEMPTS / known;
        [self.shortest_return, SHORTEST_RETURN].map(|shortest| attempts.max(shortest))
    }

    fn refill(&mut self, now: Instant) {
        let rate = self.at(now);
        let most = (rate * self.burst).max(1.0);
        self.tokens += rate * seconds(self.filled, now);
        if self.tokens >= most {
            self.idle += (self.tokens - most) / rate;
            self.tokens = most;
            self.stand_idle(most / rate, now);
        }
        self.filled = self.filled.max(now);
    }

    /// All tokens are there, so nobody needs the rate to grow, and after a while the endpoint has
    /// saved up all that it can, too.
    fn stand_idle(&mut self, saved: f64, now: Instant) {
        let back = (self.known).map_or(f64::INFINITY, |known| self.times_to_return(known)[0]);
        if seconds(self.grows_from, now) > back {
            let unused = now.saturating_duration_since(self.filled);
            self.grows_from = saturating_add(self.grows_from, unused).min(now);
        }
        if self.idle >= saved / 2.0 {
            self.measured = Measured::from(now, saved);
        }
    }
}

impl Measured {
    fn from(since: Instant, saved: f64) -> Self {
        Self {
            since,
            sent: 0.0,
            saved,
        }
    }

    /// What was taken in the mean. The last attempt, which was refused, is taken for half of one.
    fn mean(&self, now: Instant) -> f64 {
        let time = seconds(self.since, now) + self.saved;
        (self.sent - 0.5).max(0.0) / time.max(f64::EPSILON)
    }

    /// A rate where none was known. Few attempts after a quiet time say nothing of one.
    fn first(&self, now: Instant) -> Option<f64> {
        let tells = self.saved == 0.0 || self.sent >= CONFIDENT;
        tells.then(|| self.mean(now))
    }

    /// Corrects a rate that was too high.
    fn correct(&self, rate: f64, now: Instant) -> f64 {
        let confidence = (self.sent / CONFIDENT).min(1.0);
        self.mean(now)
            .clamp(rate * (1.0 - MOST_TAKEN * confidence), rate)
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests;
