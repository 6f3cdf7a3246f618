//! The random numbers of backoffs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Returns a number from 0 up to 1.
type Draw = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The random numbers that a layer gives each service.
#[derive(Clone)]
pub(crate) enum Random {
    Entropy,
    Given(Draw),
    Seed(u64),
}

/// A source of random numbers from 0 up to 1, shared by the clones of a service.
pub(crate) enum RandomSource {
    Generator(Mutex<fastrand::Rng>),
    Given(Draw),
}

impl Random {
    /// Creates the source of a service.
    pub(crate) fn source(&self) -> RandomSource {
        let generator = match self {
            Self::Entropy => fastrand::Rng::new(),
            Self::Seed(seed) => fastrand::Rng::with_seed(*seed),
            Self::Given(draw) => return RandomSource::Given(draw.clone()),
        };
        RandomSource::Generator(Mutex::new(generator))
    }
}

impl RandomSource {
    /// Uses a function of the user.
    #[cfg(test)]
    pub(crate) fn given(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self::Given(Arc::new(draw))
    }

    /// Draws a number from 0 up to 1.
    pub(crate) fn draw(&self) -> f64 {
        match self {
            // A generator advances whole, so a panic cannot leave it inconsistent.
            Self::Generator(rng) => rng.lock().unwrap_or_else(PoisonError::into_inner).f64(),
            Self::Given(draw) => draw(),
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entropy => f.write_str("Entropy"),
            Self::Given(_) => f.write_str("Given(_)"),
            Self::Seed(seed) => f.debug_tuple("Seed").field(seed).finish(),
        }
    }
}
