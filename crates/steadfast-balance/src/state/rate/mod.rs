//! The send rate of a limited endpoint, learned from its refusals. Callers pass the time.
//!
//! At each refusal the quota of an endpoint is used up. The send rate is the number of attempts
//! between two refusals, divided by the time between them. It needs no header. It is independent of
//! the quota type: a token bucket, windows, or a quota shared with other clients. From there the
//! rate grows as in TCP CUBIC: slowly around the known rate, then faster, since the quota may have
//! grown. A refusal that is overdue while requests queue lets the rate double.
//!
//! The premise is that a quota causes the refusals. It fails if they come before the rate has
//! returned to the known value, again and again: then the rate is disproved. It also fails if the
//! rate does not reduce the refusals: see [`futility`].

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use self::futility::Futility;

/// The start of an unknown rate, in attempts per second.
const FIRST: f64 = 4.0;
/// The doublings of an unknown rate per second. The rate is found within a second, and a small
/// quota is exceeded only slightly.
const DOUBLINGS: f64 = 10.0;
/// The lowest rate, in attempts per second: one attempt in 50 s.
const LEAST: f64 = 0.02;
/// If an unknown rate grows to this many attempts per second, it is no longer a limit.
const NO_LIMIT: f64 = 4_096.0;
/// The share of the known rate right after a refusal, which delays the next refusal.
const BACK_OFF: f64 = 0.95;
/// The largest share that one refusal takes from a rate. A refusal after a burst measures little.
const MOST_TAKEN: f64 = 0.3;
/// The number of attempts from which a measurement counts in full.
const CONFIDENT: f64 = 10.0;
/// The return to the known rate takes the time of this number of attempts. A refusal is due after
/// twice the time, so at most one attempt of sixty tests the rate.
const RETURN_ATTEMPTS: f64 = 30.0;
/// The same number before a second measurement has confirmed the rate.
const FIRST_RETURN_ATTEMPTS: f64 = 10.0;
/// The shortest return to the known rate, in seconds.
const SHORTEST_RETURN: f64 = 1.5;
/// The longest return to the known rate, in seconds, or in attempts if these take longer.
const LONGEST_RETURN: (f64, f64) = (60.0, 5.0);
/// A refusal is overdue after this number of return times. From there on the rate doubles.
const OVERDUE: f64 = 2.5;
/// An overdue rate doubles in the time of this number of attempts, and at least in
/// [`SHORTEST_DOUBLING`] and in twice the response time of a refusal.
const DOUBLING_ATTEMPTS: f64 = 5.0;
/// The shortest doubling of an overdue rate, in seconds.
const SHORTEST_DOUBLING: f64 = 0.25;
/// The time after a pause in which a few attempts measure a rate, in seconds.
const SOON: f64 = 2.0;
/// The quiet time after which the measurement of an unknown rate starts again, in seconds.
const QUIET: f64 = 5.0;
/// If more tokens than these remain, no request waits for a token: a number, and a time of the rate
/// in seconds.
const UNUSED: (f64, f64) = (2.0, 0.04);
/// If a rate grows to this multiple without a refusal, it is no longer a limit.
const NO_LIMIT_FACTOR: f64 = 8.0;
/// The relative difference below which a measurement confirms the known rate.
const SAME: f64 = 0.1;
/// A rate is forgotten if an overdue refusal is missing for this number of seconds, or of
/// attempts, if these take longer. The second number holds for a rate in use: a quota that is
/// nearly used up may refuse nothing for minutes, and the next refusals would cost cooldowns.
const FORGOTTEN: (f64, f64) = (30.0, 300.0);
/// A refusal is early if it comes before this part of the return.
const EARLY: f64 = 0.8;
/// A refusal of a rate below this part of the known rate is early too.
const WELL_BELOW: f64 = 0.7;
/// The excess of early refusals that disproves a rate.
const DISPROOF: u32 = 4;
/// The early refusals that one confirmed refusal takes back. Windows refuse about half of the next
/// attempts, and chance refuses few of them.
const CONFIRMED: u32 = 2;
/// The upper bound of the burst, in seconds of the rate.
const LONGEST_BURST: f64 = 1.0;
/// A burst of this size explains no refusal, in seconds of the rate.
const SMALL_BURST: f64 = 0.25;
/// The time constant of recent attempts: a number of seconds, or of attempts if these take longer.
/// An endpoint gets back within it what it has missed, such as the requests of a cooldown.
const RECENT: (f64, f64) = (20.0, 20.0);
/// The part of its growth with which a confirmed rate gets attempts. A small part suffices to find
/// rates that are a little too low, and hardly changes the shares of the endpoints.
const GROWTH_IN_SHARES: f64 = 0.3;
/// A rate is in use from this share of recent attempts on.
const IN_USE: f64 = 0.7;
/// The lower bound of the burst, in seconds of the rate.
const SHORTEST_BURST: f64 = 0.05;

