//! The model of a request, and its size.
//!
//! A body that is not in memory or is compressed has no facts. It goes to every endpoint as it is.

use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use steadfast_models::RequestSize;

use crate::routing::{Routing, form, json};

/// The parts of a body that decide about its model.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The model that the body names.
    pub(crate) model: Option<String>,
    /// The places of the first and the last model in the body.
    pub(crate) places: Vec<Range<usize>>,
    /// Whether the body is a form. Otherwise it is JSON.
    pub(crate) is_form: bool,
    /// The body itself.
    pub(crate) data: Option<Bytes>,
    /// The size of the request, if a catalogue checks it.
    pub(crate) size: RequestSize,
}

impl Facts {
    /// Returns the boundary of a form, if the model of a request is needed.
    pub(crate) fn boundary(routing: &Routing, headers: &HeaderMap) -> Option<String> {
        let boundary = routing.is_active().then(|| form::boundary(headers));
        boundary.flatten().map(str::to_owned)
    }

    /// Reads a body.
    pub(crate) fn of(routing: &Routing, boundary: Option<&str>, data: Option<&Bytes>) -> Self {
        let Some(data) = data.filter(|_| routing.is_active()) else {
            return Self::default();
        };
        let found = match boundary {
            Some(boundary) => form::models(data, boundary),
            None => json::models(data),
        };
        let (model, places) = found.unzip();
        Self {
            model,
            places: places.unwrap_or_default(),
            is_form: boundary.is_some(),
            data: Some(data.clone()),
            size: routing.size(data),
        }
    }
}

impl Routing {
    /// Returns the size of a JSON body, if a catalogue checks it. A form has none.
    fn size(&self, data: &Bytes) -> RequestSize {
        let tokens = self.catalogue.as_ref().map(|catalogue| catalogue.tokens());
        tokens.map_or_else(RequestSize::default, |tokens| RequestSize::of(data, tokens))
    }
}
