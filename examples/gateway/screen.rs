//! The requests that the gateway itself answers or rejects: methods that are not for an endpoint,
//! and requests that a web page can send without the consent of the user.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{ALLOW, HOST, ORIGIN, UPGRADE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use steadfast::InvalidConfig;
use tower_http::cors::{AllowHeaders, AllowMethods, CorsLayer};

use super::reject::reject;

/// The methods that are passed on. Their answer to `OPTIONS` has no headers for other origins.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Browsers send it with each request: `same-origin`, `same-site`, `cross-site` or `none`.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Clients such as the one of Java offer HTTP/2 in this way. A server may ignore the offer.
const H2C: &str = "h2c";
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
        let loopback = address.ip().is_loopback();
        Ok(Self {
            hosts: Permitted::new(loopback, hosts, "hosts", is_host)?,
            origins: Permitted::new(loopback, origins, "origins", is_origin)?,
        })
    }

    /// Creates the layer that answers preflights of permitted origins.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        let Permitted::Listed(origins) = &self.origins else {
            return None;
        };
        if origins.is_empty() {
            return None;
        }
        let origins: Vec<_> = origins.iter().filter_map(|it| it.parse().ok()).collect();
        let layer = CorsLayer::new()
            .allow_origin::<Vec<HeaderValue>>(origins)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request());
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
            | Method::DELETE => has_upgrade(headers).then(|| {
                reject(
                    StatusCode::NOT_IMPLEMENTED,
                    "upgrades are not passed on",
                    "upgrade_not_supported",
                )
            }),
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
                false => Self::Any,
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
    (!text.contains('@')).then(|| authority.host().to_ascii_lowercase())
}

/// Whether a host names this machine. A page cannot rebind an address, only a name.
fn is_local(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let address = address.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
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

/// Whether a request asks for another protocol than `h2c`, which clients offer unasked.
fn has_upgrade(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(UPGRADE).iter();
    offers.any(|offer| !offer.as_bytes().eq_ignore_ascii_case(H2C.as_bytes()))
}
