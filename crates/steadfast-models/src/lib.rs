//! Finds the context window, the largest output and the price of an AI model by its name.
//!
//! A misspelt model costs a request, and with failover one request per endpoint. A prompt beyond
//! the context costs one, and a second one at an endpoint with a larger context.
//! [`Catalogue::check`] finds such a request before it is sent. `AiStackBuilder::catalogue` of
//! `steadfast` (feature `models`, off by default) checks each request of a stack, and rejects
//! models without a row. A [`Route`] maps a name to the names of a model at several endpoints.
//!
//! The catalogue is data: the file `models.toml` of this crate has a date and a source per row. A
//! file of yours adds rows. A row with a known name replaces the whole old row. The crate opens no
//! connection.
//!
//! # Example
//!
//! ```
//! use steadfast_models::{Catalogue, RequestSize, Tokens};
//!
//! let catalogue = Catalogue::shipped().extend_toml(
//!     r#"
//!     [[model]]
//!     name = "our-model"
//!     context = 32768
//!     output = 8192
//!     "#,
//! )?;
//! let model = catalogue.find("gpt-4.1-mini")?;
//! assert_eq!(model.context_window(), Some(1_047_576));
//!
//! let error = catalogue.find("gpt-4.1-mimi").unwrap_err();
//! assert!(error.to_string().starts_with("model: must be known, got `gpt-4.1-mimi`, did you mean `gpt-4.1-mini`"));
//!
//! let body = br#"{"model":"our-model","max_tokens":100000,"messages":[]}"#;
//! let size = RequestSize::of(body, Tokens::Bytes);
//! assert!(catalogue.check("our-model", &size).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Behavior
//!
//! | Name | Finds |
//! |---|---|
//! | the name or an alias of a row | the row |
//! | with the prefix of a relay: `openai/gpt-4o`, `models/gemini-2.5-pro` | the row of the rest |
//! | with a date, a version or a variant: `gpt-4o-2024-08-06`, `gemini-2.5-pro-latest`, `gpt-4o:free` | the row without it |
//! | a fine-tuned model: `ft:gpt-4o-mini:org::id` | the row of its base |
//! | any other | nothing; the nearest names are part of the error |
//!
//! A limit that a row does not have is not checked. A row has the largest limit that its provider
//! documents, beta headers included. Otherwise a check could reject a request that the provider
//! serves.
//!
//! # Estimates of tokens
//!
//! [`Tokens::Bytes`] divides the bytes of the text by four. Code and Chinese need more tokens, long
//! words need fewer. So a prompt is rejected only if the estimate exceeds the context by a quarter,
//! see [`Model::fits`]. The feature `tokenizer` adds `Tokens::Bpe`, which counts with `o200k_base`,
//! the encoding of OpenAI's newer models, and allows a tenth. Beyond 4 MiB of text it counts bytes.
//! Its time grows linearly with the text, so a hostile prompt such as a million equal letters does
//! not occupy a thread: hence `bpe-openai` rather than `tiktoken-rs`.
//!
//! # Limits
//!
//! Images, audio and files are not estimated. Prices are for short prompts and the standard tier of
//! the provider (some charge more for long prompts) at the date of the row, in US dollars per
//! million tokens.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod catalogue;
mod file;
mod lookup;
mod model;
mod rejected;
mod request_size;
mod route;
mod tokens;

pub use self::catalogue::Catalogue;
pub use self::model::{Capability, Model, Offer, Price};
pub use self::rejected::{ModelRejected, RejectReason};
pub use self::request_size::RequestSize;
pub use self::route::{Route, RouteMatch, Target};
pub use self::tokens::{Tokens, estimate_tokens};
