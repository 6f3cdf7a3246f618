//! The quota of one unit: requests or tokens.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use steadfast_core::Reset;

/// The quota of an endpoint for one unit: the last reported value, less the usage since then.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QuotaWindow {
    /// The size of the whole quota, if known.
    pub limit: Option<u64>,
    /// The remaining amount.
    pub remaining: u64,
    /// The time until the reset, if known. Zero if that time has passed. Serialized in seconds.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "reset_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub reset: Option<Duration>,
    /// Whether the quota fills steadily until the reset, like a token bucket. Otherwise, nothing is
    /// added before the reset.
    pub fills_steadily: bool,
}

/// The amount that an attempt has taken from the quota of one unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    amount: u32,
    /// The epoch of the quota.
    epoch: u32,
}

impl Share {
    /// One unit, taken in this epoch.
    pub(super) fn one(epoch: NonZeroU32) -> Self {
        Self {
            amount: 1,
            epoch: epoch.get(),
        }
    }

    /// Returns the epoch, if one unit was taken. A quota is known from its first epoch on, which is
    /// 1.
    #[inline]
    pub(super) fn epoch_of_one(self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.epoch).filter(|_| self.amount == 1)
    }
}

/// The quota of one unit.
#[derive(Debug)]
pub(super) struct Window {
    /// The size of the whole quota.
    limit: AtomicU64,
    /// The remaining amount at `since`.
    remaining: AtomicU64,
    /// The time of `remaining`.
    since: AtomicU64,
    /// The time of the reset, if the quota does not fill steadily.
    reset: AtomicU64,
    /// The amount added per second, if the quota fills steadily: the bits of an `f64`.
    rate: AtomicU64,
    /// The number of reports and resets so far. An amount that was taken before the last one is not
    /// given back, because the value no longer lacks it.
    epoch: AtomicU32,
}

/// The divisor of the limit: a quota with at most this part left is nearly used up.
const NEARLY: u64 = 10;
/// The mark of an unknown value.
const UNKNOWN: u64 = u64::MAX;

impl Default for Window {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(UNKNOWN),
            remaining: AtomicU64::new(UNKNOWN),
            since: AtomicU64::new(0),
            reset: AtomicU64::new(UNKNOWN),
            rate: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
        }
    }
}

impl Window {
    /// Stores the reported values.
    pub(super) fn learn(
        &self,
        limit: Option<u64>,
        remaining: u64,
        reset: Option<Reset>,
        now: Duration,
    ) {
        let missing = limit.unwrap_or_default().saturating_sub(remaining) as f64;
        let (reset, rate) = match reset {
            Some(Reset::UntilFull(wait)) if missing > 0.0 && !wait.is_zero() => {
                (UNKNOWN, missing / wait.as_secs_f64())
            }
            Some(Reset::UntilFull(wait) | Reset::UntilWindow(wait)) => {
                (nanos(now.saturating_add(wait)), 0.0)
            }
            _ => (UNKNOWN, 0.0),
        };
        let order = Ordering::Relaxed;
        self.limit.store(limit.unwrap_or(UNKNOWN), order);
        self.since.store(nanos(now), order);
        self.reset.store(reset, order);
        self.rate.store(rate.to_bits(), order);
        self.remaining.store(remaining.min(UNKNOWN - 1), order);
        self.epoch.fetch_add(1, order);
    }

    /// Subtracts an amount that is sent.
    pub(super) fn take(&self, amount: u64, now: &impl Fn() -> Duration) -> Share {
        // Most endpoints report no quota, so they cost only one load.
        if self.remaining.load(Ordering::Relaxed) == UNKNOWN {
            return Share::default();
        }
        self.take_known(amount, now())
    }

    /// Subtracts an amount from a known quota.
    fn take_known(&self, amount: u64, now: Duration) -> Share {
        let order = Ordering::Relaxed;
        // The amount added until now is available.
        let Some(window) = self.at(now) else {
            return Share::default();
        };
        if window.is_exceeded_by(amount) {
            // The endpoint decides about this request, so the other requests keep the quota.
            return Share::default();
        }
        if window.reset == Some(Duration::ZERO) {
            // The end of the new window is unknown until the next response.
            self.reset.store(UNKNOWN, order);
            self.epoch.fetch_add(1, order);
        }
        // If the quota is not full, the fraction of a unit that has accrued is kept.
        let (since, rate) = (
            self.since.load(order),
            f64::from_bits(self.rate.load(order)),
        );
        let come = window.remaining.saturating_sub(self.remaining.load(order));
        let took = Duration::try_from_secs_f64(come as f64 / rate).unwrap_or(now);
        let is_full = window.limit.is_none_or(|limit| window.remaining >= limit);
        let since = match is_full {
            true => nanos(now),
            false => since.saturating_add(nanos(took)).min(nanos(now)),
        };
        self.since.store(since, order);
        let taken = amount.min(window.remaining);
        if come == 0 {
            // Nothing was added, so the changes of several attempts add up.
            self.change(|remaining| remaining.saturating_sub(taken));
        } else {
            self.remaining.store(window.remaining - taken, order);
        }
        Share {
            amount: u32::try_from(taken).unwrap_or(u32::MAX),
            epoch: self.epoch.load(order),
        }
    }

