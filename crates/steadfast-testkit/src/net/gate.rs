use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tower_layer::Layer;
use tower_service::Service;

use super::reply::BoxError;
use crate::sync::lock;

/// The readiness of each service of a test, by name.
///
/// Clones share the gates. A new gate has slots without limit.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<HashMap<String, Gate>>>);

struct Gate {
    free: usize,
    /// The number of `poll_ready` calls that still fail.
    errors: usize,
    polls: usize,
    wakers: Vec<Waker>,
}

/// Applies [`Gated`] to a service. Created by [`Gates::layer`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct GateLayer(Gates, String);

/// A service with a limited number of slots.
///
/// A ready handle holds one slot, and the future of its call keeps the slot. A clone starts without
/// a slot.
pub struct Gated<S> {
    inner: S,
    gate: GateLayer,
    slot: Option<Slot>,
}

struct Slot(GateLayer);

impl Gates {
    /// Creates the gate of this name, without a limit of its slots, and returns its layer.
    pub fn layer(&self, name: &str) -> GateLayer {
        let gate = Gate {
            free: usize::MAX / 2,
            errors: 0,
            polls: 0,
            wakers: Vec::new(),
        };
        lock(&self.0).insert(name.to_owned(), gate);
        GateLayer(self.clone(), name.to_owned())
    }

    /// Sets the number of free slots, and wakes the waiting tasks.
    ///
    /// # Panics
    ///
    /// If no gate has this name.
    pub fn set_free_slots(&self, name: &str, free: usize) {
        self.with(name, |gate| gate.free = free);
    }

    /// Lets the next `times` calls of `poll_ready` fail, and wakes the waiting tasks.
    ///
    /// # Panics
    ///
    /// If no gate has this name.
    pub fn fail_readiness(&self, name: &str, times: usize) {
        self.with(name, |gate| gate.errors = times);
    }

    /// Returns the number of free slots.
    ///
    /// # Panics
    ///
    /// If no gate has this name.
    #[must_use]
    pub fn free_slots(&self, name: &str) -> usize {
        lock(&self.0)[name].free
    }

    /// Returns the number of calls of `poll_ready`.
    ///
    /// # Panics
    ///
    /// If no gate has this name.
    #[must_use]
    pub fn ready_polls(&self, name: &str) -> usize {
        lock(&self.0)[name].polls
    }

    /// Changes a gate and wakes its waiters.
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Gate) -> T) -> T {
        let mut gates = lock(&self.0);
        let gate = gates.get_mut(name).expect("a gate of this name");
        let result = change(gate);
        let wakers = std::mem::take(&mut gate.wakers);
        drop(gates);
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

impl GateLayer {
    /// Takes a slot, or waits for one if `slot` is empty.
    fn poll_slot(&self, slot: &mut Option<Slot>, cx: &Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut gates = lock(&self.0.0);
        let gate = gates.get_mut(&self.1).expect("the layer has a gate");
        gate.polls += 1;
        if gate.errors > 0 {
            gate.errors -= 1;
            return Poll::Ready(Err("endpoint lost".into()));
        }
        if slot.is_some() {
            return Poll::Ready(Ok(()));
        }
        if gate.free == 0 {
            gate.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        gate.free -= 1;
        *slot = Some(Slot(self.clone()));
        Poll::Ready(Ok(()))
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.clone(),
            slot: None,
        }
    }
}

impl<S, Req> Service<Req> for Gated<S>
where
    S: Service<Req, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        std::task::ready!(self.gate.poll_slot(&mut self.slot, cx))?;
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let slot = self.slot.take().expect("called without readiness");
        let future = self.inner.call(request);
        Box::pin(async move {
            let _slot = slot;
            future.await
        })
    }
}

impl<S: Clone> Clone for Gated<S> {
    // A slot belongs to one handle.
    fn clone(&self) -> Self {
        self.gate.layer(self.inner.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.with(&self.0.1, |gate| gate.free += 1);
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gates = lock(&self.0);
        let slots = gates.iter().map(|(name, gate)| (name, gate.free));
        f.debug_map().entries(slots).finish()
    }
}

impl<S: fmt::Debug> fmt::Debug for Gated<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated")
            .field("inner", &self.inner)
            .field("has_slot", &self.slot.is_some())
            .finish_non_exhaustive()
    }
}
