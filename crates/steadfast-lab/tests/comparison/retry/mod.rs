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
they are `429` and `5xx`, so in the rows `408`, `501` and `504` they show this choice, and not the library.

Six of the 62 rows of `steadfast-retry` need the body of an error, which the layer alone does not read. They are run
with `AiStack`, and their cells are marked so. \"JSON error\" is an error of the parser of `async-openai`.";

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
    let mut cells: Vec<_> = contestants.iter().map(|each| case.run(&**each)).collect();
    if case.shape == Shape::ErrorBodies {
        cells[0].did.push_str(" (`AiStack`)");
    }
    let fails = |wrong: &dyn Contestant| case.run(wrong).mark == Mark::Fails;
    Row {
        group: case.group.to_string(),
        name: case.name,
        right: case.right.to_owned(),
        cells,
        caught: fails(&Once) || fails(&Stubborn),
    }
}