/// The send rate of an endpoint, as a token bucket with one token per attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// The learned rate, in attempts per second.
    known: Option<f64>,
    /// Whether `known` is a claim of the endpoint without a measurement.
    seeded: bool,
    /// The instant of the last refusal, later by each pause since.
    refused: Instant,
    /// The start of the growth. It moves later during pauses and while the growth is unused.
    grows_from: Instant,
    /// The end of the last pause.
    resumed: Instant,
    /// The tokens at `filled`.
    tokens: f64,
    /// The instant of the last refill.
    filled: Instant,
    /// The instant of the last attempt.
    sent: Instant,
    /// The recent attempts at the instant `sent`. Older ones fade.
    recent: f64,
    /// The seconds without a missing token.
    idle: f64,
    /// The size of the token bucket, in seconds of the rate.
    burst: f64,
    /// Whether the last measurement confirmed the known rate.
    confirmed: bool,
    /// The excess of early refusals.
    early: u32,
    /// Whether the next attempt will show if the last refusal was an early one.
    suspect: bool,
    /// The refusals in spite of the rate.
    futility: Futility,
    /// The response time of the last refusal, in seconds.
    took: f64,
    /// The measurement in progress.
    measured: Measured,
}

/// The attempts since the tokens of the endpoint were last known. It has no tokens after a refusal,
/// and all of them after a quiet time.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// The start of the measurement.
    since: Instant,
    /// The attempts since the start.
    sent: f64,
    /// The tokens of the endpoint at the start, in seconds of the rate.
    saved: f64,
}

