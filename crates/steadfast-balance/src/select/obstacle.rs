//! Why an endpoint does not take a request.

use std::fmt;

use steadfast_core::layer::{rounded, saturating_add};
use steadfast_core::{Attempt, Class, OtherEndpoint};
use tokio::time::Instant;

use crate::pool::snapshot::{ActiveEndpoint, EndpointMode};
use crate::select::request_context::RequestContext;
use crate::state::EndpointState;
use crate::state::availability::Availability;
use crate::state::limits::demand::Demand;
use crate::state::limits::limit_state::LimitState;
use crate::state::reason::Reason;
use crate::state::trigger::PresentCooldown;

/// Why an endpoint does not take a request.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// Disabled by a handle.
    Disabled,
    /// Draining by a handle.
    Draining,
    /// The routing options do not permit the endpoint.
    Excluded,
    /// Its breaker is isolated by a handle.
    Isolated,
    /// Its breaker is open until the instant, because of this failure.
    Broken(Instant, Reason),
    /// It cools.
    Cooling(PresentCooldown),
    /// It has too few tokens until the instant.
    Tokens(Instant),
    /// Its send rate or its probe allows no attempt until the instant.
    Paced(Instant),
    /// An attempt of this request failed there. A refusal stands until the instant, if it ends.
    Failed(Option<Instant>, Reason),
    /// Its service is not ready, or another request has taken its slot.
    Busy,
}

impl Obstacle {
    /// Returns the obstacle of a request at one endpoint with this availability.
    ///
    /// The earlier attempts of the request do not count, except for the reason of an endpoint that
    /// is available again: the caller may repeat the request at any endpoint.
    pub(crate) fn of(
        (entry, availability): (&ActiveEndpoint, Availability),
        context: &RequestContext,
        tried: &[Attempt],
        now: Instant,
    ) -> Self {
        let config = &entry.state.config;
        let options = context.options.as_ref();
        match entry.service {
            EndpointMode::Disabled => Self::Disabled,
            EndpointMode::Draining => Self::Draining,
            _ if options.is_some_and(|options| !config.is_allowed_by(options)) => Self::Excluded,
            EndpointMode::Enabled => {
                Self::of_permitted((&entry.state, availability), context, tried, now)
            }
        }
    }

    /// Returns the obstacle at an endpoint that may take the request.
    fn of_permitted(
        (endpoint, availability): (&EndpointState, Availability),
        context: &RequestContext,
        tried: &[Attempt],
        now: Instant,
    ) -> Self {
        match availability {
            Availability::Broken { .. } if endpoint.breaker.is_isolated() => Self::Isolated,
            Availability::Broken { at, .. } => Self::Broken(at, endpoint.failure()),
            Availability::Limited(at) => {
                let cooldown = present_cooldown(endpoint, &context.demand, now);
                cooldown.map_or(Self::Tokens(at), Self::Cooling)
            }
            Availability::Paced(at) => Self::Paced(at),
            Availability::Now | Availability::Never => Self::of_available(endpoint, tried),
        }
    }

    /// Returns the obstacle at an endpoint that is available.
    fn of_available(endpoint: &EndpointState, tried: &[Attempt]) -> Self {
        let name = &endpoint.config.name;
        let is_own = |attempt: &&Attempt| attempt.endpoint.as_ref() == Some(name);
        let Some(attempt) = tried.iter().rev().find(is_own) else {
            return Self::Busy;
        };
        let reason = endpoint.reason_of(attempt.verdict.class(), attempt.status);
        Self::Failed(end_of_refusal(attempt), reason)
    }

    /// Returns the class of a rejection for this obstacle, or `None` if the endpoint does not matter
    /// to the request.
    pub(crate) fn class(&self) -> Option<Class> {
        match self {
            Self::Disabled | Self::Draining | Self::Excluded => None,
            Self::Isolated => Some(Class::Overloaded),
            Self::Broken(_, reason) | Self::Failed(_, reason) => Some(reason.class),
            Self::Cooling(cooldown) => Some(cooldown.trigger.class()),
            Self::Tokens(_) | Self::Paced(_) | Self::Busy => Some(Class::RateLimited),
        }
    }

