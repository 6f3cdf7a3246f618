//! A section of the document: contestants, cases and results.

use crate::table::{Cell, Mark};

pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// How it is compared.
    pub(crate) introduction: &'static str,
    /// Ours first.
    pub(crate) columns: Vec<Column>,
    /// What to know before reading the tables.
    pub(crate) remark: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// A contestant.
pub(crate) struct Column {
    pub(crate) name: String,
    /// The package in `Cargo.lock`.
    pub(crate) package: &'static str,
    pub(crate) configured: &'static str,
}

/// A case with its results.
pub(crate) struct Row {
    pub(crate) group: String,
    pub(crate) name: &'static str,
    pub(crate) right: String,
    pub(crate) cells: Vec<Cell>,
    /// Whether a contestant that is wrong on purpose fails it.
    pub(crate) caught: bool,
}

impl Row {
    pub(crate) fn ours(&self) -> &Cell {
        &self.cells[0]
    }

    /// Whether a contestant fails it. A row without a possible failure shows nothing.
    pub(crate) fn can_be_failed(&self) -> bool {
        let rivals = &self.cells[1..];
        self.caught || rivals.iter().any(|cell| cell.mark == Mark::Fails)
    }
}
