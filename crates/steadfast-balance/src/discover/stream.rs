//! Endpoints from a stream of changes.

use std::future::poll_fn;
use std::pin::pin;

use steadfast_core::InvalidConfig;
use tower::discover::{Change, Discover};

use crate::endpoint::Endpoint;
use crate::pool::handle::PoolHandle;

impl PoolHandle {
    /// Adds and removes endpoints by a stream of changes, until the stream ends.
    ///
    /// An `Insert` under a known key replaces the endpoint of this key. If name, base, credential
    /// and headers are the same, the endpoint keeps its state. A `Remove` removes the endpoint of
    /// its key only. Endpoints from other sources do not change.
    ///
    /// If an endpoint is invalid or its name is in use, it is passed over. A `tracing` event at
    /// level `info` reports it, and the earlier endpoint of its key stays. It is tried again after
    /// each later `Remove` or `Insert` that changes the pool. During a rolling update, a new
    /// endpoint often arrives before the old one of the same name is removed.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use steadfast_balance::{Endpoint, EndpointBalanceLayer};
    /// use tower::discover::Change;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = EndpointBalanceLayer::builder().build_empty()?;
    /// let pool = layer.handle();
    /// let changes = tokio_stream::iter([
    ///     Change::Insert(1, Endpoint::new("a", "https://a.example.com")?),
    ///     Change::Insert(2, Endpoint::new("b", "https://b.example.com")?),
    ///     Change::Remove(1),
    /// ]);
    /// // Usually in a task of its own.
    /// pool.follow(tokio_stream::StreamExt::map(changes, Ok::<_, Infallible>)).await?;
    /// assert_eq!(pool.status().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the stream.
    ///
    /// # Cancel safety
    ///
    /// Each change is applied as a whole. If the stream ends or fails, or the future is dropped,
    /// the endpoints stay in the pool.
    pub fn follow<D>(&self, changes: D) -> impl Future<Output = Result<(), D::Error>> + use<D>
    where
        D: Discover<Service = Endpoint>,
    {
        let pool = self.clone();
        async move {
            let mut changes = pin!(changes);
            let mut placed = Placed::<D::Key>::new(pool);
            while let Some(change) = poll_fn(|cx| changes.as_mut().poll_discover(cx)).await {
                match change? {
                    Change::Insert(key, endpoint) => placed.insert(key, endpoint),
                    Change::Remove(key) => placed.remove(&key),
                }
            }
            Ok(())
        }
    }
}

/// The endpoints of a stream, by key.
struct Placed<K> {
    /// The pool that the endpoints are added to.
    pool: PoolHandle,
    /// The ids of the endpoints by their key in the stream.
    ids: Vec<(K, u64)>,
    /// The endpoints that the pool rejected, for example for a duplicate name.
    passed_over: Vec<(K, Endpoint)>,
}

impl<K: Eq> Placed<K> {
    /// Starts without endpoints.
    fn new(pool: PoolHandle) -> Self {
        Self {
            pool,
            ids: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    /// Adds or replaces the endpoint of a key.
    fn insert(&mut self, key: K, endpoint: Endpoint) {
        self.passed_over.retain(|(known, _)| *known != key);
        let name = endpoint.name().clone();
        match self.put(key, endpoint) {
            // The replaced endpoint may have had the name of an endpoint that was passed over.
            Ok(()) => self.try_again(),
            Err(error) => tracing::info!(endpoint = %name, %error, "endpoint passed over"),
        }
    }

    /// Removes the endpoint of a key.
    fn remove(&mut self, key: &K) {
        self.passed_over.retain(|(known, _)| known != key);
        if let Some(at) = self.ids.iter().position(|(known, _)| known == key) {
            let (_, id) = self.ids.swap_remove(at);
            self.pool.take(id);
            self.try_again();
        }
    }

    /// Puts an endpoint into the pool. If the pool rejects it, keeps it for a later try.
    fn put(&mut self, key: K, endpoint: Endpoint) -> Result<(), InvalidConfig> {
        let known = self.ids.iter_mut().find(|(known, _)| *known == key);
        let old = known.as_ref().map(|(_, id)| *id);
        match (self.pool.put(old, endpoint.clone()), known) {
            (Ok(id), Some(known)) => known.1 = id,
            (Ok(id), None) => self.ids.push((key, id)),
            (Err(error), _) => {
                self.passed_over.push((key, endpoint));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tries the endpoints again that were passed over, until no further one is added.
    fn try_again(&mut self) {
        // An endpoint that replaces another one may free a name that a further endpoint needs.
        let mut goes_on = true;
        while goes_on {
            let again = std::mem::take(&mut self.passed_over);
            let before = again.len();
            for (key, endpoint) in again {
                // The first failure was reported. `put` keeps the endpoint again.
                let _ = self.put(key, endpoint);
            }
            goes_on = self.passed_over.len() < before;
        }
    }
}
