use std::time::Duration;

use tokio::time::timeout;

use super::{Case, Cell, Group, Stage, TIMEOUT, opened};
use crate::breaker::ask::Ask;
use crate::breaker::clock::Time;
use crate::breaker::stage::Shape;

/// More failures than a window has ever needed.
const PATIENCE: usize = 15_000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::Opening,
            "10,000 successes, then an outage",
            "It opens within the window it was configured with, half of the last 64 calls or of the last 30 s. A good \
             day must not make the next outage longer.",
            |stage| Box::pin(after_a_good_day(stage)),
        )
        .shape(Shape::Window),
        Case::new(
            Group::Opening,
            "1,000 × `503`",
            "It opens: to an HTTP client a `503` is an answer, and to its user an outage.",
            |stage| Box::pin(unavailable(stage)),
        ),
        Case::new(
            Group::Opening,
            "1,000 × `429`",
            "It stays closed: a service that limits the rate works, and is the business of a retry layer.",
            |stage| Box::pin(limited(stage)),
        ),
        Case::new(
            Group::Opening,
            "bodies that break",
            "It opens: `200`, and then the connection is lost in the middle of every body.",
            |stage| Box::pin(breaks(stage)),
        ),
        Case::new(
            Group::Opening,
            "a connection with fifty requests",
            "It stays closed when an HTTP/2 connection is lost and all its streams with it. That is one event.",
            |stage| Box::pin(one_connection(stage)),
        ),
        Case::new(
            Group::Opening,
            "connections lost one by one",
            "It opens: each request has a connection of its own, and each is lost.",
            |stage| Box::pin(many_connections(stage)),
        ),
        Case::new(
            Group::Opening,
            "a timeout outside",
            "Fifty calls hang and are dropped by a timeout around the breaker. It opens if the timeout is visible to it.",
            |stage| Box::pin(timeout_outside(stage)),
        )
        .shape(Shape::TimeoutOutside),
        Case::new(
            Group::Opening,
            "callers that leave",
            "Fifty callers drop their calls. It stays closed, since they may have had their own reasons.",
            |stage| Box::pin(callers_leave(stage)),
        ),
        Case::new(
            Group::Opening,
            "clones",
            "Each call comes through a clone of its own, as from the tasks of a server. They share one circuit.",
            |stage| Box::pin(clones(stage)),
        ),
    ]
}

async fn after_a_good_day(stage: &Stage<'_>) -> Cell {
    // Contestants with a window of time.
    let has_time = stage.clock.is(Time::Failsafe);
    let tick = async || {
        if has_time {
            stage.clock.pass(Duration::from_millis(100)).await;
        }
    };
    for _ in 0..10_000 {
        tick().await;
        stage.call(Ask::OK).await;
    }
    let mut failures = 0;
    while failures < PATIENCE && !stage.call(Ask::Fail).await.is_rejected() {
        tick().await;
        failures += 1;
    }
    let window = if has_time { 300 } else { 64 };
    let did = match failures {
        PATIENCE => "stays closed".to_owned(),
        failures => format!("{failures} failures, then open"),
    };
    Cell::of(failures <= window, did)
}

async fn unavailable(stage: &Stage<'_>) -> Cell {
    let calls = stage.calls(1_000, || Ask::UNAVAILABLE).await;
    let rejected = stage.call(Ask::OK).await.is_rejected();
    Cell::of(rejected, opened(rejected.then_some(calls)))
}

async fn limited(stage: &Stage<'_>) -> Cell {
    let calls = stage.calls(1_000, || Ask::LIMITED).await;
    let rejected = stage.call(Ask::OK).await.is_rejected();
    Cell::of(!rejected, opened(rejected.then_some(calls)))
}

async fn breaks(stage: &Stage<'_>) -> Cell {
    let calls = stage.until_rejected(|| Ask::Break).await;
    Cell::of(calls.is_some(), opened(calls))
}

async fn one_connection(stage: &Stage<'_>) -> Cell {
    for stream in stage.hold(50).await {
        stream.end(Ask::Lose).await;
    }
    let rejected = stage.call(Ask::OK).await.is_rejected();
    Cell::of(!rejected, if rejected { "opens" } else { "stays closed" })
}

async fn many_connections(stage: &Stage<'_>) -> Cell {
    let calls = stage.until_rejected(|| Ask::Lose).await;
    Cell::of(calls.is_some(), opened(calls))
}

async fn timeout_outside(stage: &Stage<'_>) -> Cell {
    for _ in 0..50 {
        let _ = timeout(TIMEOUT, stage.call(Ask::Hang)).await;
    }
    let rejected = stage.call(Ask::OK).await.is_rejected();
    let calls = stage.backend.begun();
    Cell::of(rejected, opened(rejected.then_some(calls)))
}

async fn callers_leave(stage: &Stage<'_>) -> Cell {
    for _ in 0..50 {
        stage.cancel().await;
    }
    let rejected = stage.call(Ask::OK).await.is_rejected();
    Cell::of(!rejected, if rejected { "opens" } else { "stays closed" })
}

async fn clones(stage: &Stage<'_>) -> Cell {
    let calls = stage.until_rejected(|| Ask::Fail).await;
    Cell::of(calls.is_some(), opened(calls))
}
