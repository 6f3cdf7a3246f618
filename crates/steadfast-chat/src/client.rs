use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steadfast::{AiStack, BoxError, Class, Provider, ResponseBody};

use crate::call::ChatCall;
use crate::error::ApiError;
use crate::message::Messages;
use crate::metrics::ChatMetrics;
use crate::sender::{Sender, post};
use crate::stream::ChatStream;

/// The calls of an application over an [`AiStack`].
///
/// Clones share the stack and the metrics. See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct ChatClient {
    sender: Sender,
}

impl ChatClient {
    /// Creates a client over a stack.
    #[must_use]
    pub fn new(ai: AiStack) -> Self {
        Self {
            sender: Sender::new(ai),
        }
    }

    /// Creates a client over the three endpoints of HolySheep AI.
    ///
    /// If an answer takes more than 30 s, the next endpoint gets the request as well, and the first
    /// good answer is returned.
    ///
    /// # Errors
    ///
    /// Returns an error if the key does not begin with `sk-` or has fewer than 20 characters. White
    /// space around it is removed. The error does not show the key.
    pub fn holysheep(key: &str) -> Result<Self, BoxError> {
        let endpoints = Provider::HolySheep.endpoints([key])?;
        let ai = AiStack::builder().endpoints(endpoints).build()?;
        Ok(Self::new(ai))
    }

    /// Creates a call. It is sent when it is awaited or [streamed](ChatCall::stream).
    pub fn chat_completion(&self, model: &str, messages: impl Into<Messages>) -> ChatCall {
        ChatCall::new(self.sender.clone(), model, messages.into())
    }

    /// Sends a chat with the default options, and returns its answer as a stream.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint sent a visible token. Until then the call fails over.
    pub async fn stream(
        &self,
        model: &str,
        messages: impl Into<Messages>,
    ) -> Result<ChatStream, ApiError> {
        self.chat_completion(model, messages).stream().await
    }

    /// Sends any request, such as an upload. Its URI needs a path only.
    ///
    /// # Errors
    ///
    /// Returns an error unless the response is a success.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, ApiError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Ok(self.sender.send(request).await?.0)
    }

    /// Sends JSON to any operation, such as `/v1/embeddings`, and reads the answer as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error unless the answer is a success of the expected type.
    pub async fn send_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_string(body).map_err(|error| {
            let message = format!("body: must be valid JSON, got {error}");
            ApiError::new(StatusCode::BAD_REQUEST, Class::CallerFault, message)
        })?;
        Ok(self.sender.read_json(post(path, body)?).await?.0)
    }

    /// Returns the numbers of all calls so far.
    #[must_use]
    pub fn metrics(&self) -> ChatMetrics {
        self.sender.counters.read()
    }

    /// Returns the stack, for its endpoints and its own metrics.
    #[must_use]
    pub fn stack(&self) -> &AiStack {
        &self.sender.ai
    }
}
