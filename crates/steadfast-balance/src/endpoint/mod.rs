//! The configuration of one endpoint.

mod cache_padded;
pub(crate) mod connect_addr;
pub(crate) mod credential;
pub(crate) mod rewrite;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder};
use steadfast_core::layer::Observers;
use steadfast_core::{EndpointName, InvalidConfig};

use crate::endpoint::cache_padded::apart;
use crate::endpoint::credential::Credential;

/// One place that can serve: a base URI with its credential and its limits.
///
/// ```
/// use steadfast_balance::{Credential, Endpoint};
///
/// let endpoint = Endpoint::new("backup", "https://backup.example.com/v1")?
///     .api_key(Credential::bearer("token")?)
///     .tier(1);
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone)]
#[must_use = "an endpoint does nothing until it is part of a balancer"]
pub struct Endpoint {
    /// The name in logs, metrics and errors.
    pub(crate) name: EndpointName,
    /// The base URI.
    pub(crate) base: Base,
    /// The address to connect to, instead of a lookup of the host.
    pub(crate) address: Option<SocketAddr>,
    /// The credential of its requests.
    pub(crate) credential: Option<Credential>,
    /// The headers that are added to its requests.
    pub(crate) headers: HeaderMap,
    /// The tier. Lower tiers come first.
    pub(crate) tier: u16,
    /// The weight within the tier.
    pub(crate) weight: f64,
    /// The cost of a request, for scoring.
    pub(crate) cost: f64,
    /// Whether its answers are of lesser quality.
    pub(crate) degraded: bool,
    /// Whether it takes requests that are too long for others.
    pub(crate) larger_context: bool,
    /// Whether it receives the credentials of the caller.
    pub(crate) pass_credentials: bool,
    /// The settings of its breaker.
    pub(crate) breaker: CircuitBreakerBuilder,
}

/// The parts of a base URI, ready to be put before the path of a request.
#[derive(Clone, PartialEq)]
pub(crate) struct Base {
    /// `http` or `https`.
    pub(crate) scheme: Scheme,
    /// The host and the port.
    pub(crate) authority: Authority,
    /// Without a slash at its end.
    pub(crate) path: String,
    /// The query that is added to each request, without `?`.
    pub(crate) query: Option<String>,
}

