//! Reads request bodies into memory, with a bound on all of them together.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::growing::Growing;
use super::limits::Limits;
use super::reject::{reject, unavailable};

/// The unit of the bound on all bodies.
const KIB: usize = 1024;
/// The bound on the bytes of all bodies together, and the limits of each body.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    limits: Arc<Limits>,
    /// The free memory in KiB.
    memory: Arc<Semaphore>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Its header announces more than this maximum.
    Announced(usize),
    /// The client ended it early.
    Broken,
    /// It made too little progress.
    Late,
    /// All bodies together use the memory.
    NoMemory,
    /// It has more than this maximum.
    TooLarge(usize),
}

/// The data of a body, with its share of the memory until the last reference to it is dropped.
struct Held {
    data: Growing,
    share: Option<OwnedSemaphorePermit>,
}

impl Intake {
    pub(crate) fn new(limits: &Limits) -> Self {
        let memory = limits.body_memory / KIB as u64;
        Self {
            limits: Arc::new(limits.clone()),
            memory: Arc::new(Semaphore::new(memory as usize)),
        }
    }

    /// Reads the whole body, so that each attempt can send it.
    pub(crate) async fn read(&self, body: &mut Body) -> Result<Bytes, Unread> {
        let hint = body.size_hint();
        if hint.lower() > self.limits.max_body as u64 {
            return Err(Unread::Announced(self.limits.max_body));
        }
        // At most `max_body`, so it fits.
        let room = hint
            .exact()
            .map_or(self.limits.max_body, |size| size as usize);
        let mut held = Held {
            data: Growing::new(),
            share: None,
        };
        let start = Instant::now();
        loop {
            let until = start + self.limits.body_time(held.data.len());
            match timeout_at(until, body.frame()).await {
                Err(_) => return Err(Unread::Late),
                Ok(Some(Err(_))) => return Err(Unread::Broken),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.push(&mut held, data, room)?;
                    }
                }
                Ok(None) => return Ok(held.into_bytes()),
            }
        }
    }

    fn push(&self, held: &mut Held, data: &[u8], room: usize) -> Result<(), Unread> {
        let length = held.data.len() + data.len();
        if length > self.limits.max_body {
            return Err(Unread::TooLarge(self.limits.max_body));
        }
        self.reserve(held, length)?;
        // Pages that the system does not have are memory beyond the bound.
        held.data.push(data, room).map_err(|_| Unread::NoMemory)
    }

    /// Takes the memory for `length` bytes. Data that was not received takes none: a client could
    /// announce a large body for free.
    fn reserve(&self, held: &mut Held, length: usize) -> Result<(), Unread> {
        let taken = held.share.as_ref().map_or(0, |share| share.num_permits());
        let missing = length.div_ceil(KIB).saturating_sub(taken);
        if missing == 0 {
            return Ok(());
        }
        // A body has at most `max_body`, which is far below this maximum.
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let memory = self.memory.clone();
        let share = memory.try_acquire_many_owned(missing);
        let share = share.map_err(|_| Unread::NoMemory)?;
        match &mut held.share {
            Some(held) => held.merge(share),
            None => held.share = Some(share),
        }
        Ok(())
    }
}

impl Held {
    fn into_bytes(self) -> Bytes {
        if self.data.len() == 0 {
            return Bytes::new();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
    }
}

impl Unread {
    /// Whether the client may still send data that must be drained, so that it reads the answer.
    pub(crate) fn has_rest(self, expects_continue: bool) -> bool {
        match self {
            // To read the body would send `100 Continue` to a client that waits for it.
            Self::Announced(_) => !expects_continue,
            Self::NoMemory | Self::TooLarge(_) => true,
            Self::Broken | Self::Late => false,
        }
    }
}

impl IntoResponse for Unread {
    fn into_response(self) -> Response {
        match self {
            Self::Announced(max) | Self::TooLarge(max) => {
                let message = format!("the body has more than {max} bytes");
                reject(StatusCode::PAYLOAD_TOO_LARGE, &message, "body_too_large")
            }
            Self::Broken => reject(
                StatusCode::BAD_REQUEST,
                "the body is incomplete",
                "broken_body",
            ),
            Self::Late => reject(
                StatusCode::REQUEST_TIMEOUT,
                "the body arrived too slowly",
                "slow_body",
            ),
            Self::NoMemory => unavailable("no memory for the body", "no_memory"),
        }
    }
}
