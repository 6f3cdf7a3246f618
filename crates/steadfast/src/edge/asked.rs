//! The request of an attempt.
//!
//! The answer of an endpoint is judged by the operation of its request, and by the rules of the
//! endpoint.

use std::sync::Arc;

use http::{Method, Request, Response};
use steadfast_core::Verdict;

use crate::answers::{Answers, StreamMode};
use crate::body::RequestBody;
use crate::dialect::{Context, RequestText, Shape, answer_shape};
use crate::edge::created::Creates;
use crate::edge::settings::Settings;

/// The request of an attempt, as far as its answer depends on it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The text of the request, and the rules of the endpoint.
    pub(crate) context: Context,
    /// The shape of its whole answers, if a dialect has one.
    pub(crate) shape: Option<Shape>,
    /// When its stream is passed on.
    pub(crate) streams: StreamMode,
    pub(crate) settings: Arc<Settings>,
    /// Present if the answer may report a stored object.
    pub(crate) creates: Option<Creates>,
}

impl Asked {
    /// Reads a request as it is sent to the endpoint.
    pub(crate) fn of(
        request: &Request<RequestBody>,
        streams: StreamMode,
        settings: Arc<Settings>,
    ) -> Self {
        let post = request.method() == Method::POST;
        Self {
            streams,
            shape: post.then(|| answer_shape(request.uri().path())).flatten(),
            context: Context {
                text: RequestText::of(request),
                rules: settings.rules.clone(),
            },
            settings,
            creates: request.extensions().get::<Creates>().cloned(),
        }
    }

    /// Returns the verdict of a rule of the user on a success with this text.
    ///
    /// A rule of the head alone needs no text, so it holds for each answer.
    pub(crate) fn by_rule<B>(&self, response: &Response<B>, text: &[u8]) -> Option<Verdict> {
        let head = (response.status(), response.headers());
        let verdict = self.context.by_rule_on_success(head, text)?;
        Some(self.context.text.mark(verdict)).filter(|verdict| !verdict.is_success())
    }

    /// Returns whether whole answers are checked.
    pub(crate) fn is_checked(&self) -> bool {
        self.settings.shared.answers == Answers::Checked
    }
}
