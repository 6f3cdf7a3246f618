//! Compares the layers with their rivals, case by case, and writes docs/comparison.md.

mod document;
mod retry;
mod server;
mod table;

use std::sync::OnceLock;

use self::document::document;
use self::retry::contestants::{Contestant, Once, Ours, Stubborn, rivals};
use self::retry::{Case, cases};
use self::table::{Cell, Mark};

/// What everybody did: ours first.
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) cells: Vec<Cell>,
}

pub(crate) fn contestants() -> Vec<Box<dyn Contestant>> {
    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(Ours)];
    contestants.extend(rivals());
    contestants
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let contestants = contestants();
        let run = |case: Case| {
            let cells = contestants.iter().map(|each| case.run(&**each)).collect();
            Row { case, cells }
        };
        cases().into_iter().map(run).collect()
    })
}

#[test]
fn ours_holds_in_every_row() {
    let failed: Vec<_> = rows()
        .iter()
        .filter(|row| row.cells[0].mark != Mark::Holds)
        .map(|row| format!("{} {}: {}", row.case.group, row.case.name, row.cells[0]))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A row that nobody can fail shows nothing.
#[test]
fn every_row_can_be_failed() {
    for row in rows() {
        let rivals = row.cells[1..].iter().any(|cell| cell.mark == Mark::Fails);
        let by = |wrong: &dyn Contestant| row.case.run(wrong).mark == Mark::Fails;
        assert!(rivals || by(&Once) || by(&Stubborn), "{}", row.case.name);
    }
}

#[test]
fn the_document_says_what_happened() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/comparison.md");
    let text = document(rows());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, text).expect("docs can be written");
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    for (number, (is, was)) in text.lines().zip(written.lines()).enumerate() {
        assert_eq!(is, was, "line {} of docs/comparison.md", number + 1);
    }
    assert_eq!(text, written, "UPDATE_DOCS=1 writes it");
}