impl Rate {
    /// Creates an unknown rate.
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
            recent: 0.0,
            idle: 0.0,
            burst: LONGEST_BURST,
            confirmed: false,
            early: 0,
            suspect: false,
            futility: Futility::default(),
            took: 0.0,
            measured: Measured::from(now, 0.0),
        }
    }

    /// Creates a known rate, in attempts per second.
    #[cfg(test)]
    pub(crate) fn knowing(per_second: f64, now: Instant) -> Self {
        Self {
            known: Some(per_second.max(LEAST)),
            ..Self::new(now)
        }
    }

    /// Returns the known rate, in attempts per second.
    pub(crate) fn known(&self) -> Option<f64> {
        self.known
    }

    /// Returns whether the known rate is a measurement.
    pub(crate) fn is_measured(&self) -> bool {
        self.known.is_some() && !self.seeded
    }

    /// Returns whether the known rate is a claim of the endpoint, which needs no test.
    pub(crate) fn is_claimed(&self) -> bool {
        self.seeded
    }

    /// Returns the known rate, if the last measurement confirmed it.
    pub(crate) fn confirmed(&self) -> Option<f64> {
        self.known.filter(|_| self.confirmed)
    }

    /// Returns the share of the rate that recent attempts have used, if the rate is known. A rate
    /// that may be too low counts with its growth, so that it gets the attempts that correct it.
    pub(crate) fn used(&self, now: Instant) -> Option<f64> {
        let known = self.known?;
        let growth = self.at(now) / known - 1.0;
        let part = if self.confirmed {
            GROWTH_IN_SHARES
        } else {
            1.0
        };
        // Half of the next attempt counts. With all of it, small rates would get less than their
        // share, and more without it.
        Some((self.recent(now) + 0.5) / (most_recent(known) * (1.0 + part * growth)))
    }

    /// Returns the recent attempts.
    fn recent(&self, now: Instant) -> f64 {
        let rate = self.known.unwrap_or(FIRST);
        self.recent * (-seconds(self.sent, now) * rate / most_recent(rate)).exp()
    }

    /// Returns whether the refusals are independent of the rate. A quota does not refuse attempts
    /// below its own rate. While the rate may be futile, the sum decides.
    pub(crate) fn is_disproved(&self) -> bool {
        self.early >= DISPROOF && !self.futility.is_doubtful()
    }

    /// Counts the refusal of an attempt within the rate. Returns whether the rate is futile: it
    /// does not reduce the refusals. More are needed if other evidence suggests a quota.
    pub(crate) fn is_futile_after_refusal(&mut self, is_quota_likely: bool) -> bool {
        // No lower rate would have fewer refusals yet, or a measurement has not replaced the claim.
        let is_final = self.known.is_some_and(|known| known <= LEAST) || self.seeded;
        !is_final && self.futility.refused(is_quota_likely)
    }

    /// Marks a first rate as one that may be futile.
    pub(crate) fn doubt(&mut self) {
        if self.known.is_some() {
            self.futility = Futility::doubtful();
        }
    }

    /// Returns whether the served attempts within the rate do not outweigh its last refusals.
    pub(crate) fn is_refused(&self) -> bool {
        self.futility.is_refused()
    }

    /// Returns whether the rate has not reduced the refusals yet.
    pub(crate) fn is_unproven(&self) -> bool {
        self.futility.is_unproven()
    }

    /// Returns the refused and the served attempts within the rate since a time with few refusals.
    pub(crate) fn outcomes(&self) -> (f64, f64) {
        self.futility.outcomes()
    }

    /// Returns whether a refusal is no surprise, because the rate is about as high as the known
    /// one. An early refusal has another cause than this rate alone.
    pub(crate) fn is_refusal_due(&self, now: Instant) -> bool {
        self.known.is_some_and(|known| {
            seconds(self.grows_from, now) >= EARLY * self.time_to_return(known)
                && self.measured.mean(now) >= WELL_BELOW * known
        })
    }

    /// Sets the response time of refusals. An overdue rate does not double faster than refusals
    /// can arrive.
    pub(crate) fn set_response_time(&mut self, took: Duration) {
        self.took = took.as_secs_f64();
    }

    /// Learns from a refusal. The first one teaches nothing, because no attempt was counted before
    /// it.
    ///
    /// If the next attempt tests it before its hint ends, an early refusal does not count yet.
    pub(crate) fn refused(&mut self, is_tested: bool, now: Instant) {
        if self.measured.sent > 0.0 {
            self.count_early(is_tested, now);
            if let Some(found) = self.measure(now) {
                self.learn(found.max(LEAST));
            }
            self.learn_burst(now);
        }
        self.refused = now;
        self.grows_from = now;
    }

    /// Returns the measured rate at a refusal, if the measurement suffices.
    fn measure(&self, now: Instant) -> Option<f64> {
        match self.known {
            // Beyond the known rate, the growth was a guess.
            Some(known) if !self.seeded => {
                let most = self.measured.raise(self.at(now), now);
                let most = most.min(known / (1.0 - MOST_TAKEN));
                Some(self.measured.correct(most, now))
            }
            // The first measurement replaces the claim of the endpoint, at any difference.
            _ => self.measured.first(seconds(self.resumed, now) < SOON, now),
        }
    }

    /// Continues at the lower rate after a refusal, without a pause. The endpoint has no tokens.
    pub(crate) fn slow_down(&mut self, now: Instant) {
        self.tokens = 0.0;
        self.filled = now;
        self.idle = 0.0;
        self.measured = Measured::from(now, 0.0);
    }

    /// Counts a refusal that came too early, or takes one back.
    fn count_early(&mut self, is_tested: bool, now: Instant) {
        // A refusal right after a pause has another explanation: a burst that is too large.
        let is_burst = seconds(self.resumed, now) < LONGEST_BURST && self.burst > SMALL_BURST;
        if self.known.is_none() || self.seeded || is_burst {
            return;
        }
        let is_due = self.is_refusal_due(now);
        self.suspect = is_tested && !is_due;
        self.early = match is_due {
            true => self.early.saturating_sub(1),
            false => (self.early + u32::from(!is_tested)).min(DISPROOF),
        };
    }

    /// Sets the rate to the claim of the endpoint, if no rate is known. A claim above [`NO_LIMIT`]
    /// is ignored.
    pub(crate) fn seed(&mut self, per_second: f64) {
        if self.known.is_none() && per_second <= NO_LIMIT {
            self.known = Some(per_second.max(LEAST));
            self.seeded = true;
        }
    }

    /// Sets the known rate to a measurement.
    fn learn(&mut self, found: f64) {
        let known = self.known;
        if known.is_none() {
            // The quota was used up at its first refusal.
            self.recent = self.recent.max(most_recent(found));
        }
        self.confirmed = known.is_some_and(|known| (found / known - 1.0).abs() < SAME);
        self.known = Some(found);
        self.seeded = false;
    }

    /// Adapts the burst. If a refusal follows soon after a pause, the saved tokens may be too many.
    fn learn_burst(&mut self, now: Instant) {
        self.burst = if seconds(self.resumed, now) < LONGEST_BURST {
            (self.burst / 2.0).max(SHORTEST_BURST)
        } else {
            (self.burst * 1.25).min(LONGEST_BURST)
        };
    }

    /// Begins a pause without attempts and without growth of the rate.
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

    /// Ends the pause early.
    pub(crate) fn resume(&mut self, now: Instant) {
        let left = self.resumed.saturating_duration_since(now);
        self.grows_from = self.grows_from.checked_sub(left).unwrap_or(now);
        self.refused = self.refused.checked_sub(left).unwrap_or(now);
        self.resumed = self.resumed.min(now);
    }

    /// Counts an attempt within the rate.
    pub(crate) fn send_within(&mut self, now: Instant) {
        self.send(now);
        self.futility.sent();
    }

    /// Counts an attempt, even if no token is present.
    pub(crate) fn send(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.recent = self.recent(now) + 1.0;
        self.sent = now;
        self.idle = 0.0;
        self.measured.sent += 1.0;
    }

    /// Takes a token, if one is present. Returns whether it did.
    pub(crate) fn try_send(&mut self, now: Instant) -> bool {
        self.refill(now);
        let sends = self.tokens >= 1.0;
        if sends {
            self.send_within(now);
        }
        sends
    }

    /// Takes a token, if the last attempt is at least one interval of the rate ago. Saved tokens do
    /// not shorten the interval.
    pub(crate) fn try_send_at_rate(&mut self, now: Instant) -> bool {
        self.next_at_rate(now) <= now && self.try_send(now)
    }

    /// Returns the earliest instant of the next attempt without a burst.
    pub(crate) fn next_at_rate(&mut self, now: Instant) -> Instant {
        let gap = Duration::from_secs_f64(1.0 / self.at(now));
        saturating_add(self.sent, gap).max(self.next(now))
    }

    /// Returns the token of an unsent attempt to the token bucket.
    pub(crate) fn unsend(&mut self) {
        self.tokens += 1.0;
        self.recent = (self.recent - 1.0).max(0.0);
        self.measured.sent = (self.measured.sent - 1.0).max(0.0);
    }

    /// Returns the instant of the last refusal, later by each pause since.
    pub(crate) fn last_refusal(&self) -> Instant {
        self.refused
    }

    /// Returns the instant of the last attempt.
    pub(crate) fn sent(&self) -> Instant {
        self.sent
    }

    /// Removes an attempt from the measurement, because it was refused without a verdict on the
    /// rate.
    pub(crate) fn unserved(&mut self) {
        self.measured.sent = (self.measured.sent - 1.0).max(0.0);
    }

    /// Takes an early refusal back, because the next attempt was refused as well.
    pub(crate) fn confirm(&mut self) {
        if std::mem::take(&mut self.suspect) {
            self.early = self.early.saturating_sub(CONFIRMED);
        }
    }

    /// Counts an early refusal, because the next attempt was served before the end of the hint.
    /// Returns whether the rate is disproved.
    pub(crate) fn contradict(&mut self) -> bool {
        let is_early = std::mem::take(&mut self.suspect);
        self.early = (self.early + u32::from(is_early)).min(DISPROOF);
        self.is_disproved()
    }

    /// Returns the instant of the next token.
    pub(crate) fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.at(now))
    }

    /// Returns whether the time without a refusal shows that the rate is no longer a limit.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        self.stop_unused_growth(now);
        match self.known {
            Some(known) => {
                let overdue = OVERDUE * self.time_to_return(known);
                let in_use = self.recent(now) >= IN_USE * most_recent(known);
                let forgotten = if in_use { FORGOTTEN.1 } else { FORGOTTEN.0 };
                let forgotten = forgotten.max(forgotten / known);
                seconds(self.refused, now) >= overdue + forgotten
                    || self.at(now).max(self.measured.exceeded(now)) >= NO_LIMIT_FACTOR * known
            }
            // Counts attempts for a while, so that the next refusal finds a rate.
            None => seconds(self.resumed, now) >= FORGOTTEN.0 && self.at(now) >= NO_LIMIT,
        }
    }

    /// Returns the rate at an instant, in attempts per second.
    fn at(&self, now: Instant) -> f64 {
        let time = seconds(self.grows_from, now);
        let Some(known) = self.known else {
            return FIRST * (DOUBLINGS * time.min(6.0)).exp2();
        };
        let back = self.time_to_return(known);
        let way = (time / back).min(OVERDUE) - 1.0;
        let grown = known * (1.0 + (1.0 - BACK_OFF) * way.powi(3));
        // A refusal is overdue. Without one the quota has grown, so the rate grows faster.
        let overdue = (time - OVERDUE * back).max(0.0);
        let doubling = (DOUBLING_ATTEMPTS / known).max(2.0 * self.took);
        grown * (overdue / doubling.max(SHORTEST_DOUBLING)).min(6.0).exp2()
    }

    /// Returns the seconds until the return to a known rate.
    fn time_to_return(&self, known: f64) -> f64 {
        let (longest, fewest) = LONGEST_RETURN;
        let attempts = if self.confirmed {
            RETURN_ATTEMPTS
        } else {
            FIRST_RETURN_ATTEMPTS
        };
        (attempts / known)
            .min(longest.max(fewest / known))
            .max(SHORTEST_RETURN)
    }

    /// Adds the tokens since the last refill, up to the burst.
    fn refill(&mut self, now: Instant) {
        self.stop_unused_growth(now);
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

    /// Stops the growth of an overdue rate, if tokens remained since the last refill: no request
    /// waited for one.
    fn stop_unused_growth(&mut self, now: Instant) {
        let Some(known) = self.known else {
            return;
        };
        let rate = self.at(self.filled);
        let unused = self.tokens + rate * seconds(self.filled, now);
        let overdue = OVERDUE * self.time_to_return(known);
        let grown = seconds(self.grows_from, self.filled).max(overdue);
        if unused > UNUSED.0.max(rate * UNUSED.1) && seconds(self.grows_from, now) > grown {
            let grown = Duration::from_secs_f64(grown);
            self.grows_from = now.checked_sub(grown).unwrap_or(now);
        }
    }

    /// Handles a full token bucket. A full bucket needs no growth of the rate. After a quiet time
    /// the endpoint has all its tokens too, so a new measurement starts.
    fn stand_idle(&mut self, saved: f64, now: Instant) {
        let back = (self.known).map_or(f64::INFINITY, |known| self.time_to_return(known));
        if seconds(self.grows_from, now) > back {
            let unused = now.saturating_duration_since(self.filled);
            self.grows_from = saturating_add(self.grows_from, unused).min(now);
        }
        // An unknown rate is unlimited, so its bucket is always full.
        let quiet = self.known.map_or(QUIET, |_| saved / 2.0);
        if self.idle >= quiet {
            self.measured = Measured::from(now, saved);
        }
    }
}

