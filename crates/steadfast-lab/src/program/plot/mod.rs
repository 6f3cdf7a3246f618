//! The plots, as SVG.
//!
//! `plotters` draws into a string. The output depends only on the outcomes, so a page without a
//! change has the same plot.

mod endpoints;
mod latency;
mod style;
mod success;

pub(super) use self::endpoints::endpoints;
pub(super) use self::latency::latency;
pub(super) use self::success::success;

use plotters::coord::Shift;
use plotters::prelude::*;
use steadfast_core::BoxError;

/// A part of a plot, in pixels.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a plot on a white background, because some readers have dark pages.
fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), BoxError>,
) -> Result<String, BoxError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    text.push('\n');
    Ok(text)
}
