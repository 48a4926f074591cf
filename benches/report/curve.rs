//! A part's figures as the data grow, each against itself at the smallest size: a line per case, the size in decades.

use std::collections::BTreeMap;
use std::path::Path;

use super::figure::Figure;
use super::growth::FLAT;
use super::markdown::size;
use super::{Report, written};

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 320.0;
/// What the legend takes beside it.
const LEGEND: f64 = 460.0;
const LINE: f64 = 16.0;
const COLOURS: [&str; 8] =
    ["#1b6ca8", "#c8553d", "#3a7d44", "#8b5fbf", "#b8860b", "#2a9d8f", "#9b2226", "#5c677d"];

struct Line {
    name: String,
    /// Size and cost, smallest first.
    points: Vec<(u64, f64)>,
}

/// One file per part that was measured at several sizes.
pub(super) fn write(report: &Report, directory: &Path) {
    std::fs::create_dir_all(directory).expect("a directory");
    for part in report.parts() {
        let lines = lines(report, part);
        if !lines.is_empty() {
            written(&directory.join(format!("{part}.svg")), &chart(part, &lines));
        }
    }
}

fn lines(report: &Report, part: &str) -> Vec<Line> {
    let mut names: Vec<String> = Vec::new();
    let mut points: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for figure in report.of(part).filter(|figure| figure.is_tenure()) {
        let Some(point) = figure.size.zip(figure.cost()) else { continue };
        let name = name(figure);
        if !names.contains(&name) {
            names.push(name.clone());
        }
        points.entry(name).or_default().push(point);
    }
    let line = |name: String| {
        let mut points = points.remove(&name)?;
        points.sort_by_key(|(size, _)| *size);
        let first = points.first()?.1;
        for (_, cost) in &mut points {
            *cost /= first;
        }
        (points.len() > 1).then_some(Line { name, points })
    };
    names.into_iter().filter_map(line).collect()
}

fn name(figure: &Figure) -> String {
    let beyond = figure.subject.strip_prefix(super::TENURE).unwrap_or_default();
    format!("{}{beyond}", figure.case)
}

fn chart(part: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let mut sizes: Vec<u64> = points().map(|(size, _)| *size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let top = points().map(|(_, cost)| *cost).fold(2.0, f64::max);
    let at = |size: u64, cost: f64| (LEFT + WIDTH * share(&sizes, size), TOP + HEIGHT * (1.0 - cost / top));
    let height = (TOP + HEIGHT + 50.0).max(TOP + LINE * (lines.len() as f64 + 1.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + LEGEND
    );
    svg += &text(LEFT, 22.0, "start", &format!("{part}: cost as the data grow (1 = at the smallest size)"));
    svg += &axes(&sizes, top, &at);
    for (line, n) in lines.iter().zip(0..) {
        svg += &drawn(line, n, &at);
    }
    svg + "</svg>\n"
}

/// Where a size stands between the smallest and the largest, by its logarithm; nothing stands a decade before the rest.
fn share(sizes: &[u64], size: u64) -> f64 {
    let decade = |size: u64| {
        let least = sizes.iter().find(|size| **size > 0).map_or(1.0, |least| *least as f64);
        if size == 0 { least.log10() - 1.0 } else { (size as f64).log10() }
    };
    let (from, to) = (decade(sizes[0]), decade(sizes[sizes.len() - 1]));
    (decade(size) - from) / (to - from)
}

fn axes(sizes: &[u64], top: f64, at: &impl Fn(u64, f64) -> (f64, f64)) -> String {
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    let mut svg = String::new();
    for cost in [0.0, 1.0, FLAT, top] {
        let ((left, y), (right, _)) = (at(first, cost), at(last, cost));
        let dashes = if cost > 1.0 { " stroke-dasharray=\"4 4\"" } else { "" };
        svg += &format!(
            "<line x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" stroke=\"#bbb\"{dashes}/>\n"
        );
        svg += &text(left - 6.0, y + 4.0, "end", &format!("{cost:.1}×"));
    }
    for one in sizes {
        let (x, y) = at(*one, 0.0);
        svg += &text(x, y + 18.0, "middle", &size(*one));
    }
    svg
}

/// A line with its place in the legend.
fn drawn(line: &Line, n: usize, at: &impl Fn(u64, f64) -> (f64, f64)) -> String {
    let colour = COLOURS[n % COLOURS.len()];
    let dashes = ["", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\""][n / COLOURS.len() % 3];
    let path: Vec<String> = line
        .points
        .iter()
        .map(|(size, cost)| at(*size, *cost))
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let (x, y) = (LEFT + WIDTH + 20.0, TOP + LINE * n as f64);
    let stroke = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}");
    format!(
        "<polyline points=\"{}\" {stroke}/>\n<polyline points=\"{x},{y} {},{y}\" {stroke}/>\n{}",
        path.join(" "),
        x + 24.0,
        text(x + 30.0, y + 4.0, "start", &line.name)
    )
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}
