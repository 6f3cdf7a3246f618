use metrics_exporter_prometheus::PrometheusBuilder;

use super::{Case, Cell, Group, Stage};
use crate::breaker::ask::Ask;
use crate::breaker::contestants::Reaction;
use crate::breaker::stage::Shape;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Group::Use,
            "events",
            "An outage and a recovery emit three transitions: open, half-open, closed.",
            |stage| Box::pin(told(stage)),
        )
        .shape(Shape::Observed)
        .waits(),
        Case::new(
            Group::Use,
            "the state as a metric",
            "After an outage and a recovery the gauges show one state, not each earlier state.",
            |stage| Box::pin(gauge(stage)),
        )
        .shape(Shape::Metrics)
        .waits(),
        Case::new(
            Group::Use,
            "readiness",
            "Each call uses the handle of the client that reported readiness, for probes as well: it may hold a permit.",
            |stage| Box::pin(readiness(stage)),
        )
        .shape(Shape::Layer)
        .waits(),
        Case::new(
            Group::Use,
            "settings that make no sense",
            "Zero failures, a window of nothing, no probes, a share above 1 or `NaN`, a maximum below the first: the constructor returns an error. Each library is given the settings of this kind that it has: `steadfast-breaker` has seven, `recloser` four, and the others six. A configuration comes from a file, so it neither panics nor changes the value.",
            |stage| Box::pin(nonsense(stage)),
        ),
    ]
}

/// An outage, and a recovery.
async fn cycle(stage: &Stage<'_>) {
    stage.trip_and_wait().await;
    stage.calls(20, || Ask::OK).await;
}

async fn told(stage: &Stage<'_>) -> Cell {
    cycle(stage).await;
    let told = stage.setting.log.take();
    let did = if told.is_empty() {
        "nothing".to_owned()
    } else {
        told.join(", ")
    };
    Cell::of(told == ["open", "half-open", "closed"], did)
}

async fn gauge(stage: &Stage<'_>) -> Cell {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let states = {
        let _here = metrics::set_default_local_recorder(&recorder);
        cycle(stage).await;
        let page = page.render();
        let gauges = page
            .lines()
            .filter(|line| line.contains("_state") && !line.starts_with('#'));
        let values = gauges.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        values.collect::<Vec<f64>>()
    };
    match states[..] {
        [] => Cell::of(false, "none"),
        // The number is the state, and 0 is closed.
        [0.0] => Cell::of(true, "one gauge, closed"),
        [_] => Cell::of(false, "one gauge, not closed"),
        _ => {
            let ones = states.iter().filter(|state| **state == 1.0).count();
            Cell::of(ones == 1, format!("{ones} of {} states", states.len()))
        }
    }
}

async fn readiness(stage: &Stage<'_>) -> Cell {
    stage.calls(3, || Ask::OK).await;
    cycle(stage).await;
    let (calls, unready) = (stage.backend.calls(), stage.backend.calls_of_unready());
    Cell::of(
        calls > 0 && unready == 0,
        match unready {
            0 => "always".to_owned(),
            unready => format!("{unready} of {calls} were not"),
        },
    )
}

async fn nonsense(stage: &Stage<'_>) -> Cell {
    let reactions = stage.contestant.nonsense();
    let count = |wanted| reactions.iter().filter(|one| **one == wanted).count();
    let all = reactions.len();
    let refused = count(Reaction::Refused);
    let (panicked, taken) = (count(Reaction::Panicked), count(Reaction::Taken));
    let others = [(panicked, "panic"), (taken, "taken")];
    let others = others.iter().filter(|(count, _)| *count > 0);
    let others: String = others
        .map(|(count, did)| format!(", {count} {did}"))
        .collect();
    Cell::of(
        refused == all,
        format!("{refused} of {all} refused{others}"),
    )
}