    /// Returns how long-lasting the obstacle is: a limit ends by itself, a broken endpoint has to
    /// recover, and a bench may last until someone acts.
    pub(crate) fn persistence(&self) -> u8 {
        match self {
            Self::Tokens(_) | Self::Paced(_) | Self::Busy => 0,
            Self::Cooling(cooldown) => 2 * u8::from(cooldown.bench),
            Self::Broken(..) | Self::Failed(Some(_), _) => 1,
            Self::Failed(None, _) => 2,
            Self::Disabled | Self::Draining | Self::Excluded | Self::Isolated => 3,
        }
    }

    /// Returns when the endpoint can take the request, which may be now, or `None` if it is unknown.
    pub(crate) fn end(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Disabled | Self::Draining | Self::Excluded | Self::Isolated => None,
            Self::Cooling(cooldown) => Some(cooldown.until),
            Self::Broken(at, _) | Self::Tokens(at) | Self::Paced(at) => Some(*at),
            Self::Failed(at, _) => at.map(|at| at.max(now)),
            Self::Busy => Some(now),
        }
    }

    /// Writes the clause of the endpoint, such as `` `a` cools for 12 s after a 429``.
    pub(crate) fn write(&self, name: &str, now: Instant, out: &mut impl fmt::Write) -> fmt::Result {
        let left = |at: &Instant| rounded(at.saturating_duration_since(now));
        write!(out, "`{name}`")?;
        match self {
            Self::Disabled => write!(out, " is disabled"),
            Self::Draining => write!(out, " is draining"),
            Self::Excluded => write!(out, " is excluded by the request"),
            Self::Isolated => write!(out, " is isolated"),
            Self::Broken(at, reason) => write!(out, ": {reason}, next probe in {}", left(at)),
            Self::Cooling(cooldown) => {
                let verb = if cooldown.bench {
                    "is benched"
                } else {
                    "cools"
                };
                let (left, reason) = (left(&cooldown.until), cooldown.trigger.reason());
                write!(out, " {verb} for {left} after {reason}")
            }
            Self::Tokens(at) => write!(out, " has too few tokens for {}", left(at)),
            Self::Paced(at) => write!(out, " has no free slot for {}", left(at)),
            Self::Failed(Some(at), reason) if *at > now => {
                write!(out, ": {reason}, usable in {}", left(at))
            }
            Self::Failed(Some(_), reason) if reason.class == Class::RateLimited => {
                write!(out, " is usable again after {reason}")
            }
            Self::Failed(_, reason) => write!(out, ": {reason}"),
            Self::Busy => write!(out, " is busy"),
        }
    }
}

/// Returns the cooldown of the request that ends last.
fn present_cooldown(
    endpoint: &EndpointState,
    demand: &Demand,
    now: Instant,
) -> Option<PresentCooldown> {
    let present = |limits: &LimitState| limits.cooldown.present(now);
    endpoint.limits.fold(demand, present, |a, b| {
        let both = a.into_iter().chain(b);
        both.max_by_key(|cooldown| cooldown.until)
    })
}

/// Returns when a repeat of the request could succeed at an endpoint that is available. The endpoint
/// may have refused this request only. Time does not end a rejection.
fn end_of_refusal(attempt: &Attempt) -> Option<Instant> {
    let verdict = attempt.verdict;
    let passes = match verdict.class().other_endpoint() {
        OtherEndpoint::Any => !matches!(
            verdict.class(),
            Class::QuotaExhausted | Class::ModelUnavailable
        ),
        _ => false,
    };
    let wait = attempt
        .elapsed
        .saturating_add(verdict.hint().unwrap_or_default());
    passes.then(|| saturating_add(attempt.started, wait))
}
