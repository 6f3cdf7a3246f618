use steadfast_core::InvalidConfig;

/// A quantile: a number between 0 and 1.
///
/// ```
/// use steadfast_hedge::{HedgeLayer, Quantile};
///
/// let layer = HedgeLayer::new().quantile(Quantile::new(0.99)?);
/// # let _ = layer;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile(f64);

impl Quantile {
    /// 0.96, the default of [`HedgeLayer::quantile`](crate::HedgeLayer::quantile).
    ///
    /// The 95th percentile would hedge the 5 % of requests that the default share allows. Random
    /// bursts then exhaust the share, and those requests dominate p99.9.
    pub const DEFAULT: Self = Self(0.96);

    /// Creates a quantile.
    ///
    /// # Errors
    ///
    /// Returns an error unless `0 < quantile < 1`.
    pub fn new(quantile: f64) -> Result<Self, InvalidConfig> {
        if quantile > 0.0 && quantile < 1.0 {
            Ok(Self(quantile))
        } else {
            let reason = "must be between 0 and 1";
            Err(InvalidConfig::new("quantile", quantile, reason))
        }
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Quantile {
    fn default() -> Self {
        Self::DEFAULT
    }
}
