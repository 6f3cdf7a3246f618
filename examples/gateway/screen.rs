//! The requests that the gateway itself answers or rejects: methods that are not for an endpoint,
//! and requests that a web page can send without the consent of the user.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONNECTION, HOST, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use steadfast::InvalidConfig;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};

use super::reject::reject;

/// The methods that are passed on. Their answer to `OPTIONS` has no headers for other origins.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Browsers send it with each request: `same-origin`, `same-site`, `cross-site` or `none`.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Clients such as the one of Java offer HTTP/2 in this way. A server may ignore the offer.
const H2C: &str = "h2c";
const CHUNKED: &str = "chunked";
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// The entry of a list that permits all values.
const ANY: &str = "*";

/// The rules for the methods, the hosts and the origins of requests.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    hosts: Permitted,
    origins: Permitted,
}

/// The permitted values of a header, in lower case.
#[derive(Clone, Debug)]
enum Permitted {
    /// No list on an address for other machines.
    Unchecked,
    Any,
    /// The values of this machine, and these.
    Listed(Vec<String>),
}

impl Screen {
    /// Creates the rules of a server that listens on `address`. On loopback, only hosts and origins
    /// of this machine and the listed ones are permitted. On other addresses, an absent list
    /// permits all.
    pub(crate) fn new(
        address: SocketAddr,
        hosts: Option<&[String]>,
        origins: Option<&[String]>,
    ) -> Result<Self, InvalidConfig> {
        let loopback = is_loopback(address.ip());
        Ok(Self {
            hosts: Permitted::new(loopback, hosts, "hosts", is_host)?,
            origins: Permitted::new(loopback, origins, "origins", is_origin)?,
        })
    }

    /// Creates the layer that answers preflights of permitted origins, and lets them read answers.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        let origins = match &self.origins {
            Permitted::Unchecked => return None,
            Permitted::Any => AllowOrigin::any(),
            Permitted::Listed(origins) if origins.is_empty() => return None,
            Permitted::Listed(origins) => {
                AllowOrigin::list(origins.iter().filter_map(|it| it.parse().ok()))
            }
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::any());
        Some(layer)
    }

    /// Returns the answer to a request that is not passed on.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response> {
        let headers = request.headers();
        if !self.permits_hosts(request.uri(), headers) {
            return Some(reject(
                StatusCode::FORBIDDEN,
                "the host is not in `hosts`",
                "host_not_permitted",
            ));
        }
        if !self.permits_origin(headers) {
            return Some(reject(
                StatusCode::FORBIDDEN,
                "the origin is not in `origins`",
                "origin_not_permitted",
            ));
        }
        match *request.method() {
            Method::OPTIONS => Some((StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response()),
            Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE => not_implemented(headers),
            // Servers know further names for `TRACE`, such as `TRACK`.
            _ => {
                let status = StatusCode::METHOD_NOT_ALLOWED;
                let answer = reject(status, "the method is not passed on", "method_not_allowed");
                Some(([(ALLOW, METHODS)], answer).into_response())
            }
        }
    }

    /// Whether all names of the host are permitted. A page that rebinds its own name to this
    /// address sends its name here.
    fn permits_hosts(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Permitted::Listed(listed) = &self.hosts else {
            return true;
        };
        let mut named = false;
        let in_headers = headers.get_all(HOST).iter();
        let in_headers = in_headers.map(|value| value.to_str().unwrap_or_default());
        for text in in_headers.chain(uri.authority().map(Authority::as_str)) {
            named = true;
            let Some(host) = host_of(text) else {
                return false;
            };
            if !is_local(&host) && !listed.contains(&host) {
                return false;
            }
        }
        named
    }

    /// Whether the request comes from no web page, from a page of this server, or from a permitted
    /// page.
    fn permits_origin(&self, headers: &HeaderMap) -> bool {
        let Permitted::Listed(listed) = &self.origins else {
            return true;
        };
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            // Links and images have no origin.
            let site = headers.get(FETCH_SITE);
            return site.is_none_or(|site| site == "same-origin" || site == "none");
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        origins.all(|origin| {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            let own = origin.strip_prefix("http://");
            own.is_some_and(|own| host.is_some_and(|host| own.eq_ignore_ascii_case(host)))
                || listed.contains(&origin)
        })
    }
}

