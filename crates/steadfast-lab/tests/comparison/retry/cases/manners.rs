use std::time::Duration;

use bytes::Bytes;

use super::{Case, Group, Observed, Seen, Shape, repeated, sent_once};
use crate::retry::ask::Ask;
use crate::server::{Attempt, Reply, Script, Step};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::Manners,
            "`x-should-retry: false`",
            "Not sent again, although it is a `429`: the server knows better (the SDKs of OpenAI and Anthropic).",
            Ask::post(),
            Script::once(Reply::error(429).header("x-should-retry", "false")),
            sent_once,
        ),
        Case::new(
            Group::Manners,
            "`x-should-retry: true`",
            "Sent again, although it is a `409`.",
            Ask::get(),
            Script::once(Reply::error(409).header("x-should-retry", "true")),
            repeated,
        ),
        Case::new(
            Group::Manners,
            "one request is different",
            "A request can be limited to one attempt, without a client of its own.",
            Ask::get().once(),
            Script::once(Reply::error(503)),
            sent_once,
        ),
        Case::new(
            Group::Manners,
            "one layer in another",
            "Two layers of three or four attempts each make no more than four, not their product.",
            Ask::get(),
            Script::always(Reply::error(503)),
            |observed| {
                let attempts = observed.attempts.len();
                Seen::of((2..=4).contains(&attempts), observed)
            },
        )
        .shape(Shape::Nested),
        Case::new(
            Group::Manners,
            "the attempt's number",
            "A header carries the number of the attempt, so that operators of the server can count retries.",
            Ask::get(),
            Script::new([Reply::error(503).into(), Reply::error(503).into()]),
            tells_its_number,
        )
        .shape(Shape::Numbered),
        Case::new(
            Group::Manners,
            "an answer that breaks",
            "Not sent again after its `200`: a part of the body was given to the caller.",
            Ask::get(),
            Script::once(Step::Break(Reply::ok())),
            |observed| {
                let broken = (observed.outcomes.first()).is_some_and(|outcome| {
                    (outcome.result.as_ref()).map_or(true, |answer| answer.body.is_err())
                });
                Seen::of(observed.attempts.len() == 1 && broken, observed)
            },
        ),
        Case::new(
            Group::Manners,
            "the connection of a failed answer",
            "The page that came with the `429` is read to its end, so that the second attempt needs no new connection.",
            Ask::post(),
            Script::once(long_refusal()),
            |observed| {
                let same = match &observed.attempts[..] {
                    [first, second] => first.connection == second.connection,
                    _ => false,
                };
                let mut seen = repeated(observed);
                seen.holds &= same;
                seen.and(if same { "one connection" } else { "not on the same connection" })
            },
        ),
        Case::new(
            Group::Manners,
            "a failed answer that does not end",
            "The server stops in the middle of the page of the `429`. The retry does not wait for its end.",
            Ask::post(),
            Script::once(Step::Stall(long_refusal())),
            |observed| {
                let mut seen = repeated(observed);
                seen.holds &= observed.took() < Duration::from_secs(5);
                seen
            },
        ),
    ]
}

fn long_refusal() -> Reply {
    let text = "x".repeat(PAGE);
    let body = format!(r#"{{"error":{{"message":"{text}"}}}}"#);
    Reply {
        body: Bytes::from(body),
        ..Reply::error(429)
    }
}

/// More than a client reads ahead.
const PAGE: usize = 32 * 1024;

fn tells_its_number(observed: &Observed) -> Seen {
    let number = |attempt: &Attempt, name: &str| -> Option<u32> {
        attempt.headers.get(name)?.to_str().ok()?.parse().ok()
    };
    let names = observed.attempts.last().map(|last| last.headers.keys());
    let told = names.into_iter().flatten().find(|name| {
        let numbers: Vec<_> = (observed.attempts.iter().skip(1))
            .map(|attempt| number(attempt, name.as_str()))
            .collect();
        numbers.len() >= 2
            && numbers
                .windows(2)
                .all(|two| two[1] == two[0].map(|n| n + 1) && two[0].is_some())
    });
    let seen = Seen::of(told.is_some(), observed);
    match told {
        Some(name) => seen.and(format_args!("`{name}`")),
        None => seen.and("no header"),
    }
}
