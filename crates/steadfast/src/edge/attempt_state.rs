//! The state of one attempt, beside the future of its client and the response.

use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Classified, Deadline, LimitKey, Trail};
use tokio::time::{Instant, Sleep};

use crate::answers::StreamMode;
use crate::body::RequestBody;
use crate::edge::asked::Asked;
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::pace::Pace;
use crate::edge::settings::Settings;
use crate::notes::Notes;
use crate::timeouts::Timeouts;

/// The outcome of an attempt.
pub(super) type Outcome<B> = Result<Response<EdgeBody<B>>, BoxError>;

pin_project! {
    /// The state of an attempt beside the future of its client.
    ///
    /// One allocation holds it from the start of the attempt to its verdict.
    #[project = Running]
    pub(crate) struct Attempt {
        // The instants at which its parts are late.
        pub(crate) limits: Limits,
        // Compares it with the usual latencies.
        pub(crate) pace: Pace,
        // Its request.
        pub(crate) asked: Asked,
        // Runs while the head or a whole answer is pending.
        #[pin]
        pub(crate) timer: Option<Sleep>,
    }
}

impl Attempt {
    /// Starts the attempt of a request now.
    ///
    /// # Errors
    ///
    /// Returns the error of an attempt that has no time left.
    pub(super) fn of(
        request: &Request<RequestBody>,
        settings: &Arc<Settings>,
    ) -> Result<Pin<Box<Self>>, Classified> {
        let now = Instant::now();
        // Each is searched once.
        let extensions = request.extensions();
        let (own, shared) = (Timeouts::of(extensions), &settings.shared.timeouts);
        let deadline = Deadline::of(extensions);
        let streams = extensions.get().copied();
        let streams = streams.unwrap_or(settings.shared.streams);
        let limits = Limits::new((own, shared), deadline, Notes::of(request.body()), now);
        if let Some(late) = limits.passed() {
            return Err(late);
        }
        let model = LimitKey::of(extensions).map_or(0, LimitKey::hash_value);
        // A buffered stream takes as long as a whole answer.
        let model = (model, limits.streaming && streams == StreamMode::Direct);
        let times = (own.unwrap_or(shared).rescue_after, deadline);
        let pace = Pace::new(settings.clone(), Trail::of(extensions), model, times, now);
        Ok(Box::pin(Self {
            limits,
            pace,
            asked: Asked::of(request, streams, settings.clone()),
            timer: None,
        }))
    }
}
