use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use steadfast_balance::{Endpoint, EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use steadfast_core::BoxError;
use tower::{Layer, Service};

use super::net::{Client, Net};

/// Determines the readiness of each endpoint of a test.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<String, Gate>>>);

struct Gate {
    free: usize,
    /// The number of `poll_ready` calls that still fail.
    errors: usize,
    polls: usize,
    wakers: Vec<Waker>,
}

#[derive(Clone)]
pub(crate) struct GateLayer(Gates, String);

/// A service with a limited number of slots. A ready handle holds one slot, and the future of
/// its call keeps it.
pub(crate) struct Gated<S> {
    inner: S,
    gate: GateLayer,
    slot: Option<Slot>,
}

struct Slot(GateLayer);

/// A balancer with a gate before each endpoint.
pub(crate) fn gated_balancer(
    builder: EndpointBalanceBuilder,
    net: &Net,
    gates: &Gates,
) -> (EndpointBalance<Gated<Client>>, PoolHandle) {
    let gates = gates.clone();
    let layer = builder
        .endpoint_layer(move |endpoint| gates.layer(endpoint))
        .build()
        .expect("valid");
    let handle = layer.handle();
    (layer.layer(net.client()), handle)
}

impl Gates {
    pub(crate) fn layer(&self, endpoint: &Endpoint) -> GateLayer {
        let gate = Gate {
            free: usize::MAX / 2,
            errors: 0,
            polls: 0,
            wakers: Vec::new(),
        };
        let name = endpoint.name().to_string();
        self.0.lock().unwrap().insert(name.clone(), gate);
        GateLayer(self.clone(), name)
    }

    /// Sets the number of free slots.
    pub(crate) fn set_free_slots(&self, name: &str, free: usize) {
        self.with(name, |gate| gate.free = free);
    }

    /// Lets the next `times` calls of `poll_ready` fail.
    pub(crate) fn fail_readiness(&self, name: &str, times: usize) {
        self.with(name, |gate| gate.errors = times);
    }

    pub(crate) fn free_slots(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].free
    }

    pub(crate) fn ready_polls(&self, name: &str) -> usize {
        self.0.lock().unwrap()[name].polls
    }

    /// Changes a gate and wakes its waiters.
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Gate) -> T) -> T {
        let mut gates = self.0.lock().unwrap();
        let gate = gates.get_mut(name).expect("the endpoint has a gate");
        let result = change(gate);
        let wakers = std::mem::take(&mut gate.wakers);
        drop(gates);
        wakers.into_iter().for_each(Waker::wake);
        result
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
        let mut gates = self.gate.0.0.lock().unwrap();
        let gate = gates.get_mut(&self.gate.1).expect("the endpoint exists");
        gate.polls += 1;
        if gate.errors > 0 {
            gate.errors -= 1;
            return Poll::Ready(Err("endpoint lost".into()));
        }
        if self.slot.is_none() {
            if gate.free == 0 {
                gate.wakers.push(cx.waker().clone());
                return Poll::Pending;
            }
            gate.free -= 1;
            self.slot = Some(Slot(self.gate.clone()));
        }
        drop(gates);
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let slot = self.slot.take().expect("called without readiness");
        let future = self.inner.call(request);
        Box::pin(async move {
            let _place = slot;
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
