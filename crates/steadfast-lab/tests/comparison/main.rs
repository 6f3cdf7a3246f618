//! Compares the layers with their rivals, case by case, and writes docs/comparison.md.

mod breaker;
mod document;
mod retry;
mod section;
mod server;
mod table;

use std::sync::OnceLock;
use std::thread;

use self::document::document;
use self::section::{Row, Section};
use self::table::Mark;

fn sections() -> &'static [Section] {
    static SECTIONS: OnceLock<Vec<Section>> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let breaker = thread::spawn(breaker::section);
        vec![retry::section(), breaker.join().expect("no panic")]
    })
}

fn rows() -> impl Iterator<Item = &'static Row> {
    sections().iter().flat_map(|section| &section.rows)
}

#[test]
fn ours_holds_in_every_row() {
    let failed: Vec<_> = rows()
        .filter(|row| row.ours().mark != Mark::Holds)
        .map(|row| format!("{}, {}: {}", row.group, row.name, row.ours()))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_row_can_be_failed() {
    let certain: Vec<_> = rows()
        .filter(|row| !row.can_be_failed())
        .map(|row| row.name)
        .collect();
    assert!(certain.is_empty(), "{certain:?}");
}

#[test]
fn document_matches_results() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/comparison.md");
    let text = document(sections());
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
