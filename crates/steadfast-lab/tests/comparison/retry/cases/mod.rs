//! The rows of the table.

mod bodies;
mod budget;
mod hints;
mod manners;
mod safety;
mod statuses;
mod waiting;

use super::case::{Case, Group, Seen};
use super::contestants::Shape;
use super::observed::Observed;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = hints::cases();
    cases.extend(statuses::cases());
    cases.extend(safety::cases());
    cases.extend(bodies::cases());
    cases.extend(waiting::cases());
    cases.extend(budget::cases());
    cases.extend(manners::cases());
    cases
}

/// Sent again until it succeeded, which took two attempts.
fn repeated(observed: &Observed) -> Seen {
    let same_method = match &observed.attempts[..] {
        [first, second] => first.method == second.method,
        _ => false,
    };
    Seen::of(same_method && observed.status() == Some(200), observed)
}

/// Sent once, and its answer given to the caller at once.
fn sent_once(observed: &Observed) -> Seen {
    let holds = observed.attempts.len() == 1 && observed.took().as_secs() == 0;
    Seen::of(holds, observed)
}
