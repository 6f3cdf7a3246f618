//! Layers that retry.

mod ask;
mod case;
mod cases;
mod contestants;
mod observed;

use self::case::Case;
use self::cases::cases;
use self::contestants::{Contestant, Once, Ours, Shape, Stubborn, rivals};
use crate::section::{Column, Row, Section};
use crate::table::Mark;

const INTRODUCTION: &str = "The behaviour of retry layers for HTTP. Each layer wraps its HTTP client and sends requests to a server on loopback.
The server follows the script of the row: it answers, waits or closes the connection, and records the requests. The
clock is tokio's, paused, so a wait of a day is measured and takes no time.";

const CHOICES: &str = "In `tower::retry`, `reqwest::retry` and `tower-resilience-retry`, users choose the statuses that are sent again. Here
they are `429` and `5xx`, so the rows `408`, `501` and `504` show this choice.";

pub(crate) fn section() -> Section {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Ours)];
    contestants.extend(rivals());
    let rows = cases().iter().map(|case| row(case, &contestants)).collect();
    let columns = contestants.iter().map(|each| Column {
        name: each.name(),
        package: each.package(),
        configured: each.configured(),
    });
    Section {
        title: "Retry",
        introduction: INTRODUCTION,
        columns: columns.collect(),
        remark: CHOICES,
        rows,
    }
}

fn row(case: &Case, contestants: &[Box<dyn Contestant>]) -> Row {
    let ours = match case.shape {
        Shape::ErrorBodies => " (Ours: `AiStack`.)",
        _ => "",
    };
    let fails = |wrong: &dyn Contestant| case.run(wrong).mark == Mark::Fails;
    Row {
        group: case.group.to_string(),
        name: case.name,
        right: format!("{}{ours}", case.right),
        cells: contestants.iter().map(|each| case.run(&**each)).collect(),
        caught: fails(&Once) || fails(&Stubborn),
    }
}
