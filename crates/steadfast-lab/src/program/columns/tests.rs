use super::*;
use crate::catalog::catalog;
use crate::program::page::means;

/// An outcome with these successes, a policy a row and a seed a column.
fn outcome(scenario: &str, rows: &[&[f64]]) -> Outcome {
    let entry = catalog().iter().find(|entry| entry.name() == scenario);
    let report = |success: &f64| Report {
        scenario: scenario.to_owned(),
        policy: "policy".to_owned(),
        load: Some(0.8),
        seed: 1,
        requests: 1,
        success: *success,
        attempts_per_request: 1.0,
        rate_limited_per_request: 0.0,
        p50_s: None,
        p99_s: None,
        shares: vec![0.5, 0.3, 0.1, 0.1],
        details: Details::default(),
    };
    Outcome {
        study: Study::new(entry.expect("a scenario"), 0.8, 1),
        rows: rows
            .iter()
            .map(|row| row.iter().map(report).collect())
            .collect(),
    }
}

fn cells(outcome: &Outcome, column: usize) -> Vec<String> {
    cells_of(&table(outcome), column)
}

fn cells_of(table: &Table, column: usize) -> Vec<String> {
    let text = table.to_string();
    let cell = |line: &str| {
        line.split('|')
            .nth(column + 1)
            .map(|cell| cell.trim().to_owned())
    };
    text.lines().filter_map(cell).collect()
}

#[test]
fn best_success_is_bold_with_spread() {
    let outcome = outcome("quota", &[&[0.99, 0.98], &[0.9, 0.9], &[0.985, 0.985]]);
    let found = cells(&outcome, 1);
    assert_eq!(
        found[2..],
        ["**98.50** ± 0.50", "90.00", "**98.50**"].map(str::to_owned)
    );
}

#[test]
fn equal_successes_have_no_best() {
    let outcome = outcome("quota", &[&[1.0], &[1.0]]);
    assert_eq!(
        cells(&outcome, 1)[2..],
        ["100.00", "100.00"].map(str::to_owned)
    );
}

#[test]
fn missing_value_has_no_number() {
    let outcome = outcome("storm", &[&[0.0]]);
    assert_eq!(cells(&outcome, 4)[2], "–");
    assert_eq!(cells(&outcome, 9), ["recovered s", "----------:", "never"]);
}

#[test]
fn time_missing_for_some_seeds_is_marked() {
    let mut outcome = outcome("storm", &[&[1.0, 1.0, 1.0]]);
    for (report, time) in outcome.rows[0].iter_mut().zip([Some(3.0), None, Some(6.0)]) {
        report.details.recovered_s = time;
    }
    assert_eq!(cells(&outcome, 9)[2], "4, never in 1");
}

#[test]
fn endpoint_in_trouble_shows_attempts_of_its_trouble() {
    let mut outcome = outcome("outage", &[&[1.0]]);
    // From 60 to 120 s at the first endpoint.
    let attempts = [vec![9; 60], vec![0; 30], vec![1; 30], vec![9; 60]].concat();
    outcome.rows[0][0].details.attempts = vec![attempts, Vec::new(), Vec::new(), Vec::new()];
    let at = cells(&outcome, 12);
    assert_eq!((&*at[0], &*at[2]), ("in trouble, attempts/s", "0.50"));
}

#[test]
fn recovery_is_compared_with_no_retry_per_seed() {
    let mut outcome = outcome("storm", &[&[1.0; 3][..]; 4]);
    let times = [[20.0, 22.0, 24.0], [20.0, 23.0, 24.5], [25.0, 0.0, 30.0]];
    for (row, times) in outcome.rows.iter_mut().zip(times) {
        for (report, time) in row.iter_mut().zip(times) {
            report.details.recovered_s = Some(time).filter(|time| *time > 0.0);
        }
    }
    for report in &mut outcome.rows[0] {
        report.policy = "no-retry".to_owned();
    }
    let table = retry_table(&outcome);
    let expected = ["later by s", "0.0", "0.5", "5.5, never in 1", "never"];
    let found = cells_of(&table, 6);
    assert_eq!(
        [&found[..1], &found[2..]].concat(),
        expected.map(str::to_owned)
    );
}

#[test]
fn peak_is_peak_of_worst_seed() {
    let mut outcome = outcome("storm", &[&[1.0; 3]]);
    for (report, peak) in outcome.rows[0].iter_mut().zip([1.1, 1.3, 1.2]) {
        report.details.peak_amplification = peak;
    }
    let table = retry_table(&outcome);
    assert_eq!(cells_of(&table, 3)[2], "1.200");
    assert_eq!(cells_of(&table, 4)[2], "1.300");
    assert_eq!(
        cells_of(&table, 5)[0],
        "recovered s",
        "and nobody to compare with"
    );
}

#[test]
fn hedge_columns_show_extra_attempts_and_tail() {
    let mut outcome = outcome("stragglers", &[&[1.0; 2]]);
    for (report, more) in outcome.rows[0].iter_mut().zip([1.03, 1.06]) {
        report.attempts_per_request = more;
        report.details.p999_s = Some(2.5);
        report.details.served = vec![0.25; 4];
    }
    assert_eq!(cells(&outcome, 10), ["p99.9 s", "------:", "2.50"]);
    assert_eq!(
        cells(&outcome, 11),
        ["sends more %", "-----------:", "4.50"]
    );
}

#[test]
fn ramp_has_column_per_step() {
    let mut outcome = outcome("ramp", &[&[1.0]]);
    let times = (1..=9).map(f64::from).collect();
    outcome.rows[0][0].details.steps_p99_s = times;
    assert_eq!(cells(&outcome, 3)[0], "p99 at 0.5");
    assert_eq!(cells(&outcome, 8)[..1], ["p99 at 1"]);
    assert_eq!(cells(&outcome, 8)[2], "6.00");
    assert_eq!(cells(&outcome, 11)[0], "p99 at 1.3");
    assert_eq!(cells(&outcome, 12)[0], "", "the last one");
    assert_eq!(means(&outcome), "One seed.", "and no shares");
}
