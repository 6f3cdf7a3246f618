use http::Method;

use super::{Case, Group, Observed, Seen, repeated};
use crate::retry::ask::Ask;
use crate::server::{Reply, Script, Step};

const KEY: &str = "idempotency-key";

pub(super) fn cases() -> Vec<Case> {
    let case = |name, right, ask, step: Step, check: fn(&Observed) -> Seen| {
        Case::new(Group::Safety, name, right, ask, Script::once(step), check)
    };
    vec![
        case(
            "`POST`, `500`",
            "Not sent again: it may have been processed, and doing it twice may do harm (RFC 9110, 9.2.2).",
            Ask::post(),
            Reply::error(500).into(),
            not_repeated,
        ),
        case(
            "`POST` with an `idempotency-key`, `500`",
            "Sent again with the same key: the server knows it (draft-ietf-httpapi-idempotency-key-header).",
            Ask::post().header(KEY, "8e03978e"),
            Reply::error(500).into(),
            repeated_with_the_key,
        ),
        case(
            "`POST`, `429`",
            "Sent again: a refusal proves that it was not processed.",
            Ask::post(),
            Reply::error(429).into(),
            repeated,
        ),
        case(
            "`POST`, connection refused",
            "Sent again: nothing was sent before.",
            Ask::post(),
            Reply::ok().into(),
            arrived,
        )
        .closed_at_first(),
        case(
            "`GET`, connection lost",
            "Sent again when there is no answer: doing it twice is doing it once (RFC 9110, 9.2.2).",
            Ask::get(),
            Step::Close,
            repeated,
        ),
        case(
            "`POST`, connection lost",
            "Not sent again: the server may have processed it.",
            Ask::post(),
            Step::Close,
            not_repeated,
        ),
        case(
            "`PUT`, connection lost",
            "Sent again, as `GET`.",
            Ask::new(Method::PUT),
            Step::Close,
            repeated,
        ),
    ]
}

fn not_repeated(observed: &Observed) -> Seen {
    Seen::of(observed.attempts.len() == 1, observed)
}

fn arrived(observed: &Observed) -> Seen {
    let holds = observed.attempts.len() == 1 && observed.status() == Some(200);
    Seen::of(holds, observed)
}

fn repeated_with_the_key(observed: &Observed) -> Seen {
    let mut seen = repeated(observed);
    let mut keys = observed
        .attempts
        .iter()
        .map(|attempt| attempt.headers.get(KEY));
    let first = keys.next().flatten();
    seen.holds &= first.is_some() && keys.all(|key| key == first);
    seen
}
