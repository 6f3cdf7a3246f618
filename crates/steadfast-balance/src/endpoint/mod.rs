//! The configuration of one endpoint.

pub(crate) mod base;
pub(crate) mod caller;
pub(crate) mod connect_addr;
pub(crate) mod credential;
mod joined;
mod known_paths;
pub(crate) mod limits;
mod private;
pub(crate) mod rewrite;
pub(crate) mod rule;
pub(crate) mod weight;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder};
use steadfast_core::layer::Observers;
use steadfast_core::{EndpointName, InvalidConfig, LimitKey, RoutingOptions};

use crate::endpoint::base::Base;
use crate::endpoint::credential::Credential;
use crate::endpoint::joined::joined;
use crate::endpoint::limits::Limits;
use crate::endpoint::private::is_account;
use crate::endpoint::rule::Rule;
use crate::endpoint::weight::Weight;

/// An endpoint of the balancer: a base URI with its credential and its settings.
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
    /// The address to connect to. It replaces a lookup of the host.
    pub(crate) address: Option<SocketAddr>,
    /// The credential of its requests.
    pub(crate) credential: Option<Credential>,
    /// The headers that each of its requests gets.
    pub(crate) headers: HeaderMap,
    /// The headers of requests that lack them.
    pub(crate) default_headers: HeaderMap,
    /// The tier. Lower tiers come first.
    pub(crate) tier: u16,
    /// The weight within the tier.
    pub(crate) weight: f64,
    /// The cost of a request, for scoring.
    pub(crate) cost: f64,
    /// Whether its responses are of lesser quality.
    pub(crate) degraded: bool,
    /// Whether it takes requests that are too large for other endpoints.
    pub(crate) larger_context: bool,
    /// Whether it receives the credentials of the caller.
    pub(crate) pass_credentials: bool,
    /// The headers of the caller that it receives although they are private.
    pub(crate) pass_headers: Vec<HeaderName>,
    /// In lower case.
    pub(crate) pass_query: Vec<String>,
    /// Whether it receives `CONNECT`, `TRACE` and upgrades.
    pub(crate) dangerous_methods: bool,
    /// The formats of the requests that it takes. Empty for all.
    pub(crate) formats: Vec<String>,
    /// The requests that share a cooldown, a send rate and quotas.
    pub(crate) limits: Limits,
    /// Whether it has a learned send rate.
    pub(crate) learned_rate: bool,
    /// The limit keys with another name at this endpoint.
    pub(crate) key_aliases: Vec<(LimitKey, LimitKey)>,
    /// The rules of the user about its replies.
    pub(crate) rules: Vec<Rule>,
    /// The settings of its breaker.
    pub(crate) breaker: CircuitBreakerBuilder,
}

