use std::borrow::Cow;

use serde::Deserialize;
use steadfast_core::InvalidConfig;

use crate::lookup::first_form;

/// The way of a model name to endpoints.
///
/// A name is exact (`fast`), or has one `*` at its end (`openai/*`, `*`). In the model of a target,
/// `*` stands for the text behind that prefix. An exact name precedes a longer prefix, which
/// precedes a shorter one.
///
/// ```
/// use steadfast_models::{Route, Target};
///
/// let routes = [
///     Route::new("gpt-4.1").alias("smart")
///         .to("primary", "gpt-4.1")
///         .to("relay", "openai/gpt-4.1")
///         .target(Target::new("backup", "claude-sonnet-4-5").tier(1)),
///     Route::new("openai/*").to("primary", "*").to("relay", "openai/*"),
/// ];
/// assert!(routes.iter().all(|route| route.validate().is_ok()));
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[must_use = "a route does nothing until it is part of a stack"]
pub struct Route {
    #[serde(rename = "model")]
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default, rename = "target")]
    targets: Vec<Target>,
}

/// An endpoint of a [`Route`], and the model that it gets.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
#[must_use = "a target does nothing until it is part of a route"]
pub struct Target {
    endpoint: String,
    model: String,
    #[serde(default)]
    tier: u16,
    degraded: Option<bool>,
    weight: Option<f64>,
    #[serde(default)]
    deployment: bool,
}

/// A route that fits a name, and the text that `*` stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteMatch<'a> {
    /// The index of the route.
    pub index: usize,
    /// The route.
    pub route: &'a Route,
    /// The text that `*` stands for. Empty for an exact name.
    pub rest: &'a str,
}

impl Route {
    /// Creates a route without targets.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Adds another name.
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Adds an endpoint of tier 0, and the name of the model there.
    pub fn to(self, endpoint: impl Into<String>, model: impl Into<String>) -> Self {
        self.target(Target::new(endpoint, model))
    }

    /// Adds a target.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.name]
            .into_iter()
            .chain(&self.aliases)
            .map(String::as_str)
    }

    /// Returns the targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Returns the rank of a target: its tier, and whether it is degraded. The request goes to the
    /// lowest rank that can serve.
    ///
    /// A target is degraded by default if its model differs from the one of the first target. A
    /// prefix of a relay and a date make no difference.
    #[must_use]
    pub fn rank(&self, target: &Target) -> u32 {
        let first = self.targets.first().map_or("", |first| &first.model);
        // A deployment has a name of the user's own.
        let differs = !target.deployment && !is_same_model(first, &target.model);
        u32::from(target.tier) * 2 + u32::from(target.degraded.unwrap_or(differs))
    }

    /// Returns the weight of a target, or `None` if no target has one.
    #[must_use]
    pub fn weight(&self, target: &Target) -> Option<f64> {
        let is_weighted = self.targets.iter().any(|target| target.weight.is_some());
        is_weighted.then(|| target.weight.unwrap_or(1.0))
    }

    /// Checks the names and targets.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid = |field, value: &str, reason| Err(InvalidConfig::new(field, value, reason));
        let is_wild = self.name.ends_with('*');
        for name in self.names() {
            if name.trim().is_empty() {
                return invalid("model", name, "must not be empty");
            }
            let star = name.find('*').map(|at| at + 1);
            if star.is_some_and(|end| end != name.len()) || name.ends_with('*') != is_wild {
                let rule = "must have `*` at its end only, as the other names of the route";
                return invalid("model", name, rule);
            }
        }
        if self.targets.is_empty() {
            return invalid("target", &self.name, "must have at least one endpoint");
        }
        for (n, target) in self.targets.iter().enumerate() {
            if target.model.is_empty() {
                return invalid("target.model", "", "must not be empty");
            }
            if let Some(weight) = target.weight.filter(|it| !(it.is_finite() && *it > 0.0)) {
                let weight = weight.to_string();
                return invalid("target.weight", &weight, "must be positive");
            }
            if target.model.contains('*') && !is_wild {
                let rule = "must have no `*` for a name without `*`";
                return invalid("target.model", &target.model, rule);
            }
            if self.targets[..n]
                .iter()
                .any(|other| other.endpoint == target.endpoint)
            {
                let rule = "must be different for each target of a route";
                return invalid("target.endpoint", &target.endpoint, rule);
            }
        }
        Ok(())
    }

    /// Finds the route of a model name.
    #[must_use]
    pub fn find<'a>(routes: &'a [Self], name: &'a str) -> Option<RouteMatch<'a>> {
        let fits = |(index, route): (usize, &'a Self)| {
            let lengths = route
                .names()
                .filter_map(|known| match known.strip_suffix('*') {
                    // An exact name is longer than any prefix of it.
                    Some(prefix) => name.starts_with(prefix).then_some(prefix.len()),
                    None => (known == name).then_some(usize::MAX),
                });
            Some((lengths.max()?, index, route))
        };
        // Of equal names, the first route counts.
        let all = routes.iter().enumerate().filter_map(fits);
        let (length, index, route) =
            all.reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        let rest = name.get(length..).unwrap_or_default();
        Some(RouteMatch { index, route, rest })
    }
}

