//! Sends chats to several AI endpoints, and returns the first good answer.
//!
//! An application needs a few calls: a chat, a streamed chat, numbers, and errors that explain
//! themselves. [`ChatClient`] has these calls over an [`AiStack`](steadfast::AiStack), which fails
//! over, waits for hints and skips broken endpoints. It is no complete SDK: any other operation
//! goes through [`ChatClient::send`] or [`ChatClient::send_json`].
//!
//! # Example
//!
//! ```
//! use steadfast::{AiStack, Endpoint, Timeouts};
//! use steadfast_chat::{ChatClient, Delta, Message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), steadfast_chat::BoxError> {
//! # let upstream = steadfast_testkit::Upstream::start().await?;
//! # let (primary, backup) = ("http://127.0.0.1:1/v1".to_owned(), upstream.url());
//! let ai = AiStack::builder()
//!     .endpoint(Endpoint::new("primary", &primary)?)
//!     .endpoint(Endpoint::new("backup", &backup)?)
//!     .build()?;
//! let client = ChatClient::new(ai);
//!
//! let messages = [Message::system("Be brief."), Message::user("Why is the sky blue?")];
//! let answer = client.chat_completion("gpt-4.1", messages).max_tokens(200).await?;
//! println!("{}", answer.text());
//!
//! let call = client.chat_completion("gpt-4.1", "And at sunset?").timeouts(Timeouts::SHORT);
//! let mut stream = call.stream().await?;
//! while let Some(delta) = stream.next().await {
//!     if let Delta::Text(text) = delta? {
//!         print!("{text}");
//!     }
//! }
//! println!("{}", client.metrics());
//! # Ok(())
//! # }
//! ```
//!
//! [`ChatClient::holysheep`] needs a key only.
//!
//! # Behavior
//!
//! | Call | Returns |
//! |---|---|
//! | `chat_completion(..).await` | a [`Completion`]: its text, calls of tools, usage, and the whole JSON |
//! | `chat_completion(..).stream().await` | a [`ChatStream`] of [`Delta`]s |
//! | `send`, then [`check`] | a response of a success, or an [`ApiError`] |
//! | [`SseStream::new`] of a body | the events of any stream |
//!
//! An [`ApiError`] covers both a refused response and a request without any response. It has the
//! status, code and message of the provider, the time until a retry can help, and each endpoint
//! tried.
//!
//! # Defaults
//!
//! `temperature` is 0.7 and `max_tokens` is 1000. Reasoning models of OpenAI accept neither: remove
//! both with [`ChatCall::without`], and set `max_completion_tokens` with [`ChatCall::field`].
//!
//! # Dropped calls
//!
//! A dropped call or stream ends its attempt and releases all reservations. In the metrics it is a
//! request without success.
//!
//! # Limits
//!
//! A stream has the deltas of its first choice. A whole answer is read up to 64 MiB, an error up to
//! 64 KiB, and an event up to 8 MiB.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod call;
mod client;
mod completion;
mod delta;
mod error;
mod message;
mod metrics;
mod sender;
mod sse;
mod stream;

pub use self::call::ChatCall;
pub use self::client::ChatClient;
pub use self::completion::{Completion, Usage};
pub use self::delta::{Delta, ToolCallDelta};
pub use self::error::{ApiError, check};
pub use self::message::{Message, Messages};
pub use self::metrics::ChatMetrics;
pub use self::sse::{SseEvent, SseStream};
pub use self::stream::ChatStream;

pub use steadfast::BoxError;