impl Endpoint {
    /// The default time for which a breaker stays open at first.
    pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);
    /// The default limit of the time for which a breaker stays open.
    ///
    /// With 20 s, a recovered endpoint is back after 9 s in the median. With 60 s, it is back after
    /// 27 s. The shorter time costs one more failed request per two outages.
    pub const DEFAULT_MAX_RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);

    /// Creates an endpoint of tier 0. The path of `base` precedes the path of each request.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty. It also does so if `base` is not an absolute `http`
    /// or `https` URI without user information.
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
            default_headers: HeaderMap::new(),
            tier: 0,
            weight: 1.0,
            cost: 1.0,
            degraded: false,
            larger_context: false,
            pass_credentials: false,
            pass_headers: Vec::new(),
            pass_query: Vec::new(),
            dangerous_methods: false,
            formats: Vec::new(),
            limits: Limits::PerKey,
            learned_rate: true,
            key_aliases: Vec::new(),
            rules: Vec::new(),
            breaker: Self::default_breaker(),
        })
    }

    /// Returns the settings of the default breaker, as a start for changes.
    ///
    /// The breaker opens after 7 consecutive failures, or after 6 failures in excess of 22 % of the
    /// calls. It stays open for 5 s at first. This time doubles up to 20 s.
    ///
    /// At 100 requests per second of which 5 % fail, the breaker opens without cause once a month.
    /// If half of the calls fail, the breaker opens after 20 calls in the median.
    pub fn default_breaker() -> CircuitBreakerBuilder {
        CircuitBreaker::builder()
            .consecutive_failures(7)
            .excess_failures(6, 0.22)
            .recovery_timeout(Self::DEFAULT_RECOVERY_TIMEOUT)
            .max_recovery_timeout(Self::DEFAULT_MAX_RECOVERY_TIMEOUT)
    }

    /// Sets the credential of this endpoint. No other endpoint receives it.
    pub fn api_key(mut self, credential: impl Into<Credential>) -> Self {
        self.credential = Some(credential.into());
        self
    }

    /// Adds a header to each request. It replaces the caller's header of the same name.
    ///
    /// A key belongs into [`api_key`](Self::api_key). [`Credential::header`] accepts any header
    /// name. Only such a key counts as the endpoint's own. If a key from here or from a layer is
    /// rejected, the endpoint does not cool. There is no failover then.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header to each request without a header of this name.
    pub fn default_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.default_headers.insert(name, value);
        self
    }

    /// Adds a query parameter to each request without a parameter of this name. Both are encoded as
    /// a URI needs them.
    ///
    /// A parameter in the query of the base is sent in any case, also beside the caller's.
    pub fn default_query(mut self, name: &str, value: &str) -> Self {
        self.base
            .default_query
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the tier. Defaults to 0.
    ///
    /// A request uses an endpoint of tier 1 only if no endpoint of tier 0 is admissible. The same
    /// holds for higher tiers.
    pub fn tier(mut self, tier: u16) -> Self {
        self.tier = tier;
        self
    }

    /// Sets the relative share of requests within the tier. Defaults to 1.
    ///
    /// An endpoint of weight 2 gets twice the requests of an endpoint of weight 1, if the
    /// [`Strategy`](crate::Strategy) distributes requests. The weight must be positive.
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the cost of a request to this endpoint. Defaults to 1.
    ///
    /// The unit is free, but must be the same for all endpoints.
    /// [`Strategy::Scored`](crate::Strategy::Scored) prefers cheap endpoints. The cost must not be
    /// negative.
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = cost;
        self
    }

    /// Marks the endpoint as degraded. Defaults to `false`.
    ///
    /// The responses of a degraded endpoint are of lesser quality, for example from another model.
    /// A request moves to a degraded endpoint only after the better ones. If a lone `5xx` has no
    /// hint, the same endpoint gets another attempt at once. If the wait for a better endpoint is
    /// at most [`prefer_wait`](crate::EndpointBalanceBuilder::prefer_wait), the request waits.
    /// Within a tier, degraded endpoints come last.
    pub fn degraded(mut self, degraded: bool) -> Self {
        self.degraded = degraded;
        self
    }

    /// Sets whether this endpoint takes larger requests than the others. Defaults to `false`.
    ///
    /// If a request is too large for another endpoint, it may fail over to this one.
    pub fn larger_context(mut self, larger: bool) -> Self {
        self.larger_context = larger;
        self
    }

    /// Sets whether this endpoint receives the caller's own credentials. Defaults to `false`.
    ///
    /// The balancer removes headers and query parameters with a word such as `key`, `token`,
    /// `secret`, `auth`, `credential`, `signature`, `session` or `cookie` in their names. It also
    /// removes `forwarded` with its relatives, `via`, `referer`, and headers of proxies about an
    /// authenticated caller, such as `remote-user` and `client-cert`. Names are compared decoded
    /// and without case. `idempotency-key` and page tokens stay.
    ///
    /// With `true` all of them pass. [`pass_headers`](Self::pass_headers) and
    /// [`pass_query`](Self::pass_query) are narrower.
    pub fn pass_credentials(mut self, pass: bool) -> Self {
        self.pass_credentials = pass;
        self
    }

    /// Adds headers that this endpoint receives although their names look like credentials.
    ///
    /// See [`pass_credentials`](Self::pass_credentials) for the rule. The endpoint's own credential
    /// and its own headers still replace headers of the same name.
    ///
    /// ```
    /// use http::HeaderName;
    /// use steadfast_balance::Endpoint;
    ///
    /// let endpoint = Endpoint::new("primary", "https://api.example.com")?
    ///     .pass_headers([HeaderName::from_static("x-tenant-token")]);
    /// # Ok::<(), steadfast_core::InvalidConfig>(())
    /// ```
    pub fn pass_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.pass_headers.extend(names);
        self
    }

    /// Adds query parameters that this endpoint receives although their names look like
    /// credentials, such as `author`, `keyword` or `startkey`.
    ///
    /// See [`pass_credentials`](Self::pass_credentials) for the rule. Each other such parameter is
    /// removed, and a `tracing` event of the level `debug` has its name. Names are compared decoded
    /// and without case. The limits of callers that send different values stay shared.
    ///
    /// ```
    /// # use steadfast_balance::Endpoint;
    /// let endpoint = Endpoint::new("notes", "https://api.example.com")?
    ///     .pass_query(["author", "keyword"]);
    /// # Ok::<(), steadfast_core::InvalidConfig>(())
    /// ```
    pub fn pass_query(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into);
        self.pass_query
            .extend(names.map(|name| name.to_ascii_lowercase()));
        self
    }

    /// Sets whether this endpoint receives `CONNECT`, `TRACE` and upgrades. Defaults to `false`.
    ///
    /// A server answers `TRACE` with the request, so the caller reads the endpoint's credential.
    /// Otherwise such a request fails as a fault of the caller, and no attempt is sent.
    pub fn dangerous_methods(mut self, pass: bool) -> Self {
        self.dangerous_methods = pass;
        self
    }

    /// Sets the formats of the requests that this endpoint takes. Defaults to all, as does an empty
    /// list.
    ///
    /// A request with another [format](RoutingOptions::format) does not go here. A request without
    /// one goes to every endpoint.
    pub fn formats(mut self, formats: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.formats = formats.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the requests that share the limits of the endpoint. Defaults to [`Limits::PerKey`].
    ///
    /// Choose [`Limits::Shared`] if the provider limits all models together.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether the balancer learns a send rate from the refusals of this endpoint. Defaults to
    /// `true`.
    ///
    /// Without a send rate, refusals still start cooldowns. After a cooldown and one accepted
    /// probe, all attempts are admitted at once.
    pub fn learned_rate(mut self, learned: bool) -> Self {
        self.learned_rate = learned;
        self
    }

    /// Sets the address to connect to. It overrides the lookup of the name in the base.
    ///
    /// The balancer only passes the address on, and the client must use it. See
    /// [`Resolve`](crate::Resolve).
    pub fn connect_to(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Returns a separate endpoint for one address of the name.
    pub(crate) fn resolved(mut self, address: SocketAddr) -> Self {
        self.name = format!("{}@{address}", self.name).into();
        self.connect_to(address)
    }

    /// Sets the breaker. Defaults to [`default_breaker`](Self::default_breaker).
    ///
    /// The breaker takes the name of the endpoint.
    pub fn breaker(mut self, breaker: CircuitBreakerBuilder) -> Self {
        self.breaker = breaker;
        self
    }

    /// Gives requests with the limit key `key` the limits of the key `here` at this endpoint.
    ///
    /// For a model with several names: its requests share one state. Of several calls with one
    /// `key`, the first one counts.
    pub fn limit_key_alias(mut self, key: LimitKey, here: LimitKey) -> Self {
        self.key_aliases.push((key, here));
        self
    }

    /// Adds a rule about its replies. The first rule that matches applies, before the tables of the
    /// dialects. See [`Rule`].
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Returns the rules about its replies, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Checks the values that setters accept unchecked.
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        for (n, rule) in self.rules.iter().enumerate() {
            let checked = rule.validate();
            checked.map_err(|error| error.within(&format!("rule[{n}]")))?;
        }
        Weight::new(self.weight)?;
        if !(self.cost.is_finite() && self.cost >= 0.0) {
            return Err(InvalidConfig::new(
                "cost",
                self.cost,
                "must not be negative",
            ));
        }
        self.build_breaker(Observers::new()).map(drop)
    }

    /// Builds the breaker, with the name of the endpoint.
    pub(crate) fn build_breaker(
        &self,
        observers: Observers,
    ) -> Result<CircuitBreaker, InvalidConfig> {
        let builder = self.breaker.clone().name(self.name.clone());
        let built = builder.observers(observers).build();
        built.map_err(|error| error.within("breaker"))
    }

    /// Returns whether both endpoints are the same, apart from tier and weight.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.base == other.base
            && self.address == other.address
            && self.credential == other.credential
            && self.headers == other.headers
            && self.default_headers == other.default_headers
            && self.breaker.has_rules_of(&other.breaker)
            && self.cost == other.cost
            && self.degraded == other.degraded
            && self.larger_context == other.larger_context
            && self.pass_credentials == other.pass_credentials
            && self.pass_headers == other.pass_headers
            && self.pass_query == other.pass_query
            && self.dangerous_methods == other.dangerous_methods
            && self.formats == other.formats
            && self.limits == other.limits
            && self.learned_rate == other.learned_rate
            && self.key_aliases == other.key_aliases
            && self.rules == other.rules
    }

    /// Moves the texts of every request to one buffer, so that a request writes one reference
    /// count.
    pub(crate) fn join_texts(&mut self) {
        let own = self.credential.iter().map(Credential::value);
        let values = self.headers.values().chain(own).map(HeaderValue::as_bytes);
        let authority = self.base.authority.as_str().as_bytes();
        let texts: Vec<&[u8]> = [authority].into_iter().chain(values).collect();
        let mut texts = joined(&texts).into_iter();
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

    /// Returns whether a rejected credential is the endpoint's own.
    ///
    /// A bad key of one caller must not take the endpoint away from all other callers.
    pub(crate) fn answers_for_its_credential(&self) -> bool {
        self.credential.is_some() && !self.passes_credentials()
    }

    /// Returns whether a credential of the caller reaches this endpoint.
    pub(crate) fn passes_credentials(&self) -> bool {
        self.pass_credentials || self.pass_headers.iter().any(is_account)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        &self.name
    }

    /// Returns the [formats](Self::formats) that it takes. Empty for all.
    #[must_use]
    pub fn declared_formats(&self) -> &[String] {
        &self.formats
    }

    /// Returns whether it takes requests of this [format](Self::formats).
    #[must_use]
    pub fn takes(&self, format: &str) -> bool {
        self.formats.is_empty() || self.formats.iter().any(|own| own == format)
    }

    /// Returns whether these options let a request go here.
    pub(crate) fn is_allowed_by(&self, options: &RoutingOptions) -> bool {
        let takes = |format| self.takes(format);
        options.allows(&self.name) && options.known_format().is_none_or(takes)
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

impl fmt::Debug for Endpoint {
    /// Omits the query of the base and the values of headers, because they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("base", &self.base())
            .field("address", &self.address)
            .field("credential", &self.credential)
            .field("headers", &headers)
            .field(
                "default_headers",
                &self.default_headers.keys().collect::<Vec<_>>(),
            )
            .field("tier", &self.tier)
            .field("weight", &self.weight)
            .field("cost", &self.cost)
            .field("degraded", &self.degraded)
            .field("larger_context", &self.larger_context)
            .field("pass_credentials", &self.pass_credentials)
            .field("pass_headers", &self.pass_headers)
            .field("pass_query", &self.pass_query)
            .field("dangerous_methods", &self.dangerous_methods)
            .field("formats", &self.formats)
            .field("limits", &self.limits)
            .field("learned_rate", &self.learned_rate)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_texts_keep_endpoint_same() {
        let endpoint = Endpoint::new("a", "https://a.test:81/v1")
            .unwrap()
            .header(HeaderName::from_static("x-org"), "7".parse().unwrap())
            .api_key(Credential::bearer("sk").unwrap());
        let mut joined = endpoint.clone();
        joined.join_texts();
        assert!(joined.is_same(&endpoint));
        let value = joined.credential.as_ref().map(Credential::value);
        assert!(value.is_some_and(HeaderValue::is_sensitive));
        assert!(!joined.headers["x-org"].is_sensitive());
    }

    /// A replaced endpoint kept the settings of the old one.
    #[test]
    fn changed_setting_makes_another_endpoint() {
        let plain = Endpoint::new("a", "https://a.test/v1").unwrap();
        let (name, value) = (
            HeaderName::from_static("x-org"),
            HeaderValue::from_static("7"),
        );
        let [key, here] = ["a", "b"].map(LimitKey::new);
        for changed in [
            plain.clone().header(name.clone(), value.clone()),
            plain.clone().default_header(name, value),
            plain.clone().limit_key_alias(key, here),
            plain.clone().learned_rate(false),
            plain.clone().degraded(true),
        ] {
            assert!(!plain.is_same(&changed), "{changed:?}");
        }
        assert!(plain.is_same(&plain.clone().tier(2)));
    }

    #[test]
    fn invalid_base_returns_error() {
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
    fn endpoint_debug_hides_secrets() {
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
