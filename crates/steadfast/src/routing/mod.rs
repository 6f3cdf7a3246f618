//! Models of requests: the catalogue, and the routes to endpoints.
//!
//! A request is read once, its model is looked up, and the result stays in its extensions. The
//! layer next to the client of each endpoint writes the name of the model there.

mod facts;
mod form;
mod json;
mod layer;
mod list;
mod pieces;
mod plan;

use std::sync::Arc;

use steadfast_balance::{Endpoint, PoolHandle};
use steadfast_core::{InvalidConfig, LimitKey, RoutingOptions};
use steadfast_models::{Catalogue, Route};
use tower::util::BoxCloneSyncService;

use crate::stack::Inner;

pub(crate) use self::facts::Facts;
pub(crate) use self::layer::RouteLayer;
pub(crate) use self::plan::Target;

/// The catalogue and the routes of a stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routing {
    /// The catalogue. `None` disables the checks.
    pub(crate) catalogue: Option<Arc<Catalogue>>,
    /// The routes, in the order in which they were added.
    pub(crate) routes: Vec<Route>,
    /// The routing options of each route, shared by its requests.
    options: Vec<RoutingOptions>,
}

impl Routing {
    /// Returns whether requests have to be read for their models.
    pub(crate) fn is_active(&self) -> bool {
        self.catalogue.is_some() || !self.routes.is_empty()
    }

    /// Checks the routes against the endpoints.
    pub(crate) fn build(mut self, endpoints: &PoolHandle) -> Result<Self, InvalidConfig> {
        for (n, route) in self.routes.iter().enumerate() {
            let within = |error: InvalidConfig| error.within(&format!("route[{n}]"));
            route.validate().map_err(within)?;
            let mut targets = route.targets().iter();
            if let Some(unknown) = targets.find(|target| !endpoints.contains(target.endpoint())) {
                let reason = "must be the name of an endpoint";
                let error = InvalidConfig::new("target.endpoint", unknown.endpoint(), reason);
                return Err(within(error));
            }
        }
        self.options = self
            .routes
            .iter()
            .map(|route| options_of(route, |_| true))
            .collect();
        Ok(self)
    }

    /// Returns the names of all configured models: of the catalogue, of the routes, and at their
    /// endpoints. A wildcard names no model.
    pub(crate) fn models(&self) -> Vec<LimitKey> {
        let catalogue = self.catalogue.iter().flat_map(|known| known.models());
        let known = catalogue.flat_map(|model| {
            let aliases = model.aliases().iter().map(String::as_str);
            aliases.chain([model.name()]).map(LimitKey::new)
        });
        let routed = self.exact_routes().flat_map(|route| {
            let targets = route.targets().iter().map(|target| target.model(""));
            let targets = targets.map(|model| LimitKey::new(&model));
            targets.chain([LimitKey::new(route.name())])
        });
        known.chain(routed).collect()
    }

    /// Returns the routes of one model.
    fn exact_routes(&self) -> impl Iterator<Item = &Route> {
        let routes = self.routes.iter();
        routes.filter(|route| !route.name().ends_with('*'))
    }

    /// Lets all names of a model share its limits at an endpoint.
    pub(crate) fn add_aliases(&self, endpoint: Endpoint) -> Endpoint {
        let name = endpoint.name().clone();
        self.exact_routes().fold(endpoint, |endpoint, route| {
            let mut targets = route.targets().iter();
            let here = targets.find(|target| target.endpoint() == name.as_ref());
            match here.map(|target| target.model("")) {
                Some(model) if model != route.name() => {
                    endpoint.limit_key_alias(LimitKey::new(route.name()), LimitKey::new(&model))
                }
                _ => endpoint,
            }
        })
    }

    /// Wraps the assembled stack: models are listed.
    pub(crate) fn wrap(self, inner: Inner, endpoints: PoolHandle) -> Inner {
        if self.routes.is_empty() {
            return inner;
        }
        BoxCloneSyncService::new(list::ModelList::new(inner, &self.routes, endpoints))
    }
}

/// Returns the routing options of the targets for which `fits` holds.
fn options_of(route: &Route, fits: impl Fn(&steadfast_models::Target) -> bool) -> RoutingOptions {
    let targets = route.targets().iter().filter(|target| fits(target));
    targets.fold(RoutingOptions::new(), |options, target| {
        let (name, rank) = (target.endpoint(), route.rank(target));
        let options = match route.weight(target) {
            Some(weight) => options.only(name).weight(name, weight),
            None => options.only(name),
        };
        match rank {
            0 => options,
            _ => options.rank(name, rank),
        }
    })
}
