//! A whole answer, which is read to its end and checked.
//!
//! A `200` is a claim. A login page, a lost connection and an error in the format of an answer
//! become failures of the endpoint, as long as nothing has reached the caller.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use steadfast_core::{BoxError, Verdict};

use crate::body::FRAME;
use crate::dialect::judge;
use crate::edge::asked::Asked;
use crate::edge::body::EdgeBody;
use crate::edge::limits::Limits;
use crate::edge::memory::Memory;
use crate::edge::preamble::read_preamble;
use crate::encoding::{Encoding, Undecoded};

/// A larger answer is passed on unread.
pub(crate) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// The part of a whole answer that was read.
#[derive(Default)]
pub(super) struct Progress {
    /// The bytes of the frames so far, with the size that each frame counts beside its data.
    size: usize,
    /// Whether there was any data.
    begun: bool,
}

/// The place at which the reading of a whole answer has stopped.
pub(super) enum Stop {
    /// The end.
    End,
    /// The start of a stream that has the type of an answer.
    Events,
    /// It is larger than [`MAX_ANSWER`], or the stack holds too many large answers.
    TooLarge,
}

impl Progress {
    /// Reads an answer to its end, and keeps its frames. An answer that breaks is an error.
    ///
    /// A read that is pending continues with the next call. A dropped answer ends its connection.
    ///
    /// Some servers send a requested stream with another content type, or with none.
    pub(super) fn poll_read<B>(
        &mut self,
        body: &mut EdgeBody<B>,
        streaming: bool,
        memory: &Memory,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stop, BoxError>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        while let Some(read) = ready!(body.poll_ahead(cx)) {
            let Ok(frame) = read else {
                let error = body.take_error().expect("the item read last is an error");
                return Poll::Ready(Err(error));
            };
            let data = frame.data_ref().map_or(&[][..], |data| data);
            if !self.begun && streaming && looks_like_events(data) {
                return Poll::Ready(Ok(Stop::Events));
            }
            self.begun |= !data.is_empty();
            self.size += FRAME + data.len();
            if self.size > MAX_ANSWER || !body.hold(memory, self.size) {
                return Poll::Ready(Ok(Stop::TooLarge));
            }
        }
        Poll::Ready(Ok(Stop::End))
    }
}

impl Asked {
    /// Checks the shape of a whole answer, and records its usage and its id. Returns the verdict of
    /// a failure.
    ///
    /// An answer of another shape is passed on with the verdict, so that another endpoint can serve
    /// the request.
    pub(super) fn check<B>(&self, response: &mut Response<EdgeBody<B>>) -> Option<Verdict>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let text = response.body().joined();
        let verdict = self.judge(response, &text);
        drop(text);
        mark(response, verdict)
    }

    /// Judges the text of a whole answer.
    ///
    /// A rule of the user precedes the check. The usage and the id of a good answer are recorded.
    fn judge<B>(&self, response: &Response<B>, text: &[u8]) -> Option<Verdict> {
        let shape = self.shape.unwrap_or_default();
        let ruled = self.by_rule(response, text);
        match judge(text, shape, &self.context) {
            Ok(accepted) => {
                let settings = &self.settings;
                if let Some(counts) = accepted.usage {
                    settings.usage.record(counts.input, counts.output);
                }
                if let (None, Some(creates), Some(id)) = (ruled, &self.creates, accepted.id) {
                    creates.remember(id, &settings.endpoint);
                }
                ruled
            }
            Err(verdict) => Some(ruled.unwrap_or_else(|| self.context.text.mark(verdict))),
        }
    }
}

/// Reads an encoded answer to its end, and checks its shape.
pub(super) async fn read_whole<B>(
    response: &mut Response<EdgeBody<B>>,
    limits: &Limits,
    asked: &mut Asked,
) -> Result<(), BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let (body, mut progress) = (response.body_mut(), Progress::default());
    let memory = &asked.settings.shared.memory;
    match poll_fn(|cx| progress.poll_read(body, limits.streaming, memory, cx)).await? {
        Stop::End => {}
        Stop::Events => return Box::pin(read_preamble(response, limits, asked)).await,
        Stop::TooLarge => return Ok(()),
    }
    let sent = response.body().joined();
    let text = match Encoding::of(response.headers()) {
        None => sent,
        Some(encoding) => match encoding.decode_apart(sent.into_owned()).await {
            // It is passed on unread.
            (_, Err(Undecoded::TooLong | Undecoded::Unknown)) => return Ok(()),
            (text, _) => Cow::Owned(text),
        },
    };
    let verdict = asked.judge(response, &text);
    drop(text);
    mark(response, verdict);
    Ok(())
}

/// Inserts the verdict of a failure into the response.
fn mark<B>(response: &mut Response<B>, verdict: Option<Verdict>) -> Option<Verdict> {
    if let Some(verdict) = verdict {
        response.extensions_mut().insert(verdict);
    }
    verdict
}

/// Returns whether an answer begins as a stream of events does. JSON begins with none of these.
fn looks_like_events(data: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] = [b"data:", b"event:", b"id:", b"retry:", b"error:", b":"];
    let data = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    STARTS
        .iter()
        .any(|start| data.trim_ascii_start().starts_with(start))
}
