//! Attempts at each endpoint over time, a panel for each of a few policies.
//!
//! Areas are stacked, so their upper edge is the number of all attempts. Its distance to the black
//! line is the number of further attempts.

use std::ops::Range;

use plotters::prelude::*;
use steadfast_core::BoxError;

use super::style::{AXIS, GRID, INK, endpoint, write};
use super::{Area, svg};
use crate::program::study::{Outcome, Study};
use crate::report::Report;

/// The policies that differ most. With one endpoint, the time of attempts matters, and not their
/// place.
const CHOSEN: [&str; 6] = [
    "steadfast-failover",
    "steadfast-least-loaded",
    "steadfast-scored",
    "round-robin",
    "tower-p2c-peak-ewma",
    "litellm",
];
/// The shown policies of a scenario with one endpoint.
const CHOSEN_ALONE: [&str; 6] = [
    "steadfast-failover",
    "no-retry",
    "sdk-retry",
    "round-robin",
    "litellm",
    "envoy",
];

/// The number of policies up to which all are shown.
const FEW: usize = 8;

/// The number of seconds over which attempts are averaged.
const SMOOTH: usize = 5;
/// The size of a panel, in pixels.
const PANEL: (u32, u32) = (450, 210);
/// The height of the legend, in pixels.
const LEGEND: u32 = 34;

/// The lines of one policy, as points of a time in seconds and a rate per second.
struct Panel<'a> {
    /// The name of the policy.
    policy: &'a str,
    /// The attempts at the endpoints up to each one. The last line is the sum.
    stacked: Vec<Vec<(f64, f64)>>,
    /// The requests.
    arrivals: Vec<(f64, f64)>,
}

/// Draws the panels of the reports with the first seed.
pub(in crate::program) fn endpoints(outcome: &Outcome) -> Result<String, BoxError> {
    let panels = panels(outcome);
    let rows = panels.len().div_ceil(2);
    let size = (2 * PANEL.0, LEGEND + PANEL.1 * rows as u32);
    let points = || {
        panels
            .iter()
            .flat_map(|panel| panel.stacked.iter().flatten())
    };
    let most = points().map(|(_, rate)| *rate).fold(1.0, f64::max);
    svg(size, |area| {
        let (top, rest) = area.split_vertically(LEGEND);
        legend(&top, &outcome.study)?;
        for (part, panel) in rest.split_evenly((rows, 2)).iter().zip(&panels) {
            draw(part, panel, &outcome.study, most)?;
        }
        Ok(())
    })
}

/// Returns the panels of the chosen policies.
fn panels(outcome: &Outcome) -> Vec<Panel<'_>> {
    let chosen = match outcome.study.scenario.endpoints.len() {
        1 => CHOSEN_ALONE,
        _ => CHOSEN,
    };
    let seconds = outcome.study.scenario.lasting.as_secs() as usize;
    let reports = outcome.rows.iter().filter_map(|row| row.first());
    let few = outcome.rows.len() <= FEW;
    let is_chosen = |report: &&Report| few || chosen.contains(&report.policy.as_str());
    reports
        .filter(is_chosen)
        .map(|report| Panel::new(report, seconds))
        .collect()
}

impl<'a> Panel<'a> {
    /// Creates the panel of a report.
    fn new(report: &'a Report, seconds: usize) -> Self {
        let mut sum = vec![0; seconds];
        let stack = |attempts: &Vec<u32>| {
            for (sum, n) in sum.iter_mut().zip(attempts) {
                *sum += n;
            }
            smooth(&sum, seconds)
        };
        Self {
            policy: &report.policy,
            stacked: report.details.attempts.iter().map(stack).collect(),
            arrivals: smooth(&report.details.arrivals, seconds),
        }
    }
}

/// Returns means over [`SMOOTH`] seconds, at no more points than a reader can distinguish.
fn smooth(counts: &[u32], seconds: usize) -> Vec<(f64, f64)> {
    let rate = |second: usize| {
        let window = second.saturating_sub(SMOOTH / 2)..(second + SMOOTH / 2 + 1).min(seconds);
        let sum: u32 = window.clone().filter_map(|n| counts.get(n)).sum();
        f64::from(sum) / window.len().max(1) as f64
    };
    (0..seconds)
        .step_by(seconds.div_ceil(180).max(1))
        .map(|second| (second as f64 + 0.5, rate(second)))
        .collect()
}

/// Draws a panel.
fn draw(area: &Area<'_>, panel: &Panel<'_>, study: &Study, most: f64) -> Result<(), BoxError> {
    write(area, panel.policy, (58, 12), 16)?;
    let seconds = study.scenario.lasting.as_secs_f64();
    let mut chart = ChartBuilder::on(area)
        .margin_top(24)
        .margin_left(4)
        .margin_right(16)
        .margin_bottom(4)
        .x_label_area_size(36)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("s")
        .y_desc("attempts/s")
        .x_labels(8)
        .y_labels(5)
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    // From the sum of all down to the first endpoint, each over the one before.
    for (n, line) in panel.stacked.iter().enumerate().rev() {
        chart.draw_series(AreaSeries::new(line.iter().copied(), 0.0, endpoint(n)))?;
    }
    chart.draw_series(LineSeries::new(panel.arrivals.iter().copied(), INK))?;
    for second in trouble(study)
        .into_iter()
        .flat_map(|range| [range.start, range.end])
    {
        let ends = [(second, 0.0), (second, most * 1.05)];
        chart.draw_series(DashedLineSeries::new(ends, 4, 3, RED.stroke_width(1)))?;
    }
    Ok(())
}

/// Returns the span of the last trouble, in seconds.
fn trouble(study: &Study) -> Option<Range<f64>> {
    let (_, range) = study.scenario.last_trouble()?;
    Some(range.start.as_secs_f64()..range.end.as_secs_f64())
}

/// Draws the colours of the endpoints with their names.
fn legend(area: &Area<'_>, study: &Study) -> Result<(), BoxError> {
    let y = LEGEND as i32 / 2;
    let mut x = 58;
    for (n, name) in study.endpoints().iter().enumerate() {
        area.draw(&Rectangle::new(
            [(x, y - 6), (x + 16, y + 6)],
            endpoint(n).filled(),
        ))?;
        write(area, name, (x + 22, y), 14)?;
        x += 40 + 9 * name.len() as i32;
    }
    area.draw(&PathElement::new([(x, y), (x + 20, y)], INK))?;
    write(area, "requests that come", (x + 26, y), 14)?;
    x += 170;
    area.draw(&PathElement::new([(x, y - 8), (x, y + 8)], RED))?;
    write(area, "trouble begins and ends", (x + 8, y), 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_moving_means() {
        let rates = smooth(&[5, 0, 0, 0, 10], 6);
        let expected = [5.0 / 3.0, 5.0 / 4.0, 3.0, 2.0, 2.5, 10.0 / 3.0];
        for ((second, rate), (n, expected)) in rates.iter().zip(expected.iter().enumerate()) {
            assert_eq!((*second, *rate), (n as f64 + 0.5, *expected));
        }
        assert_eq!(rates.len(), 6);
    }

    #[test]
    fn long_runs_have_as_few_points_as_short_runs() {
        assert_eq!(smooth(&[], 180).len(), 180);
        assert_eq!(smooth(&[], 3_600).len(), 180);
    }
}
