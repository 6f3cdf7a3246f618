//! Circuit breakers.

mod ask;
mod backend;
mod case;
mod cases;
mod clock;
mod contestants;
mod stage;

use std::thread;

use self::case::Case;
use self::cases::cases;
use self::contestants::{Contestant, Naive, Never, Ours, rivals};
use crate::section::{Column, Row, Section};
use crate::table::{Cell, Mark};

const INTRODUCTION: &str = "\
The behaviour of circuit breakers around an HTTP client. The client is a tower service that records each call and
answers, fails, hangs or panics according to the row. A circuit is open if it rejects a call. The open time is
an hour. In rows that wait for its end, it is a minute on tokio's paused clock and on the clock of `failsafe`. Other
breakers wait in real time, and there it is 50 ms. The row \"an hour in a test\" waits for the hour.";

const REMARK: &str = "\
`breaker`, `recloser` and `failsafe` are values, to which their caller gives a future. Here that future asks the
client, turns a `429` and a `5xx` into an error, and reads the body to its end; it does nothing before it is polled.
Code that a caller could add around a value is not compared.";

pub(crate) fn section() -> Section {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Ours)];
    contestants.extend(rivals());
    let columns = contestants.iter().map(|each| Column {
        name: each.name(),
        package: each.package(),
        configured: each.configured(),
    });
    Section {
        title: "Circuit breakers",
        introduction: INTRODUCTION,
        columns: columns.collect(),
        remark: REMARK,
        rows: rows(&contestants),
    }
}

fn rows(contestants: &[Box<dyn Contestant>]) -> Vec<Row> {
    let cases = cases();
    // Contestants with the clock of std sleep for most of the time.
    let columns: Vec<Vec<Cell>> = thread::scope(|scope| {
        let run = |each: &dyn Contestant| cases.iter().map(|case| case.run(each)).collect();
        let columns: Vec<_> = contestants
            .iter()
            .map(|each| scope.spawn(move || run(&**each)))
            .collect();
        let joined = columns.into_iter().map(|column| column.join());
        joined.map(|column| column.expect("no panic")).collect()
    });
    let row = |(place, case): (usize, &Case)| Row {
        group: case.group.to_string(),
        name: case.name,
        right: case.right.to_owned(),
        cells: columns.iter().map(|column| column[place].clone()).collect(),
        caught: [&Never as &dyn Contestant, &Naive]
            .iter()
            .any(|wrong| case.run(*wrong).mark == Mark::Fails),
    };
    cases.iter().enumerate().map(row).collect()
}
