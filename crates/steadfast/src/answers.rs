//! The check of answers, and the mode of streams.

/// Whether a stack checks the answers of its endpoints before it returns them.
///
/// The check costs a request up to 8 MiB of memory, and the time until its whole answer has come. A
/// caller of a whole answer waits for that time anyway.
///
/// All answers of a stack hold 256 MiB at most, besides 64 KiB each. Beyond that, large answers
/// pass unread, and buffered streams as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Answers {
    /// A successful answer to a chat completion, completion, embedding, message or response is
    /// read, up to 8 MiB, and judged by its top level. An error in a `200`, a login page and a
    /// truncated answer fail over.
    #[default]
    Checked,
    /// Whole answers pass unread.
    Unchecked,
}

/// When a stack passes a stream on. As an extension of a request, it replaces the mode of the
/// stack.
///
/// A buffered stream is collected at the endpoint, within `total` and up to 8 MiB. A stream that
/// breaks is requested again, unchanged, as an answer with an error is. So the caller gets a whole
/// answer of one endpoint, and its first token comes as late as its last. A longer stream is passed
/// on from 8 MiB on. An encoded stream that cannot be read is not collected.
///
/// # The head of a buffered stream
///
/// | Time until the answer is known | Result |
/// |---|---|
/// | less than 5 s | the head of the answer, with its status |
/// | longer | after 5 s the head `200` of a stream, then `: keep-alive` every 5 s, then the answer |
///
/// Clients and proxies wait for a head for 10 s or longer, so they get a sign of life in time. Most
/// failures take less than 5 s. They keep their status, so that a client can handle it.
///
/// If all attempts fail after the head, the body sends one event `error` in the format of the API,
/// and then ends with the error. The clients of OpenAI, Anthropic and Google raise such an event as
/// their error, with its message. The end of the body is no clean one for any other reader. A whole
/// answer, from an endpoint that does not stream, is sent as the data of one event.
///
/// The attempts run while the body is read, and end if it is dropped. A deadline includes the whole
/// stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StreamMode {
    /// A stream is passed on only when it is complete.
    Buffered,
    /// A stream is passed on from its first visible token on.
    #[default]
    Direct,
}
