//! Admission of handles: holds, errors and permits.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::sync::lock;

pub(crate) type AnyError = Box<dyn Any + Send + Sync>;
pub(crate) type Permit = Option<OwnedSemaphorePermit>;
pub(crate) type Admission = Pin<Box<dyn Future<Output = Result<Permit, AnyError>> + Send + Sync>>;

/// Decides which handles may become ready.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: watch::Sender<GateState>,
    limit: Mutex<Option<Arc<Semaphore>>>,
}

/// The state that handles wait for.
#[derive(Debug, Default)]
struct GateState {
    held: bool,
    errors: VecDeque<AnyError>,
}

impl Gate {
    /// Holds all handles, or releases them.
    pub(crate) fn set_held(&self, held: bool) {
        self.state.send_modify(|state| state.held = held);
    }

    /// Queues an error for the next handle that polls.
    pub(crate) fn fail(&self, error: AnyError) {
        self.state
            .send_modify(|state| state.errors.push_back(error));
    }

    /// Sets the number of permits.
    pub(crate) fn limit(&self, permits: usize) {
        *lock(&self.limit) = Some(Arc::new(Semaphore::new(permits)));
    }

    /// Waits until the gate is open, then for a permit.
    pub(crate) async fn pass(&self) -> Result<Permit, AnyError> {
        let mut state = self.state.subscribe();
        loop {
            // Waiting fails only if the sender is gone, and `self` has it.
            let _ = state
                .wait_for(|state| !state.held || !state.errors.is_empty())
                .await;
            if let Some(error) = self.take_error() {
                return Err(error);
            }
            let Some(limit) = lock(&self.limit).clone() else {
                return Ok(None);
            };
            tokio::select! {
                biased;
                permit = limit.acquire_owned() => return Ok(permit.ok()),
                _ = state.wait_for(|state| !state.errors.is_empty()) => {}
            }
        }
    }

    /// Takes the readiness error, if there is one.
    fn take_error(&self) -> Option<AnyError> {
        let mut error = None;
        self.state.send_if_modified(|state| {
            error = state.errors.pop_front();
            false
        });
        error
    }
}