impl Endpoint {
    /// How long the breaker of an endpoint stays open at first, if not set.
    pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long it stays open at most, if not set. With a minute, an endpoint that is well again
    /// would be back after 27 s in the median, and now is after 9 s, for one more request that fails
    /// in two outages.
    pub const DEFAULT_MAX_RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);

    /// Creates an endpoint of tier 0. The path of `base` is put before that of each request.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty, or if `base` is not an absolute `http` or `https`
    /// URI without user information.
    pub fn new(name: &str, base: &str) -> Result<Self, InvalidConfig> {
        if name.trim().is_empty() {
            return Err(InvalidConfig::new("name", name, "must not be empty"));
        }
        Ok(Self {
            name: name.into(),
            base: Base::parse(base)?,
            address: None,
            credential: None,
            headers: HeaderMap::new(),
            tier: 0,
            weight: 1.0,
            cost: 1.0,
            degraded: false,
            larger_context: false,
            pass_credentials: false,
            breaker: Self::default_breaker(),
        })
    }

    /// Returns the breaker of an endpoint that does not set one, to change it from there: 7
    /// failures in a row, or 6 failures more than 22 % of the calls would be, open for 5 s,
    /// doubling to 20 s.
    ///
    /// At 5 % of noise and 100 requests a second it opens for nothing once a month, and when half
    /// of the calls fail, after 20 of them in the median.
    pub fn default_breaker() -> CircuitBreakerBuilder {
        CircuitBreaker::builder()
            .consecutive_failures(7)
            .excess_failures(6, 0.22)
            .recovery_timeout(Self::DEFAULT_RECOVERY_TIMEOUT)
            .max_recovery_timeout(Self::DEFAULT_MAX_RECOVERY_TIMEOUT)
    }

    /// Sets the credential that is sent to this endpoint, and to no other.
    pub fn api_key(mut self, credential: impl Into<Credential>) -> Self {
        self.credential = Some(credential.into());
        self
    }

    /// Adds a header to each request. It replaces what the caller sent under that name.
    ///
    /// A key belongs into [`api_key`](Self::api_key), by [`Credential::header`] under any name: only
    /// of that one it is known that it is the endpoint's own. One that is set here, or by a layer, is
    /// not left alone when it is rejected, and no other endpoint is tried for it.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the tier. Endpoints of tier 1 are used only when no endpoint of tier 0 can take a
    /// request, and so on.
    pub fn tier(mut self, tier: u16) -> Self {
        self.tier = tier;
        self
    }

    /// Sets the share of the requests that it gets beside others of its tier, 1 if not set.
    ///
    /// An endpoint of weight 2 gets twice as many as one of weight 1, as far as the
    /// [`Strategy`](crate::Strategy) shares requests out at all. It must be positive.
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Sets what a request costs here, in any unit that is the same for all endpoints, 1 if not
    /// set. [`Strategy::Scored`](crate::Strategy::Scored) prefers what is cheap. It must not be
    /// negative.
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = cost;
        self
    }

    /// Marks the endpoint as degraded: its answers are of lesser quality, for example from another
    /// model. Defaults to `false`.
    ///
    /// Before a request moves to a degraded endpoint, the better ones are used to the end. A lone
    /// `5xx` without a hint is repeated at once at the same endpoint. A wait of up to
    /// [`prefer_wait`](crate::EndpointBalanceBuilder::prefer_wait) is waited out. Within a tier,
    /// degraded endpoints come last.
    pub fn degraded(mut self, degraded: bool) -> Self {
        self.degraded = degraded;
        self
    }

    /// Says that this endpoint takes larger requests than the others, so that one that was too
    /// large elsewhere may come here.
    pub fn larger_context(mut self, larger: bool) -> Self {
        self.larger_context = larger;
        self
    }

    /// Passes the caller's own credentials on to this endpoint. By default they are removed.
    pub fn pass_credentials(mut self, pass: bool) -> Self {
        self.pass_credentials = pass;
        self
    }

    /// Sets the address to connect to, whatever the name in the base resolves to.
    ///
    /// The balancer only passes it on, see [`Resolve`](crate::Resolve): the client has to look at
    /// it.
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Makes an endpoint of its own of one address of its name.
    pub(crate) fn resolved(mut self, address: SocketAddr) -> Self {
        self.name = format!("{}@{address}", self.name).into();
        self.connect_to(address)
    }

    /// Replaces the breaker, whose name is that of the endpoint. See
    /// [`default_breaker`](Self::default_breaker).
    pub fn breaker(mut self, breaker: CircuitBreakerBuilder) -> Self {
        self.breaker = breaker;
        self
    }

    /// Checks the values that setters accept unchecked.
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        check_weight(self.weight)?;
        if !(self.cost.is_finite() && self.cost >= 0.0) {
            return Err(InvalidConfig::new(
                "cost",
                self.cost,
                "must not be negative",
            ));
        }
        self.build_breaker(Observers::new()).map(drop)
    }

    /// Builds a breaker that has its name.
    pub(crate) fn build_breaker(
        &self,
        observers: Observers,
    ) -> Result<CircuitBreaker, InvalidConfig> {
        let builder = self.breaker.clone().name(self.name.clone());
        let built = builder.observers(observers).build();
        built.map_err(|error| error.within("breaker"))
    }

    /// Whether it is the same place, reached in the same way, though perhaps of another tier or
    /// weight.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.base == other.base
            && self.address == other.address
            && self.credential == other.credential
            && self.headers == other.headers
            && self.breaker.has_rules_of(&other.breaker)
            && self.cost == other.cost
            && self.degraded == other.degraded
            && self.larger_context == other.larger_context
            && self.pass_credentials == other.pass_credentials
    }

    /// Puts the texts that go into every request where no other endpoint writes.
    pub(crate) fn set_apart(&mut self) {
        let own = self.credential.iter().map(Credential::value);
        let values = self.headers.values().chain(own).map(HeaderValue::as_bytes);
        let authority = self.base.authority.as_str().as_bytes();
        let texts: Vec<&[u8]> = [authority].into_iter().chain(values).collect();
        let mut texts = apart(&texts).into_iter();
        let mut next = || texts.next().expect("as many as before");
        if let Ok(authority) = Authority::from_maybe_shared(next()) {
            self.base.authority = authority;
        }
        let own = self.credential.iter_mut().map(Credential::value_mut);
        for value in self.headers.values_mut().chain(own) {
            if let Ok(mut apart) = HeaderValue::from_maybe_shared(next()) {
                apart.set_sensitive(value.is_sensitive());
                *value = apart;
            }
        }
    }

    /// Whether a rejected credential is that of the endpoint. The caller's own key may be the bad
    /// one, and nobody is to take an endpoint away from all others with it.
    pub(crate) fn answers_for_its_credential(&self) -> bool {
        self.credential.is_some() && !self.pass_credentials
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        &self.name
    }

    /// Returns the address to connect to, if one is [set](Self::connect_to).
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the base URI.
    #[must_use]
    pub fn base(&self) -> String {
        let Base {
            scheme,
            authority,
            path,
            ..
        } = &self.base;
        format!("{scheme}://{authority}{path}")
    }
}

