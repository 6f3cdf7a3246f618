use steadfast_core::InvalidConfig;

/// The share of an endpoint among the endpoints of its tier: a positive, finite number.
///
/// An endpoint with twice the weight of another gets twice its requests.
///
/// ```
/// use steadfast_balance::Weight;
///
/// assert!(Weight::new(0.5)? < Weight::ONE);
/// assert_eq!(Weight::new(0.0).unwrap_err().field(), "weight");
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// 1, the default of [`Endpoint::weight`](crate::Endpoint::weight).
    pub const ONE: Self = Self(1.0);

    /// Creates a weight.
    ///
    /// # Errors
    ///
    /// Returns an error unless `weight` is positive and finite.
    pub fn new(weight: f64) -> Result<Self, InvalidConfig> {
        // Both are false for NaN.
        if weight.is_finite() && weight > 0.0 {
            Ok(Self(weight))
        } else {
            Err(InvalidConfig::new("weight", weight, "must be positive"))
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_positive_and_finite() {
        for weight in [f64::MIN_POSITIVE, 1.0, f64::MAX] {
            assert_eq!(Weight::new(weight).unwrap().get(), weight);
        }
        for weight in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(
                Weight::new(weight).unwrap_err().field(),
                "weight",
                "{weight}"
            );
        }
    }
}
