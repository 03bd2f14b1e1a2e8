//! A small picture for the README: requests a second of processor time, a bar for each server and number of clients.

use std::fmt::Write as _;

use crate::rounds::Measured;

const BAR_HEIGHT: usize = 18;
const LABEL_WIDTH: usize = 170;
const WIDTH: usize = 640;

/// One bar.
pub(crate) struct Bar {
    label: String,
    per_processor_second: f64,
    is_ours: bool,
}

impl Bar {
    pub(crate) fn of(measured: &Measured) -> Self {
        Self {
            label: format!(
                "{}, {} client{}",
                measured.name,
                measured.clients,
                if measured.clients == 1 { "" } else { "s" }
            ),
            per_processor_second: 1e6 / measured.processor_micros_per_request,
            is_ours: measured.name == "latchkey",
        }
    }
}

/// The picture as SVG, readable on light and on dark ground.
pub(crate) fn draw(bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.per_processor_second).fold(1.0, f64::max);
    let height = bars.len() * (BAR_HEIGHT + 6) + 34;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#888\">\n\
         <text x=\"4\" y=\"18\">GET /api/me: requests a second of processor time</text>\n"
    );
    for (number, bar) in bars.iter().enumerate() {
        let top = 30 + number * (BAR_HEIGHT + 6);
        let room = (WIDTH - LABEL_WIDTH - 80) as f64;
        let width = (bar.per_processor_second / most * room).max(1.0);
        let colour = if bar.is_ours { "#2a7de1" } else { "#999" };
        let (text_top, end) = (top + 14, LABEL_WIDTH as f64 + width + 6.0);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"4\" y=\"{text_top}\">{}</text>\
             <rect x=\"{LABEL_WIDTH}\" y=\"{top}\" width=\"{width:.0}\" height=\"{BAR_HEIGHT}\" fill=\"{colour}\"/>\
             <text x=\"{end:.0}\" y=\"{text_top}\">{:.0}</text>",
            bar.label, bar.per_processor_second
        );
    }
    svg + "</svg>\n"
}
