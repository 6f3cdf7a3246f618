use http::Method;

use super::{Case, Group, Observed, Seen, repeated};
use crate::retry::ask::{Ask, Payload};
use crate::server::{Reply, Script, Step};

const KIB: usize = 1024;
const MANY: usize = 30;
/// What arrives of a body before the server does something else.
const A_PART: usize = 3 * KIB;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, right, method, payload: Payload, step: Step| {
        let bytes = payload.bytes();
        let ask = Ask::new(method).payload(payload);
        Case::new(
            Group::Bodies,
            name,
            right,
            ask,
            Script::once(step),
            move |observed| repeated_with(observed, &bytes),
        )
    };
    let streamed = || Payload::stream(8, 2 * KIB);
    let too_large = Payload::stream(20, 100 * KIB);
    let all_of_it = too_large.bytes();
    vec![
        case(
            "in memory, `429`",
            "The second attempt has the same bytes.",
            Method::POST,
            Payload::large(64 * KIB),
            Reply::error(429).into(),
        ),
        case(
            "in memory, connection lost half-way",
            "A `PUT` loses its connection while its body is sent. It is sent again with the same bytes, from the first one.",
            Method::PUT,
            Payload::large(64 * KIB),
            Step::CloseAfter(A_PART),
        ),
        case(
            "streamed, `429`",
            "A body of unknown size that was read to its end goes again with the same bytes.",
            Method::POST,
            streamed(),
            Reply::error(429).into(),
        ),
        case(
            "streamed, `429` half-way",
            "The server refuses before the body has ended. The second attempt has all of it.",
            Method::POST,
            streamed(),
            Step::AnswerAfter(A_PART, Reply::error(429)),
        ),
        Case::new(
            Group::Bodies,
            "streamed, `429` half-way twice",
            "What the second attempt reads beyond the first is kept for the third.",
            Ask::post().payload(streamed()),
            Script::new([
                Step::AnswerAfter(A_PART, Reply::error(429)),
                Step::AnswerAfter(3 * A_PART, Reply::error(429)),
            ]),
            move |observed| {
                let third = observed.attempts.get(2);
                let same = third.is_some_and(|third| third.body == streamed().bytes());
                Seen::of(same && observed.status() == Some(200), observed)
            },
        ),
        case(
            "streamed, `503` with a hint half-way",
            "The same.",
            Method::POST,
            streamed(),
            Step::AnswerAfter(A_PART, Reply::error(503).header("retry-after", "1")),
        ),
        Case::new(
            Group::Bodies,
            "streamed, `429` half-way, thirty at once",
            "Thirty such requests over one client do not mix up their bodies.",
            Ask::post().payload(streamed()),
            Script::once(Step::AnswerAfter(A_PART, Reply::error(429))).for_each_request(),
            move |observed| {
                let same = (0..MANY).all(|number| {
                    let attempts = observed.attempts_of(number);
                    let bytes = streamed().numbered(number).bytes();
                    attempts.len() == 2 && attempts[1].body == bytes
                });
                Seen::of(same && observed.succeeded() == MANY, observed)
            },
        )
        .callers(0, MANY),
        case(
            "streamed, connection lost half-way",
            "A `PUT` loses its connection in the middle of the body. It is sent again with the whole body.",
            Method::PUT,
            streamed(),
            Step::CloseAfter(A_PART),
        ),
        Case::new(
            Group::Bodies,
            "streamed, more than is kept",
            "A body of 2 MB is no reason to fail, nor to fill the memory: sent once and whole, and its answer returned.",
            Ask::post().payload(too_large),
            Script::once(Reply::error(429)),
            move |observed| {
                let mut seen = Seen::of(observed.attempts.len() == 1, observed);
                seen.holds &=
                    observed.status() == Some(429) && observed.attempts[0].body == all_of_it;
                seen
            },
        ),
    ]
}

fn repeated_with(observed: &Observed, bytes: &[u8]) -> Seen {
    let mut seen = repeated(observed);
    if let [_, second] = &observed.attempts[..] {
        let same = second.body == bytes;
        seen.holds &= same;
        seen = seen.and(if same { "same bytes" } else { "other bytes" });
    }
    seen
}
