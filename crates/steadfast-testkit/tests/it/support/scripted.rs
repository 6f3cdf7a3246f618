//! A service with scripted readiness, under the contract checker.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use steadfast_testkit::Contract;
use tokio_test::task;
use tower::Service;

pub(crate) type Checked = task::Spawn<Contract<Scripted>>;

/// A service with scripted readiness. It answers `true` at once and fails for `false`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) readiness: Vec<Poll<Result<(), &'static str>>>,
}

impl Service<bool> for Scripted {
    type Response = bool;
    type Error = &'static str;
    type Future = Ready<Result<bool, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.readiness.pop().unwrap_or(Poll::Ready(Ok(())))
    }

    fn call(&mut self, request: bool) -> Self::Future {
        ready(request.then_some(request).ok_or("refused"))
    }
}

pub(crate) fn checked() -> Checked {
    task::spawn(Contract::new(Scripted::default()))
}

pub(crate) fn limited(permits: usize) -> Checked {
    task::spawn(Contract::new(Scripted::default()).limit(permits))
}

/// The last of `readiness` is the first answer.
pub(crate) fn scripted(readiness: impl Into<Vec<Poll<Result<(), &'static str>>>>) -> Checked {
    let readiness = readiness.into();
    task::spawn(Contract::new(Scripted { readiness }))
}

pub(crate) fn poll_ready(service: &mut Checked) -> Poll<Result<(), &'static str>> {
    service.enter(|cx, mut service| service.poll_ready(cx))
}

pub(crate) fn another(service: &Checked) -> Checked {
    task::spawn(Contract::clone(service))
}
