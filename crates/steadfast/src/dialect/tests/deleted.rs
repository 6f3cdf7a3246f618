//! One deleted row of a table, in the build of the tests. `scripts/rows` deletes each row once.

use std::mem::size_of_val;
use std::sync::OnceLock;

use crate::dialect::dialects::DIALECTS;
use crate::dialect::table::{Choices, Details, Dialect, Path, PathRule, Phrase, Usage};

/// The environment variable with the number of the deleted row.
const VARIABLE: &str = "STEADFAST_DELETED_ROW";

/// Returns whether `row` is deleted.
pub(in crate::dialect) fn is_deleted<T>(row: &T) -> bool {
    static DELETED: OnceLock<Option<usize>> = OnceLock::new();
    let deleted = DELETED.get_or_init(|| {
        let number: usize = std::env::var(VARIABLE).ok()?.parse().ok()?;
        Some(all().get(number).expect("a row").0)
    });
    size_of_val(row) > 0 && *deleted == Some(std::ptr::from_ref(row).addr())
}

/// Returns the address and the name of each row.
fn all() -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (n, dialect) in DIALECTS.iter().enumerate() {
        add_dialect(n, dialect, &mut all);
    }
    all
}

fn add_dialect(n: usize, dialect: &'static Dialect, all: &mut Vec<(usize, String)>) {
    macro_rules! add {
        ($($list:expr, $print:expr;)*) => {$(
            for row in $list {
                let name = format!("{n} {} {:?}", stringify!($list), $print(row));
                all.push((std::ptr::from_ref(row).addr(), name));
            }
        )*};
    }
    add! {
        dialect.code_fields, |row: &Path| *row;
        dialect.text_fields, |row: &Path| *row;
        dialect.hint_fields, |row: &(Path, _)| row.0;
        dialect.status_fields, |row: &Path| *row;
        dialect.header_field.as_slice(), |row: &Path| *row;
        dialect.details.as_slice(), |row: &Details| row.list;
        dialect.phrases, |row: &Phrase| (row.class, row.begins, row.contains);
        dialect.code_headers, |row: &&'static str| *row;
        dialect.failing, |row: &&'static str| *row;
        dialect.account_texts, |row: &&'static str| *row;
        dialect.events, |row: &(&'static str, _)| row.0;
        dialect.choices.as_slice(), |row: &Choices| row.list;
        dialect.answers, |row: &(&'static str, _)| row.0;
        dialect.usage.as_slice(), |row: &Usage| row.field;
        dialect.paths, |row: &(&'static str, PathRule)| *row;
    }
    for (class, codes) in dialect.codes {
        add! { *codes, |row: &&'static str| (*class, *row); }
    }
    for choices in dialect.choices.as_slice() {
        for (outer, inner) in choices.shown {
            add! { *inner, |row: &&'static str| (*outer, *row); }
        }
        add! { choices.shown, |row: &(&'static str, _)| row.0; }
    }
}

/// Prints the rows for `scripts/rows`, which runs this test alone.
#[test]
fn each_row_has_a_number() {
    let mut all = all();
    for (number, (_, name)) in all.iter().enumerate() {
        println!("row {number}: {name}");
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup_by_key(|(address, _)| *address);
    assert_eq!(all.len(), count, "two rows share an address");
}
