use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

/// Returns whether a header belongs to one connection (RFC 9110, section 7.6.1) or to one proxy.
///
/// A header that `connection` names also belongs to one connection. See [`remove_named_by_connection`].
#[inline]
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// Removes the headers that `connection` names.
pub fn remove_named_by_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
}