    /// Adds an amount that was taken, unless the quota was reported or reset meanwhile.
    pub(super) fn give_back(&self, share: Share) {
        let order = Ordering::Relaxed;
        if share.amount == 0 || share.epoch != self.epoch.load(order) {
            return;
        }
        let limit = self.limit.load(order).min(UNKNOWN - 1);
        self.change(|remaining| {
            let more = remaining.saturating_add(u64::from(share.amount));
            more.min(limit.max(remaining))
        });
    }

    /// Changes the remaining amount of a known quota.
    fn change(&self, change: impl Fn(u64) -> u64) {
        let order = Ordering::Relaxed;
        // It never fails, since the function always returns a value.
        let _ = (self.remaining).fetch_update(order, order, |remaining| Some(change(remaining)));
    }

    /// Returns the quota at `now`, if known.
    pub(super) fn at(&self, now: Duration) -> Option<QuotaWindow> {
        let order = Ordering::Relaxed;
        let remaining = self.remaining.load(order);
        if remaining == UNKNOWN {
            return None;
        }
        let known = |value: &AtomicU64| Some(value.load(order)).filter(|value| *value != UNKNOWN);
        let limit = known(&self.limit);
        let rate = f64::from_bits(self.rate.load(order));
        if let Some(limit) = limit.filter(|_| rate > 0.0) {
            let since = Duration::from_nanos(self.since.load(order));
            let come = rate * now.saturating_sub(since).as_secs_f64();
            // The cast saturates, and the amount does not grow beyond the limit.
            let remaining = remaining.saturating_add(come as u64);
            let remaining = remaining.min(limit.max(self.remaining.load(order)));
            let missing = limit.saturating_sub(remaining) as f64;
            return Some(QuotaWindow {
                limit: Some(limit),
                remaining,
                reset: Duration::try_from_secs_f64(missing / rate).ok(),
                fills_steadily: true,
            });
        }
        let reset = known(&self.reset).map(|at| at.saturating_sub(nanos(now)));
        let remaining = match (limit, reset) {
            (Some(limit), Some(0)) => limit.max(remaining),
            _ => remaining,
        };
        Some(QuotaWindow {
            limit,
            remaining,
            reset: reset.map(Duration::from_nanos),
            fills_steadily: false,
        })
    }

    /// Returns when `needed` is available, or `None` if no wait is needed or known.
    pub(super) fn ready_at(&self, needed: u64, now: Duration) -> Option<Duration> {
        let window = self.at(now)?;
        // A request above the whole limit would wait forever, so the endpoint decides.
        let fits = window.remaining >= needed || window.is_exceeded_by(needed);
        let wait = window.reset.filter(|wait| !fits && !wait.is_zero())?;
        let part = match window.limit {
            Some(limit) if window.fills_steadily => {
                let missing = (needed - window.remaining) as f64;
                missing / limit.saturating_sub(window.remaining).max(1) as f64
            }
            _ => 1.0,
        };
        Some(now.saturating_add(wait.mul_f64(part.clamp(0.0, 1.0))))
    }

    /// Returns the part of the limit that remains after `needed`, from 0 to 1.
    pub(super) fn headroom(&self, needed: u64, now: Duration) -> Option<f64> {
        let window = self.at(now)?;
        let limit = window.limit?.max(1) as f64;
        Some((window.remaining.saturating_sub(needed) as f64 / limit).min(1.0))
    }

    /// Returns the amount added per second, if the quota fills steadily and is nearly used up.
    pub(super) fn rate(&self, now: Duration) -> Option<f64> {
        let window = self.at(now)?;
        let is_used_up = window.remaining <= window.limit? / NEARLY;
        let rate = f64::from_bits(self.rate.load(Ordering::Relaxed));
        (rate > 0.0 && is_used_up).then_some(rate)
    }
}

impl QuotaWindow {
    /// Returns whether an amount is above the whole limit.
    fn is_exceeded_by(&self, amount: u64) -> bool {
        self.limit.is_some_and(|most| amount > most)
    }
}

/// Returns the time in nanoseconds, below the mark of an unknown value.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNKNOWN - 1)
}