/// Rejects a weight that is not positive.
pub(crate) fn check_weight(weight: f64) -> Result<(), InvalidConfig> {
    if weight.is_finite() && weight > 0.0 {
        Ok(())
    } else {
        Err(InvalidConfig::new("weight", weight, "must be positive"))
    }
}

impl fmt::Debug for Endpoint {
    /// Shows neither the query of the base nor the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("base", &self.base())
            .field("address", &self.address)
            .field("credential", &self.credential)
            .field("headers", &headers)
            .field("tier", &self.tier)
            .field("weight", &self.weight)
            .field("cost", &self.cost)
            .field("degraded", &self.degraded)
            .field("larger_context", &self.larger_context)
            .field("pass_credentials", &self.pass_credentials)
            .finish_non_exhaustive()
    }
}

impl Base {
    /// Parses a base URI.
    fn parse(base: &str) -> Result<Self, InvalidConfig> {
        // A URI may hold a password, so it is shown only once it is known to hold none.
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_apart_stays_what_it_is() {
        let endpoint = Endpoint::new("a", "https://a.test:81/v1")
            .unwrap()
            .header(HeaderName::from_static("x-org"), "7".parse().unwrap())
            .api_key(Credential::bearer("sk").unwrap());
        let mut apart = endpoint.clone();
        apart.set_apart();
        assert!(apart.is_same(&endpoint));
        let value = apart.credential.as_ref().map(Credential::value);
        assert!(value.is_some_and(HeaderValue::is_sensitive));
        assert!(!apart.headers["x-org"].is_sensitive());
    }

    #[test]
    fn refuses_what_is_no_base() {
        for (name, base, field) in [
            ("", "http://a.test", "name"),
            ("a", "", "url"),
            ("a", "/v1", "url"),
            ("a", "a.test", "url"),
            ("a", "ftp://a.test/", "url"),
            ("a", "http://user:secret@a.test/", "url"),
            ("a", "user:secret@a.test", "url"),
            ("a", "/v1?key=secret", "url"),
            ("a", "http://a b/", "url"),
        ] {
            let error = Endpoint::new(name, base).unwrap_err();
            assert_eq!(error.field(), field, "{base}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn shows_its_base_and_no_secret() {
        let endpoint = Endpoint::new("a", "https://a.test:8443/v1/?key=secret")
            .unwrap()
            .header(
                HeaderName::from_static("x-token"),
                "secret".parse().unwrap(),
            )
            .api_key(Credential::bearer("sk-secret").unwrap());
        assert_eq!(endpoint.base(), "https://a.test:8443/v1");
        assert!(!format!("{endpoint:?}").contains("secret"));
    }
}
