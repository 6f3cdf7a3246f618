//! Operators that change the endpoints at random.

use std::time::Duration;

use steadfast_balance::{Credential, Endpoint, EndpointMode, Limits, PoolHandle, Weight};

use super::NAMES;
use super::callers::random_key;
use super::servers::Dice;
use crate::support::{MS, SECOND, endpoint};

pub(super) fn random_endpoint(n: usize) -> Endpoint {
    endpoint(NAMES[n])
        .tier(u16::try_from(n / 2).expect("small"))
        .larger_context(n == 3)
        .limits(if n == 1 {
            Limits::Shared
        } else {
            Limits::PerKey
        })
        .pass_credentials(n >= 3)
        .api_key(Credential::bearer("own").expect("valid"))
}

/// Changes an endpoint while requests run. An unknown endpoint is left alone.
pub(super) async fn change_random_endpoint(handle: &PoolHandle, dice: &Dice) {
    let n = dice.below(NAMES.len());
    let name = NAMES[n];
    match dice.below(14) {
        0 | 1 => {
            let weight = Weight::new(dice.pick(&[0.1, 1.0, 5.0]));
            drop(handle.set_weight(name, weight.expect("a weight")));
        }
        2 | 3 => drop(handle.set_tier(name, dice.pick(&[0, 1, 2]))),
        4 => drop(handle.disable(name)),
        5 => drop(handle.drain(name)),
        6 => drop(handle.remove(name)),
        7 => {
            let wait = dice.pick(&[Duration::ZERO, 10 * MS, SECOND]);
            match random_key(dice) {
                Some(key) => drop(handle.cool_key(name, &key, wait)),
                None => drop(handle.cool(name, wait)),
            }
        }
        8 | 9 => drop(handle.enable(name)),
        12 => drop(handle.restore(name)),
        13 => drop(handle.reset(name)),
        _ => drop(handle.add(random_endpoint(n))),
    }
}

pub(super) fn enable_all(handle: &PoolHandle) {
    for (n, name) in NAMES.iter().enumerate() {
        let status = handle.status().into_iter().find(|one| one.name == *name);
        match status.map(|status| status.service) {
            None => handle.add(random_endpoint(n)).expect("valid"),
            Some(EndpointMode::Enabled) => {}
            Some(_) => handle.enable(name).expect("the endpoint exists"),
        }
    }
}
