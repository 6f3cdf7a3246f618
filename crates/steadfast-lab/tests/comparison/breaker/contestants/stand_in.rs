use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Response, StatusCode};
use metrics::gauge;
use tokio::time::Instant;
use tower::Service;

use super::{
    Ask, Backend, Circuit, Contestant, Layered, NotAsked, Outcome, Reaction, Setting, Time,
};
use crate::breaker::backend::Script;

/// Lets everything through.
pub(crate) struct Never;

/// A breaker without care: any result but a timely `200` is a failure, a cancelled probe never
/// ends, and the call is made before admission.
pub(crate) struct Naive;

impl Contestant for Never {
    fn package(&self) -> &'static str {
        "tower"
    }

    fn configured(&self) -> &'static str {
        "nothing"
    }

    fn time(&self) -> Time {
        Time::Tokio
    }

    fn probes(&self) -> usize {
        0
    }

    fn circuit(&self, _: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        Ok(Layered::boxed(backend.clone(), |_| Outcome::Failed))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        vec![Reaction::Taken]
    }
}

impl Contestant for Naive {
    fn package(&self) -> &'static str {
        "tower"
    }

    fn configured(&self) -> &'static str {
        "five failures, one probe"
    }

    fn time(&self) -> Time {
        Time::Tokio
    }

    fn probes(&self) -> usize {
        1
    }

    fn circuit(&self, setting: &Setting, backend: &Backend) -> Result<Box<dyn Circuit>, NotAsked> {
        let service = NaiveService {
            inner: backend.clone(),
            state: Arc::default(),
            open: setting.open,
        };
        Ok(Layered::boxed(service, |error| match error {
            Some(_) => Outcome::Failed,
            None => Outcome::REJECTED,
        }))
    }

    fn nonsense(&self) -> Vec<Reaction> {
        vec![Reaction::Panicked]
    }
}

#[derive(Clone)]
struct NaiveService {
    inner: Backend,
    state: Arc<Mutex<State>>,
    open: Duration,
}

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    is_probing: bool,
}

impl State {
    fn end(&mut self, is_success: bool, open: Duration) {
        let now = Instant::now();
        if is_success {
            *self = Self::default();
            publish("closed");
        } else {
            self.failures += 1;
            self.is_probing = false;
        }
        if self.failures >= 5 {
            self.until = Some(now + open);
            publish("open");
        }
    }
}

fn publish(state: &'static str) {
    gauge!("naive_state", "state" => state).set(1.0);
}

impl Service<Ask> for NaiveService {
    type Response = Response<Script>;
    type Error = Option<io::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Script>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Some)
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        // Not the handle that was ready.
        let call = self.inner.clone().call(ask);
        let mut state = self.state.lock().expect("no panic");
        if let Some(until) = state.until {
            if state.is_probing || Instant::now() < until {
                return Box::pin(async { Err(None) });
            }
            state.is_probing = true;
        }
        let mut attempt = Attempt {
            state: self.state.clone(),
            open: self.open,
            is_over: false,
        };
        Box::pin(async move {
            let result = call.await;
            let is_success = (result.as_ref())
                .is_ok_and(|response: &Response<Script>| response.status() == StatusCode::OK);
            attempt.is_over = true;
            let mut state = attempt.state.lock().expect("no panic");
            state.end(is_success, attempt.open);
            result.map_err(Some)
        })
    }
}

struct Attempt {
    state: Arc<Mutex<State>>,
    open: Duration,
    is_over: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.state.lock().expect("no panic");
        if !self.is_over && !state.is_probing {
            state.end(false, self.open);
        }
    }
}
