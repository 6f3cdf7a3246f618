//! Success over load.
//!
//! The plot shows where each policy breaks down as the load rises.

use plotters::prelude::*;
use steadfast_core::BoxError;

use super::style::{AXIS, GRID, INK, Look, looks, write};
use super::{Area, svg};
use crate::program::study::Outcome;
use crate::report::Report;

/// The width of the legend, in pixels.
const LEGEND: i32 = 210;

/// Draws one line per policy, from the outcomes of one scenario at ascending loads.
pub(in crate::program) fn success(outcomes: &[Outcome]) -> Result<String, BoxError> {
    let policies = outcomes.first().map_or(0, |outcome| outcome.rows.len());
    let lines: Vec<Vec<(f64, f64)>> = (0..policies).map(|n| line(outcomes, n)).collect();
    let names: Vec<&str> = outcomes
        .iter()
        .take(1)
        .flat_map(|outcome| outcome.rows.iter().map(|row| Outcome::policy(row)))
        .collect();
    let looks = looks(names.iter().copied());
    svg((900, 520), |area| {
        chart(area, &lines, &looks)?;
        legend(area, &names, &looks)
    })
}

/// Returns the points of a policy: load, and success in percent.
fn line(outcomes: &[Outcome], policy: usize) -> Vec<(f64, f64)> {
    let mean = |row: &[Report]| {
        let sum: f64 = row.iter().map(|report| report.success).sum();
        100.0 * sum / row.len().max(1) as f64
    };
    outcomes
        .iter()
        .map(|outcome| (outcome.study.load, mean(&outcome.rows[policy])))
        .collect()
}

/// Draws the axes and the lines.
fn chart(area: &Area<'_>, lines: &[Vec<(f64, f64)>], looks: &[Look]) -> Result<(), BoxError> {
    let points = || lines.iter().flatten();
    let (from, to) = points().fold((f64::INFINITY, 0.0f64), |(from, to), (load, _)| {
        (from.min(*load), to.max(*load))
    });
    let least = points().map(|(_, success)| *success).fold(100.0, f64::min);
    // Whole tens, and some room above 100 so that its line is not the frame.
    let bottom = (least / 10.0).floor() * 10.0;
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(LEGEND)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(from - 0.02..to + 0.02, bottom - 1.0..101.0)?;
    chart
        .configure_mesh()
        .x_desc("load")
        .y_desc("success, %")
        .x_labels(8)
        .y_labels(10)
        .x_label_formatter(&|load| format!("{load:.1}"))
        .y_label_formatter(&|success| format!("{success:.0}"))
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    // Ours last, above the others.
    for (line, look) in lines.iter().zip(looks).rev() {
        let style = look.color.stroke_width(look.width);
        chart.draw_series(LineSeries::new(line.iter().copied(), style))?;
        for point in line {
            look.mark(area, chart.backend_coord(point))?;
        }
    }
    Ok(())
}

/// Draws the names of the policies.
fn legend(area: &Area<'_>, names: &[&str], looks: &[Look]) -> Result<(), BoxError> {
    let left = area.dim_in_pixel().0 as i32 - LEGEND + 12;
    for (n, (name, look)) in names.iter().zip(looks).enumerate() {
        let y = 28 + 22 * n as i32;
        let style = look.color.stroke_width(look.width);
        area.draw(&PathElement::new([(left, y), (left + 26, y)], style))?;
        look.mark(area, (left + 13, y))?;
        write(area, name, (left + 34, y), 15)?;
    }
    Ok(())
}
