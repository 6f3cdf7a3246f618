//! Random numbers, and servers with random replies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use steadfast_core::{BoxError, Class, Classified, Verdict};

use crate::support::body::Ending;
use crate::support::{
    MS, Reply, SECOND, Stream, answer, connection_refused, connection_reset, ok, refusal, streamed,
    with_headers,
};

/// Random numbers for all participants, in the order of their calls.
#[derive(Clone)]
pub(super) struct Dice(pub(super) Arc<Mutex<Rng>>);

impl Dice {
    pub(super) fn below(&self, end: usize) -> usize {
        self.0.lock().unwrap().usize(..end)
    }

    pub(super) fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    pub(super) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn millis(&self, end: u32) -> Duration {
        MS * self.0.lock().unwrap().u32(1..end)
    }
}

/// The current behaviour of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    Well,
    Limited,
    Broken,
    Mixed,
    /// Refuses most requests for a bench reason, or with an absurd hint.
    Benched,
}

pub(super) fn reply_in_mood(mood: Mood, dice: &Dice) -> Reply {
    let kind = match mood {
        Mood::Well => 0,
        Mood::Limited => 1 + dice.below(5),
        Mood::Broken => 6 + dice.below(6),
        Mood::Mixed => dice.below(16),
        Mood::Benched => 16 + dice.below(6),
    };
    let hint = dice.pick(&["0", "0.001", "0.1", "1", "10"]);
    let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", hint)];
    let left = dice.pick(&["1", "50", "500", "1000"]);
    let tokens = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", left),
        ("x-ratelimit-reset-tokens", "3s"),
    ];
    let reply: Reply = match kind {
        1 | 2 => refusal(hint).into(),
        3 => answer(429).into(),
        4 => with_headers(ok(), &spent).into(),
        5 if dice.one_in(100) => answer(402).into(),
        5 => answer(dice.pick(&[401, 403, 403, 403])).into(),
        6 => connection_refused().into(),
        7 => connection_reset().into(),
        8 => answer(dice.pick(&[500, 502, 504])).into(),
        9 => with_headers(answer(503), &[("retry-after", hint)]).into(),
        10 => return Reply::never(),
        11 => streamed(Stream::of(["data"]).broken(random_stream_error(dice))).into(),
        12 => answer(dice.pick(&[400, 404, 413])).into(),
        16 => with_verdict(
            402,
            Verdict::new(Class::QuotaExhausted).with_hint(day(dice)),
            dice,
        ),
        17 => answer(401).into(),
        18 => with_verdict(404, Verdict::new(Class::ModelUnavailable), dice),
        19 => with_verdict(
            429,
            Verdict::new(Class::RateLimited).with_hint(day(dice)),
            dice,
        ),
        20 => with_headers(
            ok(),
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "3600"),
            ],
        )
        .into(),
        13 => streamed(Stream::of(["data", "more"]).pace(dice.millis(500))).into(),
        14 => streamed(Stream::of(["data"]).end(Ending::Never)).into(),
        _ if dice.one_in(4) => with_headers(ok(), &tokens).into(),
        _ => ok().into(),
    };
    match dice.below(4) {
        0 => reply,
        1 => reply.after(dice.millis(20)),
        _ => reply.after(dice.millis(2000)),
    }
}

/// An answer with the verdict on one of a few requests, as a stack returns it.
fn with_verdict(status: u16, verdict: Verdict, dice: &Dice) -> Reply {
    let mut response = answer(status);
    let verdict = verdict.with_request_digest(dice.below(3) as u64);
    response.extensions_mut().insert(verdict);
    response.into()
}

/// A hint of a day or more, if there is one.
fn day(dice: &Dice) -> Option<Duration> {
    dice.pick(&[None, Some(86_400 * SECOND), Some(Duration::MAX)])
}

fn random_stream_error(dice: &Dice) -> BoxError {
    let class = dice.pick(&[Class::Transport, Class::RateLimited, Class::Overloaded]);
    let hint = dice.one_in(2).then_some(SECOND);
    Classified::new(Verdict::new(class).with_hint(hint), "refused in the stream").into()
}
