//! How long an answer takes.
//!
//! The distributions have the shape of measured services: a median, and a tail that is heavier than
//! an exponential one.

use std::time::Duration;

use fastrand::Rng;

use crate::world::random::normal;

/// How long an answer takes, beside the time that it waits for its turn.
///
/// | Distribution | Mean | 99th percentile |
/// |---|---|---|
/// | lognormal, sigma 0.5 | 1.13 × median | 3.2 × median |
/// | lognormal, sigma 1 | 1.65 × median | 10.2 × median |
/// | Pareto, exponent 2 | 2 × least time | 10 × least time |
/// | Pareto, exponent 1.5 | 3 × least time | 21.5 × least time |
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// The same time always.
    Constant(Duration),
    /// Lognormal, by its median and the standard deviation of its logarithm. Most services look
    /// like this; 0.5 is usual, and from 1 on the tail is heavy.
    LogNormal(Duration, f64),
    /// Pareto, by its least time and its exponent: a tail heavier than any lognormal one. With an
    /// exponent of 2 or less its variance is infinite.
    Pareto(Duration, f64),
    /// Lognormal, but for a share of stragglers that take longer by a factor.
    Stragglers {
        /// Half of the answers are faster.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// The share of stragglers, from 0 to 1.
        share: f64,
        /// How many times longer they take.
        factor: f64,
    },
}

impl Latency {
    /// No latency is longer. A Pareto tail has no end, and a run must have one.
    pub const MAX: Duration = Duration::from_secs(3600);

    /// Draws the time of one success.
    pub(crate) fn draw(self, rng: &mut Rng) -> Duration {
        let (time, factor) = match self {
            Self::Constant(time) => (time, 1.0),
            Self::LogNormal(median, sigma) => (median, (sigma * normal(rng)).exp()),
            Self::Pareto(least, exponent) => (least, (1.0 - rng.f64()).powf(-1.0 / exponent)),
            Self::Stragglers {
                median,
                sigma,
                share,
                factor,
            } => {
                let slow = if rng.f64() < share { factor } else { 1.0 };
                (median, slow * (sigma * normal(rng)).exp())
            }
        };
        scaled(time, factor)
    }

    /// Returns the mean.
    ///
    /// The mean of a lognormal distribution is `median × exp(sigma² / 2)`. The mean of a Pareto
    /// distribution with an exponent of 1 or less is infinite, and returned as [`MAX`](Self::MAX).
    #[must_use]
    pub fn mean(self) -> Duration {
        let lognormal = |sigma: f64| (sigma * sigma / 2.0).exp();
        match self {
            Self::Constant(time) => time,
            Self::LogNormal(median, sigma) => scaled(median, lognormal(sigma)),
            Self::Pareto(least, exponent) if exponent > 1.0 => {
                scaled(least, exponent / (exponent - 1.0))
            }
            Self::Pareto(..) => Self::MAX,
            Self::Stragglers {
                median,
                sigma,
                share,
                factor,
            } => scaled(median, lognormal(sigma) * (1.0 + share * (factor - 1.0))),
        }
    }
}

/// Returns a time multiplied by `factor`, at most [`Latency::MAX`].
pub(crate) fn scaled(time: Duration, factor: f64) -> Duration {
    let seconds = time.as_secs_f64() * factor;
    Duration::from_secs_f64(seconds.min(Latency::MAX.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Draws sorted, so that the n-th is a quantile.
    fn draws(latency: Latency) -> Vec<f64> {
        let mut rng = crate::world::random::generator(1, 1);
        let mut draws: Vec<_> = (0..10_001)
            .map(|_| latency.draw(&mut rng).as_secs_f64())
            .collect();
        draws.sort_unstable_by(f64::total_cmp);
        draws
    }

    #[test]
    fn lognormal_has_its_median_and_its_spread() {
        let draws = draws(Latency::LogNormal(SECOND, 0.5));
        assert!((draws[5_000] - 1.0).abs() < 0.03, "{}", draws[5_000]);
        // The quantile of one deviation above the median.
        assert!((draws[8_413].ln() - 0.5).abs() < 0.04, "{}", draws[8_413]);
    }

    #[test]
    fn pareto_has_its_least_and_its_tail() {
        let draws = draws(Latency::Pareto(SECOND, 1.5));
        assert!(draws[0] >= 1.0);
        assert!(
            (draws[5_000] - 2f64.powf(1.0 / 1.5)).abs() < 0.05,
            "{}",
            draws[5_000]
        );
        assert!(
            (draws[9_900] / 100f64.powf(1.0 / 1.5) - 1.0).abs() < 0.2,
            "{}",
            draws[9_900]
        );
    }

    #[test]
    fn stragglers_have_their_share() {
        let latency = Latency::Stragglers {
            median: SECOND,
            sigma: 0.0,
            share: 0.05,
            factor: 20.0,
        };
        let slow = draws(latency).iter().filter(|time| **time > 10.0).count();
        assert!(slow.abs_diff(500) < 88, "{slow}");
        assert_eq!(latency.mean(), SECOND.mul_f64(1.95));
    }

    #[test]
    fn computed_means_match_draws() {
        for latency in [
            Latency::Constant(SECOND),
            Latency::LogNormal(SECOND, 0.5),
            Latency::Pareto(SECOND, 4.0),
        ] {
            let mean = draws(latency).iter().sum::<f64>() / 10_001.0;
            assert!(
                (mean / latency.mean().as_secs_f64() - 1.0).abs() < 0.03,
                "{latency:?}"
            );
        }
        assert_eq!(Latency::Pareto(SECOND, 1.0).mean(), Latency::MAX);
    }
}