impl Target {
    /// Creates a target of tier 0.
    pub fn new(endpoint: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            model: model.into(),
            tier: 0,
            degraded: None,
            weight: None,
            deployment: false,
        }
    }

    /// Creates a target with a deployment of Azure as its model. The path begins with
    /// `/deployments/NAME` below the base of the endpoint.
    pub fn deployment(endpoint: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            deployment: true,
            ..Self::new(endpoint, name)
        }
    }

    /// Sets the tier within the route. A target of a higher tier is used only if no target of a
    /// lower one can serve now.
    pub fn tier(mut self, tier: u16) -> Self {
        self.tier = tier;
        self
    }

    /// Sets whether the answers are of lesser quality. See [`Route::rank`] for the default.
    pub fn degraded(mut self, degraded: bool) -> Self {
        self.degraded = Some(degraded);
        self
    }

    /// Sets the share of requests among the targets of the route that have one rank. Defaults to 1
    /// if another target has a weight. Without a weight, the strategy of the pool alone decides.
    ///
    /// The weight must be positive.
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Returns the name of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the model at the endpoint, where `rest` takes the place of `*`.
    #[must_use]
    pub fn model(&self, rest: &str) -> Cow<'_, str> {
        match self.model.split_once('*') {
            Some((before, after)) => format!("{before}{rest}{after}").into(),
            None => (&*self.model).into(),
        }
    }

    /// Returns whether the model is a deployment of Azure, which stands in the path.
    #[must_use]
    pub fn is_deployment(&self) -> bool {
        self.deployment
    }
}

/// Returns whether two names are forms of one model.
fn is_same_model(one: &str, other: &str) -> bool {
    let is_form =
        |name: &str, of: &str| first_form(of, |form| (form == name).then_some(())).is_some();
    let short = |name| str::rsplit(name, '/').next().unwrap_or(name);
    is_form(one, other) || is_form(other, one) || short(one) == short(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_name_precedes_longest_prefix() {
        let routes = [
            Route::new("*").to("a", "*"),
            Route::new("openai/*").to("b", "*"),
            Route::new("openai/gpt-4o").alias("fast").to("c", "x"),
            Route::new("fast").to("d", "y"),
        ];
        for (name, expected) in [
            ("gpt", (0, "gpt")),
            ("openai/gpt", (1, "gpt")),
            ("openai/gpt-4o", (2, "")),
            ("openai/gpt-4o-mini", (1, "gpt-4o-mini")),
            ("fast", (2, "")),
            ("openai/", (1, "")),
            ("", (0, "")),
        ] {
            let found = Route::find(&routes, name).map(|found| (found.index, found.rest));
            assert_eq!(found, Some(expected), "{name}");
        }
        assert_eq!(Route::find(&routes[1..], "gpt"), None);
    }

    #[test]
    fn star_in_target_stands_for_the_rest() {
        let model = |model: &str| Target::new("a", model).model("gpt").into_owned();
        assert_eq!(
            (&*model("*"), &*model("x/*:free"), &*model("y")),
            ("gpt", "x/gpt:free", "y")
        );
    }

    #[test]
    fn other_model_is_degraded_by_default() {
        let route = Route::new("smart")
            .to("a", "gpt-4.1")
            .to("b", "openai/gpt-4.1")
            .to("c", "gpt-4.1-2025-04-14")
            .to("d", "gpt-4.1-mini")
            .target(Target::new("e", "claude").degraded(false).tier(1))
            .target(Target::new("f", "gpt-4.1").degraded(true))
            .target(Target::deployment("g", "ours"));
        let ranks: Vec<_> = route
            .targets()
            .iter()
            .map(|target| route.rank(target))
            .collect();
        assert_eq!(ranks, [0, 0, 0, 1, 2, 1, 0]);
    }

    #[test]
    fn weight_of_one_target_gives_the_others_a_default() {
        let plain = Route::new("m").to("a", "m").to("b", "m");
        assert_eq!(plain.weight(&plain.targets()[0]), None);
        let route = plain.target(Target::new("c", "m").weight(3.0));
        let weights: Vec<_> = route.targets().iter().map(|it| route.weight(it)).collect();
        assert_eq!(weights, [Some(1.0), Some(1.0), Some(3.0)]);
    }

    #[test]
    fn invalid_route_names_its_field() {
        let weighted = |weight| Route::new("a").target(Target::new("e", "m").weight(weight));
        for (route, field) in [
            (Route::new("").to("a", "m"), "model"),
            (Route::new("a*b").to("a", "m"), "model"),
            (Route::new("**").to("a", "m"), "model"),
            (Route::new("a").alias("b*").to("a", "m"), "model"),
            (Route::new("a"), "target"),
            (Route::new("a").to("e", ""), "target.model"),
            (Route::new("a").to("e", "*"), "target.model"),
            (weighted(0.0), "target.weight"),
            (weighted(-1.0), "target.weight"),
            (weighted(f64::NAN), "target.weight"),
            (weighted(f64::INFINITY), "target.weight"),
            (Route::new("a").to("e", "m").to("e", "n"), "target.endpoint"),
        ] {
            let error = route.validate().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
    }
}
