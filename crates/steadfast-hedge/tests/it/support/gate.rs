use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use steadfast_balance::{Endpoint, EndpointBalance, EndpointBalanceBuilder, PoolHandle};
use steadfast_core::BoxError;
use tower::{Layer, Service};

use super::net::{Client, Net};

/// Decides for each endpoint of a test whether its service is ready.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<String, Gate>>>);

struct Gate {
    room: usize,
    wakers: Vec<Waker>,
}

#[derive(Clone)]
pub(crate) struct GateLayer(Gates, String);

/// A service with limited readiness. A ready instance occupies one slot, which the future of its
/// call keeps.
pub(crate) struct Gated<S> {
    inner: S,
    gate: GateLayer,
    place: Option<Place>,
}

struct Place(GateLayer);

/// Creates a balancer with a gate for the readiness of each endpoint.
pub(crate) fn gated(
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
            room: usize::MAX / 2,
            wakers: Vec::new(),
        };
        let name = endpoint.name().to_string();
        self.0.lock().unwrap().insert(name.clone(), gate);
        GateLayer(self.clone(), name)
    }

    /// Sets the free slots.
    pub(crate) fn room(&self, name: &str, room: usize) {
        self.with(name, |gate| gate.room = room);
    }

    /// Changes a gate and wakes its waiters.
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Gate) -> T) -> T {
        let mut gates = self.0.lock().unwrap();
        let gate = gates.get_mut(name).expect("a layer was made for it");
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
            place: None,
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
        let gate = gates.get_mut(&self.gate.1).expect("it is there");
        if self.place.is_none() {
            if gate.room == 0 {
                gate.wakers.push(cx.waker().clone());
                return Poll::Pending;
            }
            gate.room -= 1;
            self.place = Some(Place(self.gate.clone()));
        }
        drop(gates);
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let place = self.place.take().expect("called without readiness");
        let future = self.inner.call(request);
        Box::pin(async move {
            let _place = place;
            future.await
        })
    }
}

impl<S: Clone> Clone for Gated<S> {
    // A slot belongs to one instance.
    fn clone(&self) -> Self {
        self.gate.layer(self.inner.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.with(&self.0.1, |gate| gate.room += 1);
    }
}
