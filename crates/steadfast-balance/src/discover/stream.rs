//! Endpoints from a stream of changes.

use std::future::poll_fn;
use std::pin::pin;

use steadfast_core::InvalidConfig;
use tower::discover::{Change, Discover};

use crate::endpoint::Endpoint;
use crate::pool::handle::PoolHandle;

impl PoolHandle {
    /// Adds and removes endpoints as a stream of changes says, until it ends.
    ///
    /// An `Insert` under a known key takes the place of what was there. If that stays the same, in
    /// its name, base, credential and headers, it keeps its state. `Remove` takes out what was put
    /// there under this key, and nothing else: endpoints from elsewhere are left alone.
    ///
    /// An endpoint that is misconfigured, or has the name of another one, is passed over with a
    /// `tracing` event at level `info`. What an `Insert` under a known key would have replaced
    /// stays then. It is tried again when something else that the stream has put there goes: during
    /// a rolling update the new one often comes before the old one has gone.
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
    /// Ends with the error of the stream.
    ///
    /// # Cancel safety
    ///
    /// Each change is whole. The endpoints stay as they are when the stream ends, fails, or is not
    /// followed any more.
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

/// The endpoints that came from a stream, by their keys there.
struct Placed<K> {
    /// The pool that the endpoints are added to.
    pool: PoolHandle,
    /// The ids of the endpoints by their key in the stream.
    ids: Vec<(K, u64)>,
    /// What could not be put there, as its name was taken.
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
            // What was there under this key may have had the name of another one.
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

    /// Puts an endpoint into the pool, or keeps it until its name may be free.
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

    /// Adds endpoints that were rejected before, for example for a duplicate name.
    fn try_again(&mut self) {
        // One that gets its place may leave a name to another one.
        let mut goes_on = true;
        while goes_on {
            let again = std::mem::take(&mut self.passed_over);
            let before = again.len();
            for (key, endpoint) in again {
                // It was told of already, and is kept again.
                let _ = self.put(key, endpoint);
            }
            goes_on = self.passed_over.len() < before;
        }
    }
}
