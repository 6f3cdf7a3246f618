//! Requests through the stack, with their numbers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use steadfast::{AiStack, BoxError, Class, ResponseBody, Trail};

use crate::error::{ApiError, check};
use crate::metrics::Counters;

/// A stack, and the numbers of its requests. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) ai: AiStack,
    pub(crate) counters: Arc<Counters>,
}

/// The largest whole answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

impl Sender {
    pub(crate) fn new(ai: AiStack) -> Self {
        Self {
            ai,
            counters: Arc::default(),
        }
    }

    /// Sends a request and counts its end. Returns the trail as well, which a response has only
    /// after several attempts.
    pub(crate) async fn send<B>(
        &self,
        mut request: Request<B>,
    ) -> Result<(Response<ResponseBody>, Trail), ApiError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.counters.start();
        let extensions = request.extensions_mut();
        let trail = extensions.get_or_insert_with(Trail::new).clone();
        let outcome = check(self.ai.send(request).await).await;
        let class = outcome
            .as_ref()
            .map_or_else(ApiError::class, |_| Class::Success);
        self.counters.end(&trail, class);
        match outcome {
            Ok(response) => Ok((response, trail)),
            Err(error) => Err(error.with_trail(&trail)),
        }
    }

    pub(crate) async fn read_json<T: DeserializeOwned>(
        &self,
        request: Request<String>,
    ) -> Result<(T, Trail), ApiError> {
        let (response, trail) = self.send(request).await?;
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await;
        let body = body.map_err(|error| ApiError::of_error(error).with_trail(&trail))?;
        let json = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
            let message = format!("the answer is no JSON of the expected type: {error}");
            let error = ApiError::new(StatusCode::BAD_GATEWAY, Class::ServerError, message);
            error.with_trail(&trail)
        })?;
        Ok((json, trail))
    }
}

/// Creates a request with a JSON body.
pub(crate) fn post(path: &str, body: String) -> Result<Request<String>, ApiError> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(body).map_err(|_| {
        let message = "path: must be the path of a URI";
        ApiError::new(StatusCode::BAD_REQUEST, Class::CallerFault, message)
    })
}
