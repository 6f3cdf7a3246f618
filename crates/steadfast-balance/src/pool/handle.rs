use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::{Class, EndpointName, Event, InvalidConfig, LimitKey, UnknownEndpoint};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::endpoint::rewrite::strip_root;
use crate::endpoint::weight::Weight;
use crate::pool::Pool;
use crate::pool::snapshot::{ActiveEndpoint, EndpointMode};
use crate::pool::status::EndpointStatus;
use crate::state::EndpointState;

/// Reads the state of a balancer's endpoints, and changes them while requests run.
///
/// Attempts in flight at a changed or removed endpoint continue. Clones and all services of the
/// layer share the endpoints.
///
/// ```
/// use steadfast_balance::{Endpoint, EndpointBalanceLayer, Weight};
///
/// let layer = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("a", "https://a.example.com")?)
///     .build()?;
/// let pool = layer.handle();
/// pool.add(Endpoint::new("b", "https://b.example.com")?)?;
/// pool.set_weight("b", Weight::new(2.0)?)?;
/// pool.disable("a")?;
/// assert!(!pool.status()[0].admissible);
/// pool.remove("a")?;
/// assert!(pool.first().is_some_and(|name| name == "b") && !pool.contains("a"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PoolHandle(Arc<Pool>);

impl PoolHandle {
    /// Creates a handle.
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self(pool)
    }

    /// Returns the state of all endpoints, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        let now = Instant::now();
        let snapshot = self.0.snapshot();
        let status = |entry: &ActiveEndpoint| EndpointStatus::of(entry, now);
        snapshot.all.iter().map(status).collect()
    }

    /// Returns the name of the first endpoint, in the order of the configuration.
    #[must_use]
    pub fn first(&self) -> Option<EndpointName> {
        self.read(|all| all.next().map(|endpoint| endpoint.name.clone()))
    }

    /// Calls `read` with the endpoints in the order of the configuration, disabled ones included.
    ///
    /// `read` sees one state of the pool. No endpoint is copied.
    ///
    /// ```
    /// # use steadfast_balance::{Endpoint, EndpointBalanceLayer};
    /// # let endpoint = Endpoint::new("a", "https://a.example.com")?;
    /// # let layer = EndpointBalanceLayer::builder().endpoint(endpoint).build()?;
    /// let pool = layer.handle();
    /// let messages = pool.read(|endpoints| endpoints.filter(|it| it.takes("messages")).count());
    /// assert_eq!(messages, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<T>(&self, read: impl FnOnce(&mut dyn Iterator<Item = &Endpoint>) -> T) -> T {
        let snapshot = self.0.snapshot();
        read(&mut snapshot.all.iter().map(|entry| &entry.state.config))
    }

    /// Returns whether an endpoint has this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        find(&self.0.snapshot().all, name).is_ok()
    }

    /// Returns the state of one endpoint.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<EndpointStatus> {
        let snapshot = self.0.snapshot();
        let at = find(&snapshot.all, name).ok()?;
        Some(EndpointStatus::of(&snapshot.all[at], Instant::now()))
    }

    /// Returns the number of endpoints, disabled ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.snapshot().all.len()
    }

    /// Returns whether there are no endpoints.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of waiters in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.shared.signals.queue.len()
    }

    /// Returns the request root: the start of the paths that an endpoint replaces by its own. Empty
    /// if there is none.
    #[must_use]
    pub fn request_root(&self) -> &str {
        &self.0.shared.config.request_root
    }

    /// Returns `path` without the request root. Returns it unchanged if it does not begin with it.
    #[must_use]
    #[inline]
    pub fn strip_request_root<'a>(&self, path: &'a str) -> &'a str {
        strip_root(path, &self.0.shared.config.request_root)
    }

    /// Adds an endpoint after the others of its tier.
    ///
    /// # Errors
    ///
    /// Returns an error if an endpoint has this name, or if `endpoint` is invalid.
    pub fn add(&self, endpoint: Endpoint) -> Result<(), InvalidConfig> {
        self.0.edit(|all, new| new(all, endpoint))
    }

    /// Removes an endpoint. No further attempt is sent there. Attempts in flight continue.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn remove(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.0.edit(|all, _| {
            let at = find(all, name)?;
            all.remove(at);
            Ok(())
        })
    }

    /// Replaces all endpoints.
    ///
    /// An endpoint with the same name, base, credential, headers and breaker settings keeps its
    /// state and connections, even if its tier or weight differs.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if two endpoints have the same name, or if one is
    /// invalid.
    pub fn replace(
        &self,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result<(), InvalidConfig> {
        // The iterator is code of the caller, which may use the pool.
        let endpoints: Vec<_> = endpoints.into_iter().collect();
        self.0.edit(|all, new| {
            let before = std::mem::take(all);
            for (n, endpoint) in endpoints.into_iter().enumerate() {
                let within = |error: InvalidConfig| error.within(&format!("endpoint[{n}]"));
                let same = |entry: &&ActiveEndpoint| entry.state.config.is_same(&endpoint);
                let known = before.iter().find(same).cloned();
                let (tier, weight) = (endpoint.tier, endpoint.weight);
                Weight::new(weight).map_err(within)?;
                new(all, endpoint).map_err(within)?;
                if let (Some(known), Some(added)) = (known, all.last_mut()) {
                    *added = ActiveEndpoint {
                        tier,
                        weight,
                        ..known
                    };
                }
            }
            Ok(())
        })
    }

    /// Disables an endpoint until it is [enabled](Self::enable).
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn disable(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.set(name, |entry| entry.service = EndpointMode::Disabled)
    }

    /// Enables an endpoint that was disabled or drained.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn enable(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.set(name, |entry| entry.service = EndpointMode::Enabled)
    }

    /// Disables an endpoint, and waits until its attempts in flight have ended, the bodies of
    /// successes included.
    ///
    /// The endpoint stays disabled until it is [enabled](Self::enable) or [removed](Self::remove).
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    ///
    /// # Cancel safety
    ///
    /// The endpoint is disabled from the call on, even if the future is dropped.
    pub fn drain(
        &self,
        name: &str,
    ) -> Result<impl Future<Output = ()> + Send + 'static, UnknownEndpoint> {
        self.set(name, |entry| entry.service = EndpointMode::Draining)?;
        let endpoint = self.find(name)?;
        Ok(async move { endpoint.load.drained().await })
    }

    /// Sets the weight of an endpoint.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn set_weight(&self, name: &str, weight: Weight) -> Result<(), UnknownEndpoint> {
        self.set(name, |entry| entry.weight = weight.get())
    }

    /// Sets the tier of an endpoint.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn set_tier(&self, name: &str, tier: u16) -> Result<(), UnknownEndpoint> {
        self.set(name, |entry| entry.tier = tier)
    }

    /// Starts a cooldown of `wait`, at most a day. It replaces a present cooldown, even a longer
    /// one. Zero ends a cooldown: the next attempt is a probe.
    ///
    /// For the knowledge of another instance or of an operator. An event with `per_credential`
    /// concerns only one caller of the other instance, and is no reason for a cooldown here.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn cool(&self, name: &str, wait: Duration) -> Result<(), UnknownEndpoint> {
        self.order(name, None, wait)
    }

    /// Starts a cooldown of `wait` for the requests with `key`, like [`cool`](Self::cool) for all
    /// requests.
    ///
    /// At an endpoint with [shared limits](crate::Limits::Shared), all requests are concerned. At
    /// an endpoint that passes credentials on, the key of each known credential is concerned.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn cool_key(
        &self,
        name: &str,
        key: &LimitKey,
        wait: Duration,
    ) -> Result<(), UnknownEndpoint> {
        self.order(name, Some(key), wait)
    }

    /// Opens the breaker of an endpoint, for example for failures that another instance has seen.
    /// The breaker recovers as usual.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn trip(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.find(name)?.trip();
        Ok(())
    }

    /// Ends the cooldowns and benches of an endpoint and of all its limit keys early. The next
    /// attempt of each key is a probe.
    ///
    /// For an operator that has paid a bill or replaced a revoked key. The breaker and the learned
    /// send rates stay.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn restore(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.change(name, EndpointState::restore)
    }

    /// Closes the breaker of an endpoint and clears its windows. Forgets its cooldowns, benches and
    /// learned send rates, and those of all its limit keys.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint has this name.
    pub fn reset(&self, name: &str) -> Result<(), UnknownEndpoint> {
        self.change(name, EndpointState::reset)
    }

    /// Changes the state of an endpoint by order.
    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&EndpointState, Instant),
    ) -> Result<(), UnknownEndpoint> {
        let now = Instant::now();
        change(&*self.find(name)?, now);
        // Also requests that wait for a busy service of another endpoint.
        self.0.shared.signals.queue.wake_all(now);
        Ok(())
    }

    /// Returns the pool.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.0
    }

    /// Starts or ends a cooldown by order.
    fn order(
        &self,
        name: &str,
        key: Option<&LimitKey>,
        wait: Duration,
    ) -> Result<(), UnknownEndpoint> {
        let endpoint = self.find(name)?;
        let now = Instant::now();
        let (key, wait) = endpoint.limits.order(key, wait, now);
        if !wait.is_zero() {
            self.0.shared.signals.observers.emit(&Event::Cooldown {
                endpoint: endpoint.config.name.clone(),
                key,
                per_credential: false,
                class: Class::RateLimited,
                wait,
            });
        }
        // Also requests that wait for a busy service of another endpoint.
        self.0.shared.signals.queue.wake_all(now);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Arc<EndpointState>, UnknownEndpoint> {
        let snapshot = self.0.snapshot();
        let at = find(&snapshot.all, name)?;
        Ok(snapshot.all[at].state.clone())
    }

    /// Changes one endpoint, and notifies the waiters.
    fn set(
        &self,
        name: &str,
        change: impl FnOnce(&mut ActiveEndpoint),
    ) -> Result<(), UnknownEndpoint> {
        self.0.edit(|all, _| {
            let at = find(all, name)?;
            change(&mut all[at]);
            Ok(())
        })
    }
}

fn find(all: &[ActiveEndpoint], name: &str) -> Result<usize, UnknownEndpoint> {
    let known = |entry: &ActiveEndpoint| entry.state.config.name == *name;
    all.iter()
        .position(known)
        .ok_or_else(|| UnknownEndpoint::new(name))
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolHandle").field(&self.status()).finish()
    }
}
