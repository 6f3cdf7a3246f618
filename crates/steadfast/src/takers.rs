//! The endpoints that take the format of a request.
//!
//! Nothing is translated: a request goes only to endpoints that take its format, and is rejected if
//! none does.

use std::fmt;

use http::{Extensions, StatusCode};
use steadfast_balance::{Endpoint, PoolHandle};
use steadfast_core::{BoxError, Class, EndpointName, RoutingOptions};

use crate::format::Format;
use crate::rejection::Rejection;

/// The number of endpoints that a rejection names.
const NAMED: usize = 8;

impl Format {
    /// Restricts a request of this format to the endpoints that take it.
    ///
    /// # Errors
    ///
    /// Returns a rejection if the request may go to some endpoints, and none of them takes it.
    pub(crate) fn restrict(
        self,
        endpoints: &PoolHandle,
        extensions: &mut Extensions,
    ) -> Result<(), BoxError> {
        let options = RoutingOptions::of(extensions);
        match self.takers(endpoints, options) {
            // Usually all endpoints are of one kind, and the request needs no options.
            (_, false) => return Ok(()),
            (false, true) => return Err(self.rejection(endpoints, options)),
            (true, true) => {}
        }
        let options = options.cloned().unwrap_or_default();
        extensions.insert(options.format(self.name()));
        Ok(())
    }

    /// Returns whether an endpoint within the options takes this format, and whether one does not.
    fn takers(self, endpoints: &PoolHandle, options: Option<&RoutingOptions>) -> (bool, bool) {
        endpoints.read(|all| {
            let (mut takes, mut others) = (false, false);
            for endpoint in all.filter(|endpoint| is_allowed(endpoint, options)) {
                let own = endpoint.takes(self.name());
                (takes, others) = (takes || own, others || !own);
                if takes && others {
                    break;
                }
            }
            (takes, others)
        })
    }

    /// Returns the rejection of a request that no endpoint takes.
    fn rejection(self, endpoints: &PoolHandle, options: Option<&RoutingOptions>) -> BoxError {
        let rejection = Rejection {
            error: FormatRejected::new(self, endpoints, options).into(),
            status: StatusCode::NOT_FOUND,
            code: "unsupported_format",
            param: None,
            format: Some(self),
        };
        rejection.classified(Class::CallerFault)
    }
}

/// Returns whether the options let a request go to an endpoint.
fn is_allowed(endpoint: &Endpoint, options: Option<&RoutingOptions>) -> bool {
    options.is_none_or(|options| options.allows(endpoint.name()))
}

/// A request has a format that none of its endpoints takes. It was not sent.
#[derive(Debug)]
struct FormatRejected {
    /// The format of the request.
    format: Format,
    /// The first endpoints, and their formats.
    named: Vec<(EndpointName, String)>,
    /// The number of further endpoints.
    more: usize,
}

impl FormatRejected {
    /// Creates the error, with the formats of the endpoints within the options.
    fn new(format: Format, endpoints: &PoolHandle, options: Option<&RoutingOptions>) -> Self {
        let describe = |endpoint: &Endpoint| {
            let formats = endpoint.declared_formats().join(", ");
            (endpoint.name().clone(), formats)
        };
        endpoints.read(|all| {
            let mut allowed = all.filter(|endpoint| is_allowed(endpoint, options));
            Self {
                format,
                named: allowed.by_ref().take(NAMED).map(describe).collect(),
                more: allowed.count(),
            }
        })
    }
}

impl fmt::Display for FormatRejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.format.name();
        write!(f, "no endpoint takes the format `{name}` of this path: ")?;
        for (n, (endpoint, formats)) in self.named.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}`{endpoint}` takes {formats}")?;
        }
        if self.more > 0 {
            write!(f, "; {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for FormatRejected {}
