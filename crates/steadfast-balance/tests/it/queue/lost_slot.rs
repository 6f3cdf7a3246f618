//! A request that loses its slot to another request.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, StatusCode};
use steadfast_core::Exhausted;
use tokio::time::{Instant, advance};
use tower::{Layer, Service};

use super::{server_with_limit_of_ten, use_all_slots};
use crate::support::{Body, Client, MS, Net, SECOND, balancer, endpoint, get, ok, pool, send};
use steadfast_balance::Endpoint;

/// Such a request was rejected without a wait, although it had arrived at a free slot.
#[tokio::test(start_paused = true)]
async fn request_that_loses_its_slot_to_another_waits_for_the_next_slot() {
    for (max_wait, is_served) in [(SECOND, true), (Duration::ZERO, false)] {
        let net = Net::new();
        net.on("a", server_with_limit_of_ten);
        let layer = pool(&["a"]).max_wait(max_wait).build().expect("valid");
        let (handle, other) = (layer.handle(), Other::default());
        let service = layer.layer(Interrupted {
            client: net.client(),
            other: other.clone(),
        });
        use_all_slots(&service, &handle).await;
        advance(100 * MS).await;

        // It arrives between the check of the slot and its reservation.
        let mut rival = tokio_test::task::spawn(service.clone().call(get()));
        *other.lock().unwrap() = Some(Box::new(move || drop(rival.poll())));
        let start = Instant::now();
        let answer = send(&service, get()).await;
        match answer {
            Ok(answer) => assert_eq!((answer.status(), is_served), (StatusCode::OK, true)),
            Err(error) => {
                let hint = Exhausted::find(&*error).expect("typed").retry_in();
                assert!(!is_served && hint.is_some_and(|hint| hint <= 100 * MS));
            }
        }
        assert!(start.elapsed() <= 200 * MS, "{:?}", start.elapsed());
        assert_eq!(handle.waiting(), 0);
    }
}

/// The action of another request.
type Other = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A client with a readiness check that another request interrupts once.
#[derive(Clone)]
struct Interrupted {
    client: Client,
    other: Other,
}

impl Service<Request<Body>> for Interrupted {
    type Response = <Client as Service<Request<Body>>>::Response;
    type Error = <Client as Service<Request<Body>>>::Error;
    type Future = <Client as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let other = self.other.lock().unwrap().take();
        if let Some(other) = other {
            other();
        }
        Service::<Request<Body>>::poll_ready(&mut self.client, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.client.call(request)
    }
}

/// Such requests tried again each millisecond, which let nearly all of them pass at once.
#[tokio::test(start_paused = true)]
async fn request_beyond_the_share_of_a_ramp_does_not_wait() {
    let net = Net::new();
    net.on("a", |_| ok());
    let ramp = Endpoint::default_breaker().jitter(0.0).ramp(100 * SECOND);
    let (service, handle) = balancer(pool(&[]).endpoint(endpoint("a").breaker(ramp)), &net);
    handle.trip("a").expect("known");
    advance(5 * SECOND).await;
    assert_eq!(send(&service, get()).await.expect("a probe").status(), 200);
    let start = Instant::now();
    let mut served = 0;
    for _ in 0..100 {
        served += usize::from(send(&service, get()).await.is_ok());
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "none waits");
    assert!((5..20).contains(&served), "{served}");
}
