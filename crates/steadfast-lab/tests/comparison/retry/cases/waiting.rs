use std::time::Duration;

use super::{Case, Group, Observed, Seen, repeated, sent_once};
use crate::retry::ask::Ask;
use crate::server::{Attempt, Reply, Script};

const DAY: &str = "86400";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::Waiting,
            "a hint of 24 h",
            "The answer is returned at once, with its hint: the caller can use the day better.",
            Ask::post(),
            Script::always(Reply::error(429).header("retry-after", DAY)),
            |observed| returned_with_hint(observed, DAY),
        ),
        Case::new(
            Group::Waiting,
            "a hint beyond the deadline",
            "The caller has 10 s and the server asks for 20: the answer is returned at once, with its hint.",
            Ask::post().deadline(Duration::from_secs(10)),
            Script::always(Reply::error(429).header("retry-after", "20")),
            |observed| returned_with_hint(observed, "20"),
        ),
        Case::new(
            Group::Waiting,
            "no hint",
            "There is a pause before the second attempt, so that a server that is down can come up.",
            Ask::get(),
            Script::once(Reply::error(503)),
            |observed| {
                let mut seen = repeated(observed);
                let at_once = observed.gap().is_some_and(|gap| gap.is_zero());
                seen.holds &= !at_once;
                seen.and(if at_once { "at once" } else { "after a pause" })
            },
        ),
        Case::new(
            Group::Waiting,
            "requests that fail together",
            "Three requests do not all wait for the same times, or they would come together again.",
            Ask::get(),
            Script::new([Reply::error(503).into(), Reply::error(503).into()]).for_each_request(),
            waits_differ,
        )
        .callers(0, 3),
        Case::new(
            Group::Waiting,
            "the caller leaves",
            "Once the caller has dropped the request, nothing is sent any more, and the budget has its tokens back.",
            Ask::post(),
            Script::always(Reply::error(429).header("retry-after", "10")),
            nothing_afterwards,
        )
        // In the first wait of every contestant that waits.
        .cancelled_after(Duration::from_millis(10)),
    ]
}

fn returned_with_hint(observed: &Observed, hint: &str) -> Seen {
    let mut seen = sent_once(observed);
    let result = observed.outcomes.first().map(|outcome| &outcome.result);
    let has_hint = result.is_some_and(|result| {
        let answer = result.as_ref().ok();
        answer.is_some_and(|answer| {
            let value = answer.headers.get("retry-after");
            answer.status == 429 && value.is_some_and(|value| value == hint)
        })
    });
    seen.holds &= has_hint;
    seen
}

fn waits_differ(observed: &Observed) -> Seen {
    let waits = observed.waits_of_each();
    let retried = waits.iter().all(|waits| !waits.is_empty());
    let same = waits.windows(2).all(|two| two[0] == two[1]);
    let seen = Seen::of(retried && !same, observed);
    let waiting = waits.iter().flatten().any(|wait| !wait.is_zero());
    seen.and(match (waiting, same) {
        (false, _) => "no waits",
        (true, true) => "the same waits",
        (true, false) => "different waits",
    })
}

fn nothing_afterwards(observed: &Observed) -> Seen {
    let late = observed.cancelled.map_or(0, |at| {
        let is_late = |attempt: &&Attempt| attempt.at > at;
        observed.attempts.iter().filter(is_late).count()
    });
    let full = observed.budget.is_none_or(|(left, all)| left == all);
    let did = match (late, full) {
        (0, true) => "nothing sent afterwards".to_owned(),
        (0, false) => "the budget lacks tokens".to_owned(),
        (late, _) => format!("{late} sent afterwards"),
    };
    Seen {
        holds: late == 0 && full,
        did,
    }
}
