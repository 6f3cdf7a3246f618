use super::{Case, Cell, Group, Stage};
use crate::breaker::ask::Ask;
use crate::breaker::stage::Held;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::HalfOpen,
            "late successes",
            "Twenty calls from before the outage succeed, ten while it is open and ten while it probes. They are no evidence about the current backend, so it does not close.",
            |stage| Box::pin(successes(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "late failures",
            "Ten calls from before the outage fail while it probes. They do not end the recovery: the probe succeeds, and no later call is rejected.",
            |stage| Box::pin(failures(stage)),
        )
        .waits(),
        Case::new(
            Group::HalfOpen,
            "later failures",
            "Ten such calls fail when it has recovered. They do not open it again.",
            |stage| Box::pin(later_failures(stage)),
        )
        .waits(),
    ]
}

async fn successes(stage: &Stage<'_>) -> Cell {
    let mut old = stage.hold(20).await;
    stage.trip_and_wait().await;
    end(old.split_off(10), || Ask::OK).await;
    let probe = stage.hold(1).await;
    end(old, || Ask::OK).await;
    let closed = stage.is_closed().await;
    end(probe, || Ask::Fail).await;
    Cell::of(!closed, if closed { "closes" } else { "probes on" })
}

async fn failures(stage: &Stage<'_>) -> Cell {
    let old = stage.hold(10).await;
    stage.trip_and_wait().await;
    let probe = stage.hold(1).await;
    end(old, || Ask::Fail).await;
    end(probe, || Ask::OK).await;
    let calls = stage.calls(10, || Ask::OK).await;
    Cell::of(
        calls == 10,
        if calls == 10 {
            "recovers"
        } else {
            "opens again"
        },
    )
}

async fn later_failures(stage: &Stage<'_>) -> Cell {
    let old = stage.hold(10).await;
    stage.trip_and_wait().await;
    let calls = stage.calls(20, || Ask::OK).await;
    end(old, || Ask::Fail).await;
    let rejected = stage.call(Ask::OK).await.is_rejected();
    let holds = calls == 20 && !rejected;
    Cell::of(
        holds,
        if rejected {
            "opens again"
        } else {
            "stays closed"
        },
    )
}

async fn end(calls: Vec<Held>, ask: fn() -> Ask) {
    for call in calls {
        call.end(ask()).await;
    }
}
