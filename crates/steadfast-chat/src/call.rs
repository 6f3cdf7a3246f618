use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use http::Request;
use serde_json::{Map, Value, json};
use steadfast::{Deadline, RequestExt, RoutingOptions, Timeouts};

use crate::completion::Completion;
use crate::error::ApiError;
use crate::message::Messages;
use crate::sender::{Sender, post};
use crate::stream::ChatStream;

/// A chat that is about to be sent. Awaiting it returns the whole answer.
#[must_use = "a call does nothing until it is awaited or streamed"]
pub struct ChatCall {
    sender: Sender,
    body: Map<String, Value>,
    timeouts: Option<Timeouts>,
    deadline: Option<Duration>,
    routing: Option<RoutingOptions>,
}

impl ChatCall {
    /// The default of [`temperature`](Self::temperature).
    pub const DEFAULT_TEMPERATURE: f64 = 0.7;
    /// The default of [`max_tokens`](Self::max_tokens).
    pub const DEFAULT_MAX_TOKENS: u64 = 1000;

    pub(crate) fn new(sender: Sender, model: &str, messages: Messages) -> Self {
        let call = Self {
            sender,
            body: Map::new(),
            timeouts: None,
            deadline: None,
            routing: None,
        };
        call.field("model", model)
            .field("messages", messages.into_value())
            .temperature(Self::DEFAULT_TEMPERATURE)
            .max_tokens(Self::DEFAULT_MAX_TOKENS)
    }

    /// Sets the temperature.
    pub fn temperature(self, temperature: f64) -> Self {
        self.field("temperature", temperature)
    }

    /// Sets the largest number of tokens of the answer.
    pub fn max_tokens(self, tokens: u64) -> Self {
        self.field("max_tokens", tokens)
    }

    /// Sets the tools, as the JSON of the provider.
    pub fn tools(self, tools: impl Into<Value>) -> Self {
        self.field("tools", tools)
    }

    /// Requests the tokens of a streamed answer, as [`Delta::Usage`](crate::Delta::Usage). Defaults
    /// to off, since some servers reject the option.
    pub fn usage(self) -> Self {
        self.field("stream_options", json!({ "include_usage": true }))
    }

    /// Sets any field of the request.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a field, such as `temperature` for a model that rejects it.
    pub fn without(mut self, name: &str) -> Self {
        self.body.remove(name);
        self
    }

    /// Sets the limits of the call: [`SHORT`](Timeouts::SHORT), [`MEDIUM`](Timeouts::MEDIUM),
    /// [`LONG`](Timeouts::LONG) or others. They end it after 10, 30 or 60 s. The time to connect is
    /// a setting of the stack.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Sets the time of the whole call, with all attempts and waits.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the constraints and preferences for the choice of the endpoint.
    pub fn routing(mut self, options: RoutingOptions) -> Self {
        self.routing = Some(options);
        self
    }

    /// Sends the call, and returns its answer as a stream.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint sent a visible token. Until then the call fails over.
    pub async fn stream(self) -> Result<ChatStream, ApiError> {
        let (sender, request) = self.field("stream", true).request()?;
        let (response, trail) = sender.send(request).await?;
        Ok(ChatStream::new(response.into_body(), trail))
    }

    async fn whole(self) -> Result<Completion, ApiError> {
        let (sender, request) = self.request()?;
        let (json, trail) = sender.read_json(request).await?;
        Ok(Completion::new(json, trail))
    }

    fn request(self) -> Result<(Sender, Request<String>), ApiError> {
        let body = Value::Object(self.body).to_string();
        let root = self.sender.ai.endpoints().request_root();
        let request = post(&format!("{root}/chat/completions"), body)?;
        let mut request = match self.routing {
            Some(options) => request.routing(options),
            None => request,
        };
        if let Some(timeouts) = self.timeouts {
            request = request.timeouts(timeouts);
        }
        if let Some(deadline) = self.deadline {
            request = request.deadline(Deadline::after(deadline));
        }
        Ok((self.sender, request))
    }
}

impl IntoFuture for ChatCall {
    type Output = Result<Completion, ApiError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.whole())
    }
}

/// Shows neither the messages nor the tools, which may be confidential.
impl fmt::Debug for ChatCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatCall")
            .field("model", &self.body.get("model"))
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
