//! Reports as lines of JSON.
//!
//! The fields are the fields of [`Report`], so their names are stable. A number that
//! a scenario is about follows them.

use serde::Serialize;

use crate::program::study::Outcome;
use crate::report::Report;

/// A report, with the numbers of some scenarios.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The fields of every report.
    #[serde(flatten)]
    report: &'a Report,
    /// The largest number of attempts per request in a second. Only for storms.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_amplification: Option<f64>,
    /// The seconds until full success, or `null` if there was none. Only for storms.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered_s: Option<Option<f64>>,
    /// The attempts per request. Only for herds.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_per_request: Option<f64>,
}

impl<'a> Line<'a> {
    /// Creates the line of a report.
    fn new(report: &'a Report) -> Self {
        let details = &report.details;
        let storm = report.scenario.starts_with("storm");
        let herd = report.scenario == "herd";
        Self {
            report,
            peak_amplification: storm.then_some(details.peak_amplification),
            recovered_s: storm.then_some(details.recovered_s),
            calls_per_request: herd.then_some(report.attempts_per_request),
        }
    }
}

/// Returns one JSON object per line, in the order of the outcomes.
pub(super) fn lines(outcomes: &[Outcome]) -> serde_json::Result<String> {
    let rows = outcomes.iter().flat_map(|outcome| &outcome.rows);
    rows.flatten()
        .map(|report| serde_json::to_string(&Line::new(report)).map(|line| line + "\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Details;

    fn line(scenario: &str) -> String {
        let report = Report {
            scenario: scenario.to_owned(),
            policy: "none".to_owned(),
            load: Some(0.8),
            seed: 1,
            requests: 2,
            success: 0.5,
            attempts_per_request: 1.5,
            rate_limited_per_request: 0.0,
            p50_s: None,
            p99_s: None,
            shares: vec![1.0],
            details: Details::default(),
        };
        serde_json::to_string(&Line::new(&report)).expect("numbers and names")
    }

    const COMMON: &str = r#""policy":"none","load":0.8,"seed":1,"requests":2,"success":0.5,"attempts_per_request":1.5,"rate_limited_per_request":0.0,"p50_s":null,"p99_s":null,"shares":[1.0]"#;

    #[test]
    fn json_lines_match_docs() {
        assert_eq!(line("quota"), format!(r#"{{"scenario":"quota",{COMMON}}}"#));
        assert_eq!(
            line("herd"),
            format!(r#"{{"scenario":"herd",{COMMON},"calls_per_request":1.5}}"#)
        );
    }

    /// A key that is only there sometimes is a trap for programs that read it.
    #[test]
    fn endless_storm_has_null_recovery() {
        let more = r#""peak_amplification":0.0,"recovered_s":null"#;
        assert_eq!(
            line("storm"),
            format!(r#"{{"scenario":"storm",{COMMON},{more}}}"#)
        );
    }
}
