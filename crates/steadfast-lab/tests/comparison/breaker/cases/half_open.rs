use super::{Case, Cell, Group, Stage};
use crate::breaker::ask::Ask;
use crate::breaker::stage::Shape;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::HalfOpen,
            "500 calls at once",
            "No more of them than its probes reach the backend, which is still down.",
            |stage| Box::pin(stampede(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "slow probes",
            "The probes succeed and take longer than the open time, and than the window where that is a time. It closes.",
            |stage| Box::pin(slow_probes(stage)),
        )
        .shape(Shape::SlowProbes)
        .waits(),
        Case::new(
            Group::HalfOpen,
            "probes that hang",
            "They are never answered, and their callers wait. After four open times there is place for another one, or a \
             hanging call would be an outage without end.",
            |stage| Box::pin(hanging_probes(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "probes that are cancelled",
            "Twenty callers leave, one after the other. Each gives its place to the next.",
            |stage| Box::pin(cancelled_probes(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "probes that panic",
            "The client panics, ten times in `call` and ten times in its future. Each gives its place to the next.",
            |stage| Box::pin(panics(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "probes with long answers",
            "Ten answers with `200` whose bodies go on. Each probe has released its slot, because its head suffices: a stream may take minutes.",
            |stage| Box::pin(streams(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "`429` to the probes",
            "It does not close: a service that answered nothing but `429` has not shown that it works.",
            |stage| Box::pin(limited_probes(stage)),
        )
        .waits(),
    ]
}

async fn stampede(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let before = stage.backend.begun();
    let held = stage.hold(500).await;
    let calls = stage.backend.begun() - before;
    for call in held {
        call.end(Ask::Fail).await;
    }
    let probes = stage.contestant.probes();
    let holds = (1..=probes).contains(&calls);
    Cell::of(holds, format!("{calls} reach it"))
}

async fn slow_probes(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    for _ in 0..5 {
        for probe in stage.hold(1).await {
            if !probe.is_over() {
                stage.wait().await;
            }
            probe.end(Ask::OK).await;
        }
    }
    let calls = stage.at_once().await;
    Cell::of(
        calls == 20,
        match calls {
            20 => "closes",
            0 => "rejects everything",
            _ => "half-open",
        },
    )
}

async fn hanging_probes(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let hanging = stage.hold(10).await;
    for _ in 0..4 {
        stage.wait().await;
    }
    let rejected = stage.call(Ask::OK).await.is_rejected();
    drop(hanging);
    Cell::of(
        !rejected,
        if rejected {
            "rejects everything"
        } else {
            "another probe"
        },
    )
}

async fn cancelled_probes(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let before = stage.backend.begun();
    for _ in 0..20 {
        stage.cancel().await;
    }
    let probes = stage.backend.begun() - before;
    Cell::of(probes == 20, format!("{probes} of 20 let through"))
}

async fn panics(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let before = stage.backend.begun();
    for _ in 0..10 {
        stage.start(Ask::PanicInCall).await;
        stage.start(Ask::PanicInFuture).await;
    }
    let probes = stage.backend.begun() - before;
    Cell::of(probes == 20, format!("{probes} of 20 let through"))
}

async fn streams(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let before = stage.backend.begun();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(stage.start(Ask::Stream).await);
    }
    let probes = stage.backend.begun() - before;
    Cell::of(probes == 10, format!("{probes} of 10 let through"))
}

async fn limited_probes(stage: &Stage<'_>) -> Cell {
    stage.trip_and_wait().await;
    let probes = stage.calls(10, || Ask::LIMITED).await;
    let closed = stage.is_closed().await;
    Cell::of(
        probes > 0 && !closed,
        if closed { "closes" } else { "half-open" },
    )
}
