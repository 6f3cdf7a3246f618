//! The named scenarios.
//!
//! The order is the order of the page. The descriptions contain all numbers, and the functions
//! beside them must agree.

use crate::catalog::entry::Entry;
use crate::catalog::{balance, quota, single};

/// Returns all scenarios that have a name.
#[must_use]
pub fn catalog() -> &'static [Entry] {
    CATALOG
}

/// The named scenarios in the order of the page.
const CATALOG: &[Entry] = &[
    Entry {
        name: "quota",
        about: "Four endpoints allow 20, 10, 5 and 5 requests/s with a burst of 1 s, and \
                answer after 1, 1.5, 2 and 4 s (medians, lognormal, sigma 0.5). A served \
                request costs 1, 1, 2 and 0.5. A 429 takes 30 ms and has `Retry-After` in \
                whole seconds, rounded up. 3 attempts within 30 s. For 4 min, above a load of \
                1 for an hour.",
        loads: &[0.8, 0.95, 1.1],
        make: quota::quota,
    },
    Entry {
        name: "quota-no-hint",
        about: "`quota` without hints.",
        loads: &[0.8, 0.95, 1.1],
        make: quota::quota_no_hint,
    },
    Entry {
        name: "quota-slow",
        about: "`quota`, but all answers take 8 s (median, sigma 0.5), and a request has 60 s.",
        loads: &[0.8, 0.95, 1.1],
        make: quota::quota_slow,
    },
    Entry {
        name: "outage",
        about: "`quota`, and the largest endpoint, which has half of the capacity, refuses \
                connections from 60 to 120 s. At a load of 0.5 the other three suffice \
                exactly, and at 0.8 they do not.",
        loads: &[0.5, 0.8],
        make: quota::outage,
    },
    Entry {
        name: "clients",
        about: "`quota`, used by eight clients that know nothing of each other.",
        loads: &[0.8, 0.95],
        make: quota::clients,
    },
    Entry {
        name: "storm",
        about: "One service works on 20 requests at a time, 50 ms each, and continues to work \
                on cancelled requests. Attempts time out after 1 s. From second 30 to 40 it has \
                only 30 % of this capacity. A load of 0.8 is 320 requests/s. 3 attempts within \
                30 s. For 2 min.",
        loads: &[0.8],
        make: single::storm,
    },
    Entry {
        name: "herd",
        about: "300 clients, which know nothing of each other, send one request each at the \
                same moment to an endpoint that allows 10/s and a burst of 20, with \
                `Retry-After` in whole seconds. Any number of attempts, 10 min in all. The \
                load multiplies the clients.",
        loads: &[1.0],
        make: single::herd,
    },
    Entry {
        name: "fast-fail",
        about: "`quota`, and from 30 to 150 s the second endpoint answers 500 after 5 ms.",
        loads: &[0.5],
        make: quota::fast_fail,
    },
    Entry {
        name: "noise",
        about: "`quota`, and each endpoint answers one request of twenty with 500 after 30 ms, \
                whatever else happens.",
        loads: &[0.5],
        make: quota::noise,
    },
    Entry {
        name: "tokens",
        about: "Three endpoints (large, medium, small) count tokens as well as requests. They \
                allow 24,500, 12,250 and 6,125 tokens/s with a burst of 4 s, and 20, 10 and 5 \
                requests/s with a burst of 1 s. They answer after 1, 1.5 and 2 s (medians, \
                lognormal, sigma 0.5). A request has 500 tokens, or 20,000 with a probability of \
                0.1: 2,450 on average. So the tokens are the limit, and not the requests. No \
                policy knows the size of a request, and answers do not report the remaining \
                tokens, so `estimated_tokens` has no effect here. 3 attempts within 30 s. For 4 \
                min.",
        loads: &[0.8, 0.95],
        make: quota::tokens,
    },
    Entry {
        name: "recovery",
        about: "The endpoints of `quota`, for 15 min, and the largest endpoint refuses connections \
                from 60 to 660 s. Its answers take three times as long at the start of the run and \
                after the outage. From 3, this factor falls linearly to 1 within a minute.",
        loads: &[0.45],
        make: quota::recovery,
    },
    Entry {
        name: "stragglers",
        about: "Four equal endpoints, far from their limit of 200 requests/s each, answer \
                after 50 ms (median, lognormal, sigma 1), and one answer of twenty takes 50 \
                times longer. At best, one hedge after the 95th percentile reduces the 99.9th \
                percentile to 0.13 of its value, since one request of 400 meets two stragglers.",
        loads: &[0.25],
        make: balance::stragglers,
    },
    Entry {
        name: "ramp",
        about: "Ten endpoints without quotas. Each works on 4 requests at a time, and further \
                requests wait at the endpoint. Six need 50 ms (median, lognormal, sigma 0.5), the \
                other four are four times slower. A request has 10 s in all. The load rises from \
                0.5 to 1.3 in steps of a minute. At a step of 1, which is 176 requests/s, the slow \
                ones can just take an equal share. All ten together could take 2.8 times as many. \
                The load of the run multiplies all steps. The columns of a time are per step, and \
                the other columns and the picture cover the nine steps together. A strategy that \
                fills the first endpoint, such as the default one, overloads it.",
        loads: &[1.0],
        make: balance::ramp,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::balance::{STEPS, refusing};
    use crate::catalog::entry::MINUTE;
    use crate::catalog::limits::limits;
    use crate::catalog::quota::{quota, quota_slow, tokens};
    use crate::catalog::retries::retries;
    use crate::catalog::single::storm;
    use crate::world::Arrivals;

    #[test]
    fn every_entry_makes_scenario_of_its_name_at_any_load() {
        let all = catalog().iter().chain(retries()).chain(refusing());
        for entry in all.chain(limits()) {
            for load in entry.loads().iter().copied().chain([0.1]) {
                let scenario = entry.at(load);
                assert_eq!(scenario.name, entry.name());
                assert_eq!(scenario.load, Some(load), "{}", entry.name());
            }
        }
    }

    #[test]
    fn catalog_loads_give_expected_rates() {
        assert_eq!(quota(0.5).arrivals, Arrivals::Poisson(20.0));
        assert_eq!(storm(0.8).arrivals, Arrivals::Poisson(320.0));
        let rate = tokens(1.0).rate();
        assert!((rate - 42_875.0 / 2_450.0).abs() < 1e-9, "{rate}");
        assert_eq!(quota(1.1).lasting, 60 * MINUTE);
        assert_eq!(quota_slow(1.1).lasting, 60 * MINUTE);
    }

    /// A share for each is all that a slow one can take at the step of 1, and more is too much.
    #[test]
    fn ramp_of_one_is_equal_share_of_slow_endpoints() {
        let ramp = balance::ramp(1.0);
        let Arrivals::Steps(rates) = &ramp.arrivals else {
            panic!("{:?}", ramp.arrivals)
        };
        let step = STEPS.iter().position(|step| *step == 1.0).expect("a step");
        assert!((rates[step] - 176.5).abs() < 0.1, "{}", rates[step]);
        assert!((ramp.rate() / rates[step] - 2.8).abs() < 1e-6);
        let share = rates[step] / ramp.endpoints.len() as f64;
        let rates = ramp
            .endpoints
            .iter()
            .map(|endpoint| endpoint.rate(1.0) / share);
        let rates: Vec<_> = rates.collect();
        assert!(
            rates[..6].iter().all(|rate| (rate - 4.0).abs() < 1e-6),
            "{rates:?}"
        );
        assert!(
            rates[6..].iter().all(|rate| (rate - 1.0).abs() < 1e-6),
            "{rates:?}"
        );
    }

    #[test]
    fn refusing_scenarios_have_equal_request_counts() {
        for entry in refusing() {
            let scenario = entry.at(0.1);
            let requests = scenario.arrivals.times(scenario.lasting, 1).len();
            assert!(
                requests.abs_diff(3_000) < 220,
                "{}: {requests}",
                entry.name()
            );
        }
    }
}