impl Permitted {
    fn new(
        loopback: bool,
        listed: Option<&[String]>,
        field: &'static str,
        is_valid: impl Fn(&str) -> bool,
    ) -> Result<Self, InvalidConfig> {
        let Some(listed) = listed else {
            return Ok(match loopback {
                true => Self::Listed(Vec::new()),
                false => Self::Unchecked,
            });
        };
        if listed.iter().any(|value| value == ANY) {
            return Ok(Self::Any);
        }
        let lower: Vec<_> = listed.iter().map(|it| it.to_ascii_lowercase()).collect();
        match lower.iter().position(|value| !is_valid(value)) {
            None => Ok(Self::Listed(lower)),
            Some(n) => {
                let reason = match field {
                    "hosts" => "must be a host name without scheme and port, or *",
                    _ => "must be such as https://app.example.com or http://localhost:3000, or *",
                };
                let field = format!("{field}[{n}]");
                Err(InvalidConfig::new(field, "(not shown)", reason))
            }
        }
    }
}

/// Rejects requests to the routes of the operators. See [`Screen`].
pub(crate) async fn screen(State(screen): State<Screen>, request: Request, next: Next) -> Response {
    match screen.answer(&request) {
        Some(answer) => answer,
        None => next.run(request).await,
    }
}

/// Returns the host of `host:port` in lower case.
fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    // User information precedes the host, and some text may follow an address in brackets.
    let port = text.strip_prefix(host)?;
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    is_port.then(|| host.to_ascii_lowercase())
}

/// Whether a host names this machine. A page cannot rebind an address, only a name.
fn is_local(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = address.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(is_loopback)
}

/// Whether an address is of this machine, also an IPv4 address in the form of IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn is_host(text: &str) -> bool {
    host_of(text).is_some_and(|host| host == text)
}

fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or(text.strip_prefix("http://"));
    rest.is_some_and(|rest| host_of(rest).is_some() && !rest.contains('/'))
}

/// Returns the answer to a request for a protocol or a transfer coding that the gateway lacks.
fn not_implemented(headers: &HeaderMap) -> Option<Response> {
    let (message, code) = if has_upgrade(headers) {
        ("upgrades are not passed on", "upgrade_not_supported")
    } else if has_coding(headers) {
        (
            "the only transfer coding is `chunked`",
            "coding_not_supported",
        )
    } else {
        return None;
    };
    let answer = reject(StatusCode::NOT_IMPLEMENTED, message, code);
    // The end of the body is uncertain.
    Some(([(CONNECTION, CLOSE)], answer).into_response())
}

/// Whether the body has another transfer coding than `chunked`, once. hyper removes the last one,
/// and the endpoint would get a compressed body without its name.
fn has_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(CHUNKED.as_bytes()))
        || codings.next().is_some()
}

/// Whether a request asks for another protocol than `h2c`, which clients offer unasked.
fn has_upgrade(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(UPGRADE).iter();
    offers.any(|offer| !offer.as_bytes().eq_ignore_ascii_case(H2C.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(address: &str, host: &'static str) -> bool {
        let screen = Screen::new(address.parse().expect("an address"), None, None);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        screen
            .expect("valid")
            .permits_hosts(&Uri::from_static("/v1"), &headers)
    }

    #[test]
    fn any_loopback_address_permits_only_hosts_of_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:0", false),
            ("127.8.8.8:0", false),
            ("[::1]:0", false),
            ("[::ffff:127.0.0.1]:0", false),
            ("10.0.0.1:0", true),
            ("[::ffff:10.0.0.1]:0", true),
            ("0.0.0.0:0", true),
        ] {
            assert_eq!(permits(address, "attacker.test"), expected, "{address}");
            assert!(permits(address, "localhost:80"), "{address}");
        }
    }
}
