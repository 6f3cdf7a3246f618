//! The base URI of an endpoint.

use http::Uri;
use http::uri::{Authority, Scheme};
use steadfast_core::InvalidConfig;

/// The parts of a base URI. They precede the path of each request.
#[derive(Clone, PartialEq)]
pub(crate) struct Base {
    /// `http` or `https`.
    pub(crate) scheme: Scheme,
    /// The host and the port.
    pub(crate) authority: Authority,
    /// The path, without a slash at its end.
    pub(crate) path: String,
    /// The query that each request gets, without `?`.
    pub(crate) query: Option<String>,
    /// The parameters that requests without them get.
    pub(crate) default_query: Vec<(String, String)>,
}

impl Base {
    /// Parses an absolute `http` or `https` URI without user information.
    pub(super) fn parse(base: &str) -> Result<Self, InvalidConfig> {
        // A URI may hold a password. The error shows it only after that is ruled out.
        let hidden = |reason| InvalidConfig::new("url", "(not shown)", reason);
        let uri: Uri = base
            .parse()
            .map_err(|_| hidden("must be an absolute http or https URI"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(hidden("must be an absolute http or https URI"));
        };
        if authority.as_str().contains('@') {
            return Err(hidden(
                "must not hold a user or a password; set a credential instead",
            ));
        }
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(InvalidConfig::new(
                "url",
                scheme,
                "must begin with http or https",
            ));
        }
        let path_and_query = parts.path_and_query;
        let (path, query) = path_and_query
            .as_ref()
            .map_or(("", None), |path| (path.path(), path.query()));
        Ok(Self {
            scheme,
            authority,
            path: path.trim_end_matches('/').to_owned(),
            query: query.map(str::to_owned),
            default_query: Vec::new(),
        })
    }
}
