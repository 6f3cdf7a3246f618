//! The text around the tables.

use std::fmt::Write;

use crate::section::{Row, Section};
use crate::table::{Mark, Table};

const WIDTH: usize = 118;

const INTRODUCTION: &str = "# Comparison

The behaviour of these layers and their peers in the same situations. No result is typed by hand. A test of the lab
runs each library through all cases and writes this page. The test fails if a result differs from the page.

```sh
cargo test --manifest-path crates/steadfast-lab/Cargo.toml --test comparison                  # runs all rows and compares them with this page
UPDATE_DOCS=1 cargo test --manifest-path crates/steadfast-lab/Cargo.toml --test comparison    # writes it
```

✓ holds, ✗ does not hold, – the API cannot express the case. Below each table, a list states the expected result of
each row and the reason. Versions are those of `Cargo.lock`.
";

pub(crate) fn document(sections: &[Section]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in sections {
        write_section(&mut text, section);
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn write_section(text: &mut String, section: &Section) {
    let (title, introduction) = (section.title, section.introduction);
    let _ = writeln!(text, "\n## {title}\n\n{introduction}\n");
    for column in &section.columns {
        let (name, package) = (&column.name, column.package);
        let (version, configured) = (version(package), column.configured);
        let line = format!("{name} ({package} {version}): {configured}");
        text.push_str(&item(&line));
    }
    let _ = writeln!(text, "\n{}\n\n{}", section.remark, summary(section));
    for rows in section.rows.chunk_by(|one, next| one.group == next.group) {
        write_group(text, section, rows);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn write_group(text: &mut String, section: &Section, rows: &[Row]) {
    let _ = writeln!(text, "### {}\n", rows[0].group);
    let names = section.columns.iter().map(|column| column.name.clone());
    let mut table = Table::new(std::iter::once(String::new()).chain(names));
    for row in rows {
        let cells = row.cells.iter().map(ToString::to_string);
        table.row(std::iter::once(row.name.to_owned()).chain(cells));
    }
    let _ = writeln!(text, "{table}");
    for row in rows {
        text.push_str(&item(&format!("{}: {}", row.name, row.right)));
    }
    text.push('\n');
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
fn summary(section: &Section) -> Table {
    let mut table = Table::new(["of all rows", "✓", "✗", "–"].map(str::to_owned));
    for (place, column) in section.columns.iter().enumerate() {
        let count = |mark| {
            let cells = section
                .rows
                .iter()
                .filter(|row| row.cells[place].mark == mark);
            cells.count().to_string()
        };
        table.row([
            column.name.clone(),
            count(Mark::Holds),
            count(Mark::Fails),
            count(Mark::NotAsked),
        ]);
    }
    table
}

/// Looks a package up in `Cargo.lock`. The newest counts if there are several.
fn version(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    let found = lock.rmatch_indices(&name).next();
    let rest = found.map(|(at, _)| &lock[at + name.len()..]);
    let version = rest.and_then(|rest| rest.split('"').next());
    version.expect("a package of Cargo.lock").to_owned()
}
