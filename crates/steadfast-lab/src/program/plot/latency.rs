//! Quantiles of the latency.
//!
//! Policies with less success answer fewer requests, often the easy ones. So the plot has the
//! success beside the latency.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use steadfast_core::BoxError;

use super::style::{AXIS, GRID, INK, Look, looks, write, write_aligned};
use super::{Area, svg};
use crate::program::numbers::{mean, percent};
use crate::program::study::Outcome;
use crate::report::Report;

/// The height of a row, in pixels.
const ROW: i32 = 24;
/// The height of the legend, in pixels.
const TOP: i32 = 40;
/// The width of the names, in pixels.
const LEFT: i32 = 190;
/// The width of the success, in pixels.
const RIGHT: i32 = 110;
/// The height of the axis, in pixels.
const BOTTOM: i32 = 50;

/// A quantile: its name, and its value in a report.
type Quantile = (&'static str, fn(&Report) -> Option<f64>);

/// The quantiles of a row, from left to right.
const QUANTILES: [Quantile; 3] = [
    ("p50", |report| report.p50_s),
    ("p99", |report| report.p99_s),
    ("p99.9", |report| report.details.p999_s),
];

/// Draws one row of marks per policy on a logarithmic scale.
pub(in crate::program) fn latency(outcome: &Outcome) -> Result<String, BoxError> {
    let names: Vec<&str> = outcome
        .rows
        .iter()
        .map(|row| Outcome::policy(row))
        .collect();
    let rows: Vec<Vec<f64>> = outcome.rows.iter().map(|row| quantiles(row)).collect();
    let height = TOP + ROW * rows.len() as i32 + BOTTOM;
    svg((900, height as u32), |area| {
        legend(area)?;
        for (n, row) in outcome.rows.iter().enumerate() {
            label(area, row, TOP + ROW * n as i32 + ROW / 2)?;
        }
        chart(area, &rows, &looks(names.into_iter()))
    })
}

/// Writes the policy on the left, and its success on the right.
fn label(area: &Area<'_>, row: &[Report], y: i32) -> Result<(), BoxError> {
    let success = mean(row.iter().map(|report| report.success)).unwrap_or_default();
    let text = percent(success) + " %";
    write_aligned(area, Outcome::policy(row), (LEFT - 12, y), 15, HPos::Right)?;
    write_aligned(area, &text, (right(area), y), 15, HPos::Right)
}

/// Returns the position of the right end of the numbers.
fn right(area: &Area<'_>) -> i32 {
    area.dim_in_pixel().0 as i32 - 20
}

/// Returns the existing quantiles of a row: none without a success.
fn quantiles(row: &[Report]) -> Vec<f64> {
    let of = |(_, of): &Quantile| mean(row.iter().filter_map(of));
    QUANTILES.iter().filter_map(of).collect()
}

/// Draws the axis and the rows.
fn chart(area: &Area<'_>, rows: &[Vec<f64>], looks: &[Look]) -> Result<(), BoxError> {
    let seconds = range(rows);
    let mut chart = ChartBuilder::on(area)
        .margin_top(TOP)
        .margin_right(RIGHT)
        .margin_bottom(BOTTOM)
        .margin_left(LEFT)
        .build_cartesian_2d(seconds.clone().log_scale(), 0.0..rows.len() as f64)?;
    for second in ticks(&seconds) {
        let line = [(second, 0.0), (second, rows.len() as f64)];
        let (x, bottom) = chart.backend_coord(&line[0]);
        chart.draw_series(LineSeries::new(line, GRID))?;
        write_aligned(
            area,
            &format!("{second}"),
            (x, bottom + 14),
            14,
            HPos::Center,
        )?;
    }
    let axis = [(seconds.start, 0.0), (seconds.end, 0.0)];
    let middle = (chart.backend_coord(&axis[0]).0 + chart.backend_coord(&axis[1]).0) / 2;
    chart.draw_series(LineSeries::new(axis, AXIS))?;
    let bottom = chart.backend_coord(&axis[0]).1;
    write_aligned(area, "seconds", (middle, bottom + 36), 14, HPos::Center)?;
    for (n, (row, look)) in rows.iter().zip(looks).enumerate() {
        let y = rows.len() as f64 - n as f64 - 0.5;
        let at: Vec<_> = row
            .iter()
            .map(|seconds| chart.backend_coord(&(*seconds, y)))
            .collect();
        quantile_line(area, &at, look.color)?;
    }
    Ok(())
}

/// Returns the range of the axis, slightly larger than the range of the values.
fn range(rows: &[Vec<f64>]) -> Range<f64> {
    let all = || rows.iter().flatten().copied();
    // Nothing here is faster, and a logarithm needs some distance from 0.
    let least = all().fold(1_000.0, f64::min).max(0.001);
    let most = all().fold(2.0 * least, f64::max);
    least / 1.2..most * 1.2
}

/// Returns the labels of the axis: 1, 2 and 5 times each power of ten.
fn ticks(range: &Range<f64>) -> Vec<f64> {
    let powers = (-3..=4).map(|power| 10f64.powi(power));
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * power));
    ticks.filter(|tick| range.contains(tick)).collect()
}

/// Draws a row.
fn quantile_line(area: &Area<'_>, at: &[(i32, i32)], color: RGBColor) -> Result<(), BoxError> {
    area.draw(&PathElement::new(at, color.stroke_width(2)))?;
    for (quantile, at) in at.iter().enumerate() {
        dot(area, *at, quantile, color)?;
    }
    Ok(())
}

/// Draws the mark of a quantile: a disc for the median, a triangle and a ring for the others.
fn dot(area: &Area<'_>, at: (i32, i32), quantile: usize, color: RGBColor) -> Result<(), BoxError> {
    match quantile {
        0 => area.draw(&Circle::new(at, 5, color.filled()))?,
        1 => area.draw(&TriangleMarker::new(at, 6, color.filled()))?,
        _ => {
            area.draw(&Circle::new(at, 5, WHITE.filled()))?;
            area.draw(&Circle::new(at, 5, color.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Draws the marks with their names.
fn legend(area: &Area<'_>) -> Result<(), BoxError> {
    for (n, (name, _)) in QUANTILES.iter().enumerate() {
        let at = (LEFT + 8 + 90 * n as i32, TOP / 2);
        dot(area, at, n, INK)?;
        write(area, name, (at.0 + 12, at.1), 15)?;
    }
    write_aligned(area, "success", (right(area), TOP / 2), 15, HPos::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_ticks_are_round_numbers_in_range() {
        assert_eq!(ticks(&(0.04..3.0)), [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]);
    }

    #[test]
    fn axis_has_range_without_success() {
        for rows in [vec![], vec![vec![]], vec![vec![1.0, 1.0, 1.0]]] {
            let range = range(&rows);
            assert!(0.0 < range.start && range.start < range.end, "{range:?}");
        }
    }
}
