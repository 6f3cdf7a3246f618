//! A table in Markdown.

/// Whether a contestant behaved rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Holds,
    Fails,
    /// Its API has no words for the question.
    NotAsked,
}

/// What a contestant did in one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) mark: Mark,
    pub(crate) did: String,
}

/// Rows under one heading.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Cell {
    pub(crate) fn new(mark: Mark, did: impl Into<String>) -> Self {
        Self {
            mark,
            did: did.into(),
        }
    }

    pub(crate) fn of(holds: bool, did: impl Into<String>) -> Self {
        Self::new(if holds { Mark::Holds } else { Mark::Fails }, did)
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.mark {
            Mark::Holds => "✓",
            Mark::Fails => "✗",
            Mark::NotAsked => "–",
        };
        write!(f, "{mark} {}", self.did)
    }
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = String>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let escape = |cell: String| cell.replace('|', "\\|").replace('\n', " ");
        self.rows.push(cells.into_iter().map(escape).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}
