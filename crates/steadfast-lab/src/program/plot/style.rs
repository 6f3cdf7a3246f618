//! Colours and letters.
//!
//! Colours distinguish our policies from others, and shapes distinguish similar colours.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use steadfast_core::BoxError;

use super::Area;

/// The colour of text.
pub(super) const INK: RGBColor = RGBColor(40, 40, 40);
/// The colour of the grid.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
/// The colour of the axes.
pub(super) const AXIS: RGBColor = RGBColor(120, 120, 120);

/// The colours of our policies, in their order.
const OURS: [RGBColor; 4] = [
    RGBColor(0, 92, 197),
    RGBColor(209, 36, 47),
    RGBColor(17, 120, 60),
    RGBColor(120, 50, 170),
];

/// The colours of the endpoints of a scenario, in their order.
const ENDPOINTS: [RGBColor; 4] = [
    RGBColor(84, 130, 190),
    RGBColor(240, 180, 80),
    RGBColor(110, 175, 120),
    RGBColor(175, 125, 180),
];

/// Returns the colour of an endpoint.
pub(super) fn endpoint(n: usize) -> RGBColor {
    ENDPOINTS[n % ENDPOINTS.len()]
}

/// The appearance of a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The colour of its line and marks.
    pub(super) color: RGBColor,
    /// The width of its line, in pixels.
    pub(super) width: u32,
    /// The number among the policies of others, or `None` for one of ours.
    marker: Option<usize>,
}

/// Returns the appearance of each policy: ours in strong colours, others in pale ones.
pub(super) fn looks<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Look> {
    let (mut ours, mut others) = (0, 0);
    names
        .map(|name| {
            if name.starts_with("steadfast") {
                ours += 1;
                Look::new(OURS[(ours - 1) % OURS.len()], 3, None)
            } else {
                others += 1;
                Look::new(pale(others - 1), 1, Some(others))
            }
        })
        .collect()
}

/// Returns a pale colour. Neighbours differ clearly, because multiples of the golden ratio never
/// repeat.
fn pale(n: usize) -> RGBColor {
    let hue = (0.08 + 0.618_034 * n as f64).fract();
    let (r, g, b) = HSLColor(hue, 0.32, 0.56).rgb();
    RGBColor(r, g, b)
}

impl Look {
    /// Creates an appearance.
    fn new(color: RGBColor, width: u32, marker: Option<usize>) -> Self {
        Self {
            color,
            width,
            marker,
        }
    }

    /// Draws a mark at a point of a line.
    pub(super) fn mark(&self, area: &Area<'_>, at: (i32, i32)) -> Result<(), BoxError> {
        let (color, size) = (self.color, 4);
        // Colours look most alike eight policies apart, so three shapes distinguish them.
        match self.marker.map(|n| n % 3) {
            None => area.draw(&Circle::new(at, size, color.filled()))?,
            Some(0) => area.draw(&TriangleMarker::new(at, size + 1, color.filled()))?,
            Some(1) => area.draw(&Cross::new(at, size, color))?,
            Some(_) => area.draw(&Circle::new(at, size, color))?,
        }
        Ok(())
    }
}

/// Writes text to the right of a point.
pub(super) fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
) -> Result<(), BoxError> {
    write_aligned(area, text, at, size, HPos::Left)
}

/// Writes text with its left end, middle or right end at a point.
pub(super) fn write_aligned(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    side: HPos,
) -> Result<(), BoxError> {
    let style = ("sans-serif", size)
        .into_text_style(area)
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    area.draw_text(text, &style, at)?;
    Ok(())
}
