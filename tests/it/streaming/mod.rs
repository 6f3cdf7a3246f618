//! Streaming: failover before the first visible token, buffered streams, identical bytes, and the
//! outcome of each end of a stream.

mod buffered;
mod bytes;
mod ends;
mod first_token;

/// The headers of a stream.
const EVENT_STREAM: [(&str, &str); 1] = [("content-type", "text/event-stream")];