impl Measured {
    /// Starts a measurement.
    fn from(since: Instant, saved: f64) -> Self {
        Self {
            since,
            sent: 0.0,
            saved,
        }
    }

    /// Returns the mean rate. The last attempt was refused and counts as half an attempt.
    fn mean(&self, now: Instant) -> f64 {
        let time = seconds(self.since, now) + self.saved;
        (self.sent - 0.5).max(0.0) / time.max(f64::EPSILON)
    }

    /// Returns the mean rate of many attempts without a refusal, or zero after a few. Early
    /// attempts exceed a known rate.
    fn exceeded(&self, now: Instant) -> f64 {
        if self.sent >= CONFIDENT {
            self.mean(now)
        } else {
            0.0
        }
    }

    /// Returns a first rate. A few attempts measure none, unless the refusal follows `soon` after
    /// a pause.
    fn first(&self, soon: bool, now: Instant) -> Option<f64> {
        let tells = soon && self.saved == 0.0 || self.sent >= CONFIDENT;
        tells.then(|| self.mean(now))
    }

    /// Returns a higher rate in place of `rate`, if more attempts were served.
    fn raise(&self, rate: f64, now: Instant) -> f64 {
        let confidence = (self.sent / CONFIDENT).min(1.0);
        rate + (self.mean(now) - rate).max(0.0) * confidence
    }

    /// Returns a lower rate in place of `rate`, which was too high.
    fn correct(&self, rate: f64, now: Instant) -> f64 {
        let confidence = (self.sent / CONFIDENT).min(1.0);
        self.mean(now)
            .clamp(rate * (1.0 - MOST_TAKEN * confidence), rate)
    }
}

/// Returns the recent attempts at an endpoint that gets exactly this rate.
fn most_recent(rate: f64) -> f64 {
    let (seconds, attempts) = RECENT;
    (rate * seconds).max(attempts)
}

/// Returns the seconds between two instants, or zero if `to` is earlier.
fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

mod futility;
#[cfg(test)]
mod tests;
