use std::time::Duration;

use super::{Case, Cell, Group, Stage};
use crate::breaker::ask::{Ask, Outcome};
use crate::breaker::clock::Time;
use crate::breaker::contestants::Circuit;
use crate::breaker::stage::Shape;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::Open,
            "ten calls",
            "None of them reaches the client, not even its `call`, in which many services begin to send.",
            |stage| Box::pin(left_alone(stage)),
        ),
        Case::new(
            Group::Open,
            "until when",
            "The rejection contains its remaining time. A caller can wait for it, or answer with a `retry-after`.",
            |stage| Box::pin(until_when(stage)),
        ),
        Case::new(
            Group::Open,
            "probes that fail",
            "The open time grows with each failed probe, so that a long outage is asked less, and up to a maximum, so \
             that its end is noticed.",
            |stage| Box::pin(growing(stage)),
        )
        .shape(Shape::Growing)
        .waits(),
        Case::new(
            Group::Open,
            "eight that open together",
            "Their first probes fail together, and after that they no longer probe at the same moments.",
            |stage| Box::pin(together(stage)),
        )
        .shape(Shape::Jittered)
        .waits(),
        Case::new(
            Group::Open,
            "an hour in a test",
            "Its clock is the paused one of tokio, or one that a test can move. The hour takes no time.",
            |stage| Box::pin(an_hour(stage)),
        )
        .on_tokios_clock(),
    ]
}

async fn left_alone(stage: &Stage<'_>) -> Cell {
    stage.trip().await;
    let before = stage.backend.calls();
    stage.calls(10, || Ask::OK).await;
    let calls = stage.backend.calls() - before;
    Cell::of(calls == 0, format!("{calls} of 10 reach it"))
}

async fn until_when(stage: &Stage<'_>) -> Cell {
    stage.trip().await;
    let Outcome::Rejected { retry_in } = stage.call(Ask::OK).await else {
        return Cell::of(false, "no rejection");
    };
    let open = stage.setting.open;
    let holds = retry_in.is_some_and(|time| time <= open && time >= open * 9 / 10);
    Cell::of(
        holds,
        match retry_in {
            Some(_) if holds => "states the time",
            Some(_) => "states another time",
            None => "states no time",
        },
    )
}

async fn growing(stage: &Stage<'_>) -> Cell {
    let open = stage.setting.open;
    let mut since = opened(stage, &*stage.circuit, Moment::now(stage)).await;
    let mut times = Vec::new();
    for _ in 0..4 {
        let (time, again) = open_time(stage, since, open / 16).await;
        times.push(time);
        since = again;
    }
    let grows = times[1].at_least > open * 7 / 5 && times[2].at_least > open * 14 / 5;
    let ends = times[3].at_most < open * 28 / 5;
    Cell::of(
        grows && ends,
        match (grows, ends) {
            (true, true) => "doubles, up to its maximum",
            (true, false) => "doubles without end",
            (false, _) => "the same each time",
        },
    )
}

async fn together(stage: &Stage<'_>) -> Cell {
    // Chance may bring them together once, and not three times.
    for _ in 0..3 {
        let circuits: Result<Vec<_>, _> = (0..8).map(|_| stage.another()).collect();
        let circuits = circuits.expect("one was made already");
        if are_apart(stage, &circuits).await {
            return Cell::of(true, "at different times");
        }
    }
    Cell::of(false, "at the same time")
}

async fn an_hour(stage: &Stage<'_>) -> Cell {
    stage.trip().await;
    stage.wait().await;
    let rejected = stage.call(Ask::OK).await.is_rejected();
    let did = match (rejected, stage.clock.is(Time::Failsafe)) {
        (true, _) => "follows the clock of std",
        (false, true) => "has a clock that a test can move, though it is hidden",
        (false, false) => "follows the clock of tokio",
    };
    Cell::of(!rejected, did)
}

/// When something happened, by a clock that was read before and after it.
#[derive(Clone, Copy)]
struct Moment {
    after: Duration,
    before: Duration,
}

/// Bounds of an open time.
#[derive(Clone, Copy)]
struct OpenTime {
    at_least: Duration,
    at_most: Duration,
}

impl Moment {
    fn since(after: Duration, stage: &Stage<'_>) -> Self {
        let before = stage.clock.now();
        Self { after, before }
    }

    fn now(stage: &Stage<'_>) -> Self {
        Self::since(stage.clock.now(), stage)
    }
}

impl OpenTime {
    const ANY: Self = Self {
        at_least: Duration::ZERO,
        at_most: Duration::MAX,
    };
}

/// Makes calls that fail until the circuit is open. Returns when the last of them was made, or
/// `last` if it was open already.
async fn opened(stage: &Stage<'_>, circuit: &dyn Circuit, mut last: Moment) -> Moment {
    // No contestant needs as many.
    for _ in 0..50 {
        let after = stage.clock.now();
        if circuit.call(Ask::Fail).await.is_rejected() {
            break;
        }
        last = Moment::since(after, stage);
    }
    last
}

/// Makes a call that fails. Returns whether it was let through, and narrows the bounds of the time
/// for which the circuit has been open.
async fn look(
    stage: &Stage<'_>,
    circuit: &dyn Circuit,
    since: Moment,
    time: &mut OpenTime,
) -> bool {
    let asked = stage.clock.now();
    if circuit.call(Ask::Fail).await.is_rejected() {
        time.at_least = asked.saturating_sub(since.before);
        return false;
    }
    time.at_most = stage.clock.now() - since.after;
    true
}

/// Measures for how long the circuit stays open. Its probe fails, and it opens again.
async fn open_time(stage: &Stage<'_>, since: Moment, step: Duration) -> (OpenTime, Moment) {
    let mut time = OpenTime::ANY;
    loop {
        stage.clock.pass(step).await;
        let after = stage.clock.now();
        if look(stage, &*stage.circuit, since, &mut time).await {
            // It may need more than one failure.
            let probed = Moment::since(after, stage);
            return (time, opened(stage, &*stage.circuit, probed).await);
        }
    }
}

/// Whether circuits that open at the same moment, and again after their first probes, have
/// different open times then.
async fn are_apart(stage: &Stage<'_>, circuits: &[Box<dyn Circuit>]) -> bool {
    for circuit in circuits {
        opened(stage, &**circuit, Moment::now(stage)).await;
    }
    stage.wait().await;
    let mut waiting = Vec::new();
    for circuit in circuits {
        let since = opened(stage, &**circuit, Moment::now(stage)).await;
        waiting.push((circuit, since, OpenTime::ANY));
    }
    let mut times = Vec::new();
    while !waiting.is_empty() {
        stage.clock.pass(stage.setting.open / 64).await;
        let mut still = Vec::new();
        for (circuit, since, mut time) in waiting {
            if look(stage, &**circuit, since, &mut time).await {
                times.push(time);
            } else {
                still.push((circuit, since, time));
            }
        }
        waiting = still;
    }
    let longest = times.iter().map(|time| time.at_least).max();
    let shortest = times.iter().map(|time| time.at_most).min();
    longest > shortest
}
