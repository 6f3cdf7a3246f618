//! Random numbers that can be repeated: one seed, one run.

use std::time::Duration;

use fastrand::Rng;

/// Creates a generator for one of many things that a run draws for.
///
/// Each attempt has one of its own, so that a request takes as long at the same endpoint whatever
/// else a policy did before.
pub(crate) fn generator(seed: u64, stream: u64) -> Rng {
    // Steele, Lea and Flood's constant keeps neighbouring streams apart.
    let mut mixed = Rng::with_seed(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Rng::with_seed(mixed.u64(..))
}

/// Draws from a normal distribution around 0 with a deviation of 1.
///
/// The method is the method of Box and Muller, which needs two uniform numbers.
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    // Box and Muller. The logarithm of 0 is avoided.
    let (u, v) = (1.0 - rng.f64(), rng.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Draws the time to the next of events that come independently, `rate` a second.
pub(crate) fn exponential(rng: &mut Rng, rate: f64) -> Duration {
    let seconds = -(1.0 - rng.f64()).ln() / rate;
    // A rate of next to nothing, or of too much, is a time that no duration holds.
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The means of ten thousand draws are within four standard errors.
    #[test]
    fn distributions_have_their_moments() {
        let mut rng = generator(1, 0);
        let n = 10_000;
        let draws: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.04, "{mean}");
        assert!((variance - 1.0).abs() < 0.06, "{variance}");
        let waits: f64 = (0..n)
            .map(|_| exponential(&mut rng, 5.0).as_secs_f64())
            .sum();
        assert!((waits / f64::from(n) - 0.2).abs() < 0.008, "{waits}");
    }

    #[test]
    fn equal_seed_repeats_and_streams_differ() {
        let draw = |seed, stream| generator(seed, stream).u64(..);
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert_ne!(draw(0, 0), draw(0, 1));
    }
}
