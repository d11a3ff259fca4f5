//! Line charts as SVG: panels below each other, with axes, units and names of the lines.

use std::fmt::Write;

/// A chart with one panel or more.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What it shows.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) panels: Vec<Panel>,
}

/// Lines over two axes.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One axis.
#[derive(Debug)]
pub(crate) struct Axis {
    /// What it counts, with the unit.
    label: &'static str,
    is_logarithmic: bool,
}

/// One line. It is broken where there is no value.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Lines that belong together have one colour: a number, from 0.
    pub(crate) colour: usize,
    /// Tells two lines of one colour apart.
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<(f64, Option<f64>)>,
    /// What to write at each point; none for a line without marks.
    pub(crate) labels: Vec<String>,
}

impl Axis {
    /// An axis that begins at 0.
    pub(crate) fn linear(label: &'static str) -> Self {
        Self { label, is_logarithmic: false }
    }

    /// An axis of whole powers of ten.
    pub(crate) fn logarithmic(label: &'static str) -> Self {
        Self { label, is_logarithmic: true }
    }
}

// In pixels.
const WIDTH: f64 = 860.0;
const PANEL_HEIGHT: f64 = 330.0;
const TOP: f64 = 40.0;
const LEFT: f64 = 80.0;
/// Room for the names of the lines.
const RIGHT: f64 = 170.0;
const ABOVE: f64 = 14.0;
/// Room for the numbers and the label of the axis.
const BELOW: f64 = 56.0;

/// Colours that people with any kind of colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

