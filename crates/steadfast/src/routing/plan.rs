//! The decision about one request: its route, or its rejection.
//!
//! A restriction of the caller precedes the one of a route. Stored state stays at its endpoint:
//! only the name of the model is written there. A model without a route is left to the endpoints,
//! unless a catalogue lacks it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, Method, StatusCode};
use steadfast_core::{BoxError, Class, LimitKey, RoutingOptions};
use steadfast_models::{ModelRejected, RejectReason, Route, RouteMatch};

use crate::dialect::answer_shape;
use crate::format::Format;
use crate::limit_key::model_in_path;
use crate::operation::Operation;
use crate::rejection::Rejection;
use crate::routing::facts::Facts;
use crate::routing::{Routing, options_of};

/// The method, the operation and the path of a request below the request root.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// The operation, by method, path and body.
    pub(crate) operation: Operation,
    /// The path below the request root and the root of the API.
    pub(crate) path: &'a str,
}

/// The route of a request, for the layer at each endpoint. In the extensions of the request.
#[derive(Clone, Debug)]
pub(crate) struct Routed(pub(crate) Arc<Plan>);

/// The model of one request, and its route.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The route, with the names at all endpoints.
    pub(crate) route: Route,
    /// The text that `*` stands for.
    pub(crate) rest: String,
    /// The model that the caller named.
    pub(crate) name: String,
    /// The place of the model.
    pub(crate) place: Place,
    /// The length of the path below the request root. The path at an endpoint ends with it.
    pub(crate) path_len: usize,
}

/// The place of the model in a request.
#[derive(Debug)]
pub(crate) enum Place {
    /// The values of a JSON body, with their quotes.
    Json(Bytes, Vec<Range<usize>>),
    /// The values of a form.
    Form(Bytes, Vec<Range<usize>>),
    /// The distance from the end of the path, and the length there.
    Path(usize, usize),
}

impl Place {
    /// Returns the place of a model that was found in `path` or in the body of `facts`.
    fn of(path: &str, in_path: Option<&str>, facts: Facts) -> Self {
        if let Some(model) = in_path {
            let start = model.as_ptr().addr() - path.as_ptr().addr();
            return Self::Path(path.len() - start, model.len());
        }
        let data = facts.data.unwrap_or_default();
        match facts.is_form {
            true => Self::Form(data, facts.places),
            false => Self::Json(data, facts.places),
        }
    }
}

/// Returns the limit key of all requests of a route. Each endpoint has its own name for it.
///
/// Two routes may have one target in common. At that endpoint their keys are aliases of the
/// target's model, so a limit of the one holds for the other as well. Elsewhere they stay apart,
/// because the models differ there.
fn limit_key(found: &RouteMatch<'_>) -> LimitKey {
    match found.rest {
        "" => LimitKey::new(found.route.name()),
        // A pattern stands for many models. The endpoints have their own spelling of each.
        rest => LimitKey::new(&found.route.targets()[0].model(rest)),
    }
}

/// Returns the rejection of a request by the catalogue.
fn rejection(error: ModelRejected, format: Option<Format>) -> BoxError {
    let class = match error.reason() {
        RejectReason::Unknown { .. } => Class::ModelUnavailable,
        RejectReason::PromptTooLong { .. } => Class::ContextTooLong,
        _ => Class::CallerFault,
    };
    let rejection = Rejection {
        status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
        code: error.code(),
        param: Some(error.param()),
        format,
        error: error.into(),
    };
    rejection.classified(class)
}

impl Routing {
    /// Looks up the model of a request, and inserts extensions for the layers below.
    pub(crate) fn plan(
        &self,
        target: Target<'_>,
        facts: Facts,
        extensions: &mut Extensions,
    ) -> Result<(), BoxError> {
        if !self.is_active() {
            return Ok(());
        }
        let planned = self.look_up(target, facts, extensions);
        planned.map_err(|error| rejection(error, Format::of(target.path)))
    }

