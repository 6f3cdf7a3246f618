use steadfast_core::EndpointName;

/// Which of the endpoints that could take a request takes it.
///
/// Tiers come first: a strategy chooses among the endpoints of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// The first one, in the order of the configuration. The others are there for the case that
    /// it cannot.
    #[default]
    Failover,
    /// The one with the fewest requests in flight, and of several such the fastest.
    ///
    /// An endpoint that fails counts as busier than it is, since failing takes little time: with
    /// half of its last answers failures, each of its requests counts as four.
    LeastLoaded,
    /// The one with the best mix of health and latency, 70 to 30.
    ///
    /// Health is the share of successes among the last outcomes, latency that of the fastest
    /// candidate divided by its own. What is known of an endpoint gets old: the distance to a
    /// perfect score halves every ten seconds in which it is not used.
    Scored,
}

/// Restricts a request, by its extensions, to the endpoint of this name.
///
/// For requests that mean something at one endpoint only, such as one for a file that was
/// uploaded there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyEndpoint(pub EndpointName);

/// What a strategy knows of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) index: usize,
    pub(crate) in_flight: u32,
    /// The latency of successes in seconds.
    pub(crate) latency: Option<f64>,
    /// From 0 to 1.
    pub(crate) health: f64,
    /// Seconds since it was last used.
    pub(crate) idle: f64,
}

const HEALTH: f64 = 0.7;
const LATENCY: f64 = 0.3;
/// An endpoint that never succeeds is taken for one that does so at times.
const LEAST_HEALTH: f64 = 0.1;
/// Seconds after which half of what is known has faded.
const HALF_LIFE: f64 = 10.0;

impl Strategy {
    /// Returns the index of the chosen one. Of equals, the first wins.
    pub(crate) fn choose(
        self,
        mut candidates: impl Iterator<Item = Candidate> + Clone,
    ) -> Option<usize> {
        let best = match self {
            Self::Failover => candidates.next(),
            Self::LeastLoaded => candidates.min_by(|a, b| {
                let latency = |candidate: &Candidate| candidate.latency.unwrap_or(0.0);
                (load(a).total_cmp(&load(b))).then(latency(a).total_cmp(&latency(b)))
            }),
            Self::Scored => {
                let fastest = candidates
                    .clone()
                    .filter_map(|candidate| candidate.latency)
                    .fold(f64::INFINITY, f64::min);
                candidates.min_by(|a, b| score(b, fastest).total_cmp(&score(a, fastest)))
            }
        };
        best.map(|candidate| candidate.index)
    }
}

/// The load that one more request would make.
fn load(candidate: &Candidate) -> f64 {
    // Divided by the health once, an endpoint would get its fair share however it fails. It is to
    // get less, and still enough to be seen when it is well again.
    let health = candidate.health.max(LEAST_HEALTH);
    (f64::from(candidate.in_flight) + 1.0) / (health * health)
}

fn score(candidate: &Candidate, fastest: f64) -> f64 {
    let speed = match candidate.latency {
        Some(latency) if latency > 0.0 => fastest / latency,
        // An endpoint that has never succeeded is worth a try, but no more before that has ended:
        // it may hang.
        None if candidate.in_flight > 0 => 0.0,
        _ => 1.0,
    };
    let known = HEALTH * candidate.health + LATENCY * speed;
    1.0 - (1.0 - known) * (-candidate.idle / HALF_LIFE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize) -> Candidate {
        Candidate {
            index,
            in_flight: 0,
            latency: Some(1.0),
            health: 1.0,
            idle: 0.0,
        }
    }

    #[test]
    fn failover_takes_the_first() {
        let candidates = [candidate(2), candidate(0)];
        assert_eq!(Strategy::Failover.choose(candidates.into_iter()), Some(2));
        assert_eq!(Strategy::Failover.choose(std::iter::empty()), None);
    }

    #[test]
    fn least_loaded_counts_requests_and_then_time() {
        let busy = Candidate {
            in_flight: 2,
            latency: Some(0.1),
            ..candidate(0)
        };
        let slow = Candidate {
            in_flight: 1,
            latency: Some(2.0),
            ..candidate(1)
        };
        let fast = Candidate {
            in_flight: 1,
            latency: Some(1.0),
            ..candidate(2)
        };
        assert_eq!(
            Strategy::LeastLoaded.choose([busy, slow, fast].into_iter()),
            Some(2)
        );
        assert_eq!(
            Strategy::LeastLoaded.choose([busy, slow].into_iter()),
            Some(1)
        );
    }

    #[test]
    fn least_loaded_takes_failures_for_load() {
        let failing = Candidate {
            health: 0.5,
            ..candidate(0)
        };
        let with = |in_flight| Candidate {
            in_flight,
            ..candidate(1)
        };
        let choose = |other| Strategy::LeastLoaded.choose([failing, other].into_iter());
        assert_eq!(choose(with(2)), Some(1), "4 against 3");
        assert_eq!(choose(with(4)), Some(0), "4 against 5");
        let dead = Candidate {
            health: 0.0,
            ..candidate(0)
        };
        let candidates = [dead, with(100)].into_iter();
        assert_eq!(Strategy::LeastLoaded.choose(candidates), Some(0));
    }

    #[test]
    fn scored_weighs_health_over_latency() {
        let unhealthy = Candidate {
            health: 0.4,
            latency: Some(0.5),
            ..candidate(0)
        };
        let slow = Candidate {
            latency: Some(1.0),
            ..candidate(1)
        };
        // 0.28 + 0.30 against 0.70 + 0.15.
        assert_eq!(
            Strategy::Scored.choose([unhealthy, slow].into_iter()),
            Some(1)
        );

        let a_bit_unhealthy = Candidate {
            health: 0.9,
            ..unhealthy
        };
        // 0.63 + 0.30 against 0.70 + 0.15.
        assert_eq!(
            Strategy::Scored.choose([a_bit_unhealthy, slow].into_iter()),
            Some(0)
        );
    }

    #[test]
    fn scored_takes_the_first_of_equals() {
        let candidates = [candidate(0), candidate(1)].into_iter();
        assert_eq!(Strategy::Scored.choose(candidates), Some(0));
    }

    #[test]
    fn scored_takes_an_unknown_endpoint_for_a_fast_one() {
        let unhealthy = Candidate {
            health: 0.9,
            ..candidate(0)
        };
        let unknown = Candidate {
            latency: None,
            ..candidate(1)
        };
        let candidates = [unhealthy, unknown].into_iter();
        assert_eq!(Strategy::Scored.choose(candidates), Some(1));

        let tried = Candidate {
            in_flight: 1,
            ..unknown
        };
        let candidates = [unhealthy, tried].into_iter();
        assert_eq!(Strategy::Scored.choose(candidates), Some(0));
    }

    /// An endpoint with one bad minute would otherwise never be asked again.
    #[test]
    fn scored_forgets_what_is_old() {
        let failed = Candidate {
            health: 0.5,
            latency: Some(1.0),
            ..candidate(0)
        };
        let slow = Candidate {
            health: 1.0,
            latency: Some(1.5),
            ..candidate(1)
        };
        assert_eq!(Strategy::Scored.choose([failed, slow].into_iter()), Some(1));
        let rested = Candidate {
            idle: 30.0,
            ..failed
        };
        assert_eq!(Strategy::Scored.choose([rested, slow].into_iter()), Some(0));
    }
}