impl Chart {
    /// The chart as a file.
    pub(crate) fn svg(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a few panels")]
        let height = TOP + PANEL_HEIGHT * self.panels.len() as f64;
        let mut out = String::new();
        line(
            &mut out,
            &format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">"#
            ),
        );
        line(&mut out, r#"<rect width="100%" height="100%" fill="white"/>"#);
        line(&mut out, &text(LEFT, 24.0, r#"font-size="15" font-weight="bold""#, &self.title));
        let mut top = TOP;
        for panel in &self.panels {
            panel.draw(top, &mut out);
            top += PANEL_HEIGHT;
        }
        line(&mut out, "</svg>");
        out
    }
}

/// Where the values of an axis lie on the paper.
struct Scale {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    /// The pixels of `low` and `high`.
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Panel {
    fn draw(&self, top: f64, out: &mut String) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bottom = top + PANEL_HEIGHT - BELOW;
        let x = Scale::new(&self.x, points().map(|(x, _)| *x), LEFT, WIDTH - RIGHT);
        let y = Scale::new(&self.y, points().filter_map(|(_, y)| *y), bottom, top + ABOVE);
        self.draw_axes(&x, &y, out);
        for (place, series) in self.series.iter().enumerate() {
            series.draw(&x, &y, out);
            #[expect(clippy::cast_precision_loss, reason = "a few lines")]
            let legend = top + ABOVE + 8.0 + 18.0 * place as f64;
            let left = WIDTH - RIGHT + 14.0;
            let (right, stroke) = (left + 18.0, series.stroke());
            line(out, &format!(r#"<line x1="{left}" y1="{legend}" x2="{right}" y2="{legend}" {stroke}/>"#));
            line(out, &text(left + 24.0, legend + 4.0, "", &series.name));
        }
    }

    fn draw_axes(&self, x: &Scale, y: &Scale, out: &mut String) {
        let grid = |x1: f64, y1: f64, x2: f64, y2: f64| {
            format!(r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#dddddd"/>"##)
        };
        for tick in &x.ticks {
            let at = x.pixel(*tick);
            line(out, &grid(at, y.from, at, y.to));
            line(out, &text(at, y.from + 18.0, r#"text-anchor="middle""#, &number(*tick)));
        }
        for tick in &y.ticks {
            let at = y.pixel(*tick);
            line(out, &grid(x.from, at, x.to, at));
            line(out, &text(x.from - 8.0, at + 4.0, r#"text-anchor="end""#, &number(*tick)));
        }
        line(out, &text(f64::midpoint(x.from, x.to), y.from + 40.0, r#"text-anchor="middle""#, self.x.label));
        let middle = f64::midpoint(y.from, y.to);
        let turned = format!(r#"text-anchor="middle" transform="rotate(-90 18 {middle:.1})""#);
        line(out, &text(18.0, middle, &turned, self.y.label));
    }
}

impl Series {
    fn colour(&self) -> &'static str {
        COLOURS[self.colour % COLOURS.len()]
    }

    fn stroke(&self) -> String {
        let dashes = if self.is_dashed { r#" stroke-dasharray="6 3""# } else { "" };
        format!(r#"stroke="{}" stroke-width="1.8"{dashes}"#, self.colour())
    }

    fn draw(&self, x: &Scale, y: &Scale, out: &mut String) {
        let mut path = String::new();
        let mut is_broken = true;
        for (place, (at, value)) in self.points.iter().enumerate() {
            let Some(value) = value else {
                is_broken = true;
                continue;
            };
            let (at, value) = (x.pixel(*at), y.pixel(*value));
            let command = if is_broken { 'M' } else { 'L' };
            write!(path, "{command}{at:.1} {value:.1} ").expect("a string takes everything");
            is_broken = false;
            if let Some(label) = self.labels.get(place) {
                line(out, &format!(r#"<circle cx="{at:.1}" cy="{value:.1}" r="3.5" fill="{}"/>"#, self.colour()));
                line(out, &text(at + 6.0, value - 6.0, r##"font-size="10" fill="#555555""##, label));
            }
        }
        line(out, &format!(r#"<path d="{}" fill="none" {}/>"#, path.trim_end(), self.stroke()));
    }
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let values = values.filter(|value| value.is_finite() && (*value > 0.0 || !axis.is_logarithmic));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        // An axis without values still has a length.
        let (low, high) = if low > high { (1.0, 1.0) } else { (low, high) };
        let ticks = if axis.is_logarithmic { powers_of_ten(low, high) } else { round_numbers(high) };
        let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
        Self { is_logarithmic: axis.is_logarithmic, low, high, from, to, ticks }
    }

    fn pixel(&self, value: f64) -> f64 {
        let (value, low, high) = if self.is_logarithmic {
            // What is not above 0 lies on the axis.
            (value.max(self.low).log10(), self.low.log10(), self.high.log10())
        } else {
            (value, self.low, self.high)
        };
        self.from + (value - low) / (high - low) * (self.to - self.from)
    }
}

/// 0 and four to ten round numbers, the last of them `high` or above.
fn round_numbers(high: f64) -> Vec<f64> {
    let high = if high > 0.0 { high } else { 1.0 };
    let power = 10_f64.powf(high.log10().floor() - 1.0);
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| high / step <= 10.0)
        .expect("50 powers are half of the next power but one");
    let mut ticks = vec![0.0];
    while ticks[ticks.len() - 1] < high {
        #[expect(clippy::cast_precision_loss, reason = "at most ten")]
        ticks.push(step * ticks.len() as f64);
    }
    ticks
}

/// Whole powers of ten around the values, at least two, with 2 and 5 between them where there are few.
fn powers_of_ten(low: f64, high: f64) -> Vec<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "exponents are small")]
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let last = last.max(first + 1);
    let steps: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let mut ticks: Vec<f64> =
        (first..last).flat_map(|exponent| steps.iter().map(move |step| step * 10_f64.powi(exponent))).collect();
    ticks.push(10_f64.powi(last));
    ticks
}

/// A number as people read it on an axis: 1500, 20k, 1.5M.
fn number(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let digits = format!("{value:.3}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn text(x: f64, y: f64, attributes: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{words}</text>"#)
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>, labels: Vec<String>) -> Chart {
        let series = vec![Series { name: "a < b & c".to_owned(), colour: 7, is_dashed: true, points, labels }];
        let panel = Panel { x: Axis::linear("seconds"), y: Axis::logarithmic("latency in microseconds"), series };
        Chart { title: "put".to_owned(), panels: vec![panel] }
    }

    #[test]
    fn every_tag_is_closed_and_every_text_is_escaped() {
        let svg = chart(vec![(0.0, Some(10.0)), (1.0, Some(500.0))], vec!["x".to_owned(), "y".to_owned()]).svg();
        assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n"), "{svg}");
        for tag in svg.lines() {
            let is_whole =
                tag.ends_with("/>") || tag.ends_with("</text>") || tag.starts_with("<svg") || tag == "</svg>";
            assert!(is_whole, "{tag}");
        }
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("latency in microseconds"), "{svg}");
        assert_eq!(
            (svg.matches("<circle").count(), svg.matches("stroke-dasharray").count()),
            (2, 2),
            "line and legend"
        );
    }

    #[test]
    fn line_is_broken_where_there_is_no_value() {
        let svg = chart(vec![(0.0, Some(10.0)), (1.0, None), (2.0, Some(10.0)), (3.0, Some(20.0))], vec![]).svg();
        let path = svg.lines().find(|line| line.starts_with("<path")).unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn larger_values_lie_higher_and_further_right_within_the_panel() {
        let scale = Scale::new(&Axis::logarithmic(""), [10.0, 900.0].into_iter(), 300.0, 50.0);
        let pixels: Vec<f64> = [10.0, 100.0, 1_000.0].into_iter().map(|value| scale.pixel(value)).collect();
        assert_eq!(pixels.iter().map(|pixel| pixel.round()).collect::<Vec<_>>(), [300.0, 175.0, 50.0]);
        assert!((scale.pixel(0.0) - 300.0).abs() < 1e-9, "what has no logarithm lies on the axis");
    }

    #[test]
    fn chart_without_values_is_a_chart() {
        let svg = chart(Vec::new(), Vec::new()).svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn ticks_are_round_and_reach_beyond_the_values() {
        assert_eq!(
            round_numbers(0.95),
            [0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5, 0.6000000000000001, 0.7000000000000001, 0.8, 0.9, 1.0]
        );
        assert_eq!(round_numbers(23_500.0), [0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0]);
        assert_eq!(powers_of_ten(3.0, 3.0), [1.0, 2.0, 5.0, 10.0]);
        assert_eq!(powers_of_ten(0.5, 60_000.0), [0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        assert_eq!(["0", "0.3", "1500", "20k", "1.5M"], [0.0, 0.300_000_04, 1_500.0, 20_000.0, 1.5e6].map(number));
    }
}