    /// Finds the route of a request, or checks its model without one.
    fn look_up(
        &self,
        target: Target<'_>,
        facts: Facts,
        extensions: &mut Extensions,
    ) -> Result<(), ModelRejected> {
        let in_path = (*target.method == Method::POST)
            .then(|| model_in_path(target.path))
            .flatten();
        // The endpoint ignores the model of the body then.
        let Some(name) = in_path.or(facts.model.as_deref()) else {
            return Ok(());
        };
        let Some(found) = Route::find(&self.routes, name) else {
            return self.check_unrouted(target, name, &facts, extensions);
        };
        let options = self.options(&found, &facts)?;
        self.restrict(target, options, &facts, extensions);
        if LimitKey::of(extensions).is_none() {
            extensions.insert(limit_key(&found));
        }
        let plan = Plan {
            route: found.route.clone(),
            rest: found.rest.to_owned(),
            name: name.to_owned(),
            path_len: target.path.len(),
            place: Place::of(target.path, in_path, facts),
        };
        extensions.insert(Routed(Arc::new(plan)));
        Ok(())
    }

    /// Checks a model without a route. Without a catalogue, each endpoint may have it.
    fn check_unrouted(
        &self,
        target: Target<'_>,
        name: &str,
        facts: &Facts,
        extensions: &mut Extensions,
    ) -> Result<(), ModelRejected> {
        // Speech, images and uploads may name models that no row describes.
        if let (Some(catalogue), Some(_)) = (&self.catalogue, answer_shape(target.path)) {
            catalogue.check(name, &facts.size)?;
            self.estimate(None, facts, extensions);
        }
        Ok(())
    }

    /// Returns the options of the targets that the request fits.
    fn options(
        &self,
        found: &RouteMatch<'_>,
        facts: &Facts,
    ) -> Result<RoutingOptions, ModelRejected> {
        let Some(catalogue) = &self.catalogue else {
            return Ok(self.options[found.index].clone());
        };
        let fits = |target: &steadfast_models::Target| {
            // A route vouches for models that the catalogue lacks.
            let model = catalogue.find(&target.model(found.rest));
            model.map_or(Ok(()), |model| model.fits(&facts.size))
        };
        let results: Vec<_> = found.route.targets().iter().map(fits).collect();
        if results.iter().all(Result::is_ok) {
            return Ok(self.options[found.index].clone());
        }
        if results.iter().any(Result::is_ok) {
            return Ok(options_of(found.route, |target| fits(target).is_ok()));
        }
        let first = results.into_iter().find_map(Result::err);
        Err(first.expect("a route has a target, and none fits"))
    }

    /// Restricts the request to its targets.
    fn restrict(
        &self,
        target: Target<'_>,
        options: RoutingOptions,
        facts: &Facts,
        extensions: &mut Extensions,
    ) {
        // The caller's own restriction precedes, and stored state stays at its endpoint.
        let own = RoutingOptions::of(extensions).cloned();
        let is_restricted = own.as_ref().is_some_and(RoutingOptions::is_restricted);
        let options = match own {
            _ if target.operation == Operation::Stateful => None,
            None => Some(options),
            Some(_) if is_restricted => None,
            Some(own) => Some(own.and_only(&options)),
        };
        self.estimate(options, facts, extensions);
    }

    /// Inserts the options of a request, with its estimated tokens.
    fn estimate(
        &self,
        options: Option<RoutingOptions>,
        facts: &Facts,
        extensions: &mut Extensions,
    ) {
        let tokens = facts.size.total_tokens();
        let known = options.is_some();
        let own = options.or_else(|| RoutingOptions::of(extensions).cloned());
        let is_counted = own.as_ref().is_some_and(|own| own.tokens().is_some());
        if self.catalogue.is_some() && tokens > 0 && !is_counted {
            let own = own.unwrap_or_default();
            extensions.insert(own.estimated_tokens(tokens));
        } else if let (true, Some(own)) = (known, own) {
            extensions.insert(own);
        }
    }
}
