//! Markdown tables that can be read as they are.
//!
//! Cells are padded to the width of their column, so that a page is readable as text.

use std::fmt;

/// A table. The first column is text, the others are numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// The titles of the columns.
    header: Vec<String>,
    /// The rows, each with one cell per column.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub(super) fn new(header: Vec<String>) -> Self {
        Self {
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Returns the width of each column, in characters.
    fn widths(&self) -> Vec<usize> {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        (0..self.header.len())
            .map(|column| {
                let cells = lines().filter_map(|line| line.get(column));
                // A rule needs three characters, its colon included.
                cells.map(|cell| width(cell)).fold(3, usize::max)
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        line(f, &self.header, &widths)?;
        for (column, width) in widths.iter().enumerate() {
            let end = if column == 0 { "-" } else { ":" };
            write!(f, "| {}{end} ", "-".repeat(width - 1))?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row, &widths))
    }
}

/// Writes a row. The first column is aligned to the left, the others to the right.
fn line(f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
    for (column, (cell, total)) in cells.iter().zip(widths).enumerate() {
        let space = " ".repeat(total - width(cell));
        match column {
            0 => write!(f, "| {cell}{space} ")?,
            _ => write!(f, "| {space}{cell} ")?,
        }
    }
    writeln!(f, "|")
}

/// Returns the width of a text, in characters.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_for_any_content() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut table = Table::new(row(["policy", "s", "success %"]));
        table.push(row(["a", "–", "99.96 ± 0.02"]));
        table.push(row(["long-name", "1.25", "**100.00**"]));
        let expected = "\
            | policy    |    s |    success % |\n\
            | --------- | ---: | -----------: |\n\
            | a         |    – | 99.96 ± 0.02 |\n\
            | long-name | 1.25 |   **100.00** |\n";
        assert_eq!(table.to_string(), expected);
    }
}
