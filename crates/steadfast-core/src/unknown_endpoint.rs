use std::error::Error;
use std::fmt;

use crate::endpoint::EndpointName;
use crate::layer::chain::find_error;

/// No endpoint of a pool has this name.
///
/// ```
/// use steadfast_core::UnknownEndpoint;
///
/// let error = UnknownEndpoint::new("b");
/// assert_eq!(error.endpoint(), &"b");
/// assert_eq!(error.to_string(), r#"unknown endpoint: "b""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEndpoint {
    endpoint: EndpointName,
}

impl UnknownEndpoint {
    /// Creates the error for a name that is not in the pool.
    #[must_use]
    pub fn new(endpoint: impl Into<EndpointName>) -> Self {
        Self {
            endpoint: endpoint.into(),
        }
    }

    /// Finds this error in `error` or in one of its sources.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_error(error)
    }

    /// Returns the unknown name.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointName {
        &self.endpoint
    }
}

impl fmt::Display for UnknownEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown endpoint: {:?}", self.endpoint)
    }
}

impl Error for UnknownEndpoint {}
