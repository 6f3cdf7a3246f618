//! The text around the tables.

use std::fmt::Write;

use crate::retry::Group;
use crate::retry::contestants::Shape;
use crate::table::{Mark, Table};
use crate::{Row, contestants};

const WIDTH: usize = 118;

const INTRODUCTION: &str = "# Comparison

What retry layers for HTTP do in the same situations. A test of the lab puts each one over its HTTP client and sends
requests to a server on a loopback port, which answers, waits and leaves as the row's script says and notes what
arrives. The clock is tokio's, paused, so a wait of a day is measured and takes no time. Nothing here is typed by
hand: the test writes this page, and fails when somebody does something else than it says.

```sh
cargo test -p steadfast-lab --test comparison                  # runs all rows and compares them with this page
UPDATE_DOCS=1 cargo test -p steadfast-lab --test comparison    # writes it
```

✓ holds, ✗ does not hold, – the API has no words for the question. Each row says what is right, and why, below its
table. Versions are those of `Cargo.lock`.
";

const CHOICES: &str = "Which statuses are sent again is for their users to say in `tower::retry`, `reqwest::retry` and
`tower-resilience-retry`. Here it is `429` and `5xx`, so the rows `408`, `501` and `504` show this choice.";

pub(crate) fn document(rows: &[Row]) -> String {
    let mut text = format!("{INTRODUCTION}\n## Retry\n\n");
    for contestant in contestants() {
        let (name, package) = (contestant.name(), contestant.package());
        let version = version(package);
        let configured = contestant.configured();
        let line = format!("{name} ({package} {version}): {configured}");
        text.push_str(&item(&line));
    }
    let _ = writeln!(text, "\n{CHOICES}\n\n{}", summary(rows));
    for group in Group::ALL {
        let _ = writeln!(text, "### {group}\n");
        let columns = contestants()
            .iter()
            .map(|each| each.name())
            .collect::<Vec<_>>();
        let mut table = Table::new(std::iter::once(String::new()).chain(columns));
        let rows = || rows.iter().filter(|row| row.case.group == group);
        for row in rows() {
            let cells = row.cells.iter().map(ToString::to_string);
            table.row(std::iter::once(row.case.name.to_owned()).chain(cells));
        }
        let _ = writeln!(text, "{table}");
        for row in rows() {
            let ours = match row.case.shape {
                Shape::ErrorBodies => " (Ours: `AiStack`.)",
                _ => "",
            };
            let line = format!("{}: {}{ours}", row.case.name, row.case.right);
            text.push_str(&item(&line));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// An item of a list, in lines that are not too long.
fn item(text: &str) -> String {
    let (mut item, mut width) = ("*".to_owned(), 1);
    for word in text.split(' ') {
        width += 1 + word.chars().count();
        if width > WIDTH {
            item.push_str("\n ");
            width = 2 + word.chars().count();
        }
        item.push(' ');
        item.push_str(word);
    }
    item + "\n"
}

/// How many rows hold, for each.
fn summary(rows: &[Row]) -> Table {
    let mut table = Table::new(["of all rows", "✓", "✗", "–"].map(str::to_owned));
    for (place, contestant) in contestants().iter().enumerate() {
        let count = |mark| {
            let cells = rows.iter().filter(|row| row.cells[place].mark == mark);
            cells.count().to_string()
        };
        table.row([
            contestant.name(),
            count(Mark::Holds),
            count(Mark::Fails),
            count(Mark::NotAsked),
        ]);
    }
    table
}

/// Looks a package up in `Cargo.lock`. The newest counts if there are several.
fn version(package: &str) -> String {
    let lock = include_str!("../../../../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let found = lock.rmatch_indices(&name).next();
    let rest = found.map(|(at, _)| &lock[at + name.len()..]);
    let version = rest.and_then(|rest| rest.split('"').next());
    version.expect("a package of Cargo.lock").to_owned()
}
