use super::{Case, Group, Observed, Seen, Shape};
use crate::retry::ask::Ask;
use crate::server::{Reply, Script};

const WELL: usize = 10;
/// More than the budgets of all defaults allow to be sent again.
const FAILED: usize = 60;
const REFUSED: usize = 100;

pub(super) fn cases() -> Vec<Case> {
    let outage = || Script::new(vec![Reply::ok().into(); WELL]).then(Reply::error(503));
    vec![
        Case::new(
            Group::Budget,
            "an outage",
            "Ten requests succeed and then sixty fail at once. The retries end before all of them have made all \
             their attempts: a server that is down needs less to do, and not three or four times as much.",
            Ask::get(),
            outage(),
            |observed| {
                let retries = observed.waits_of_each().split_off(WELL);
                let most = retries.iter().map(Vec::len).max();
                let ended = retries.iter().any(|retries| Some(retries.len()) < most);
                let seen = Seen::of(ended, observed);
                seen.and(if ended { "ended by the budget" } else { "nothing ends them" })
            },
        )
        .callers(WELL, FAILED),
        Case::new(
            Group::Budget,
            "a budget set by hand",
            "The same, and the number of retries matches the documentation of the budget.",
            Ask::get(),
            outage(),
            |observed| {
                let retries = retries(observed);
                let promised = observed.promised.unwrap_or_default();
                let holds = observed.promised == Some(retries);
                Seen::of(holds, observed).and(format_args!("{retries} retries of {promised}"))
            },
        )
        .shape(Shape::Budget)
        .callers(WELL, FAILED),
        Case::new(
            Group::Budget,
            "a hundred `429` at once",
            "A hundred requests that are each refused once all succeed with the default budget.",
            Ask::post(),
            Script::once(Reply::error(429).header("retry-after", "1")).for_each_request(),
            |observed| Seen::of(observed.succeeded() == REFUSED, observed),
        )
        .callers(0, REFUSED),
    ]
}

fn retries(observed: &Observed) -> usize {
    observed.attempts.len().saturating_sub(WELL + FAILED)
}
