//! The figures as a picture.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::method::{Measured, RowReport};
use crate::row::{OURS, Unit};

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {}: {message}", path.display())]
pub struct PlotError {
    path: PathBuf,
    message: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

const WIDTH: i32 = 900;
const LABELS: i32 = 230;
const FIGURES: i32 = 190;
const LINE: i32 = 22;
const HEADER: i32 = 34;
const GAP: i32 = 14;
/// Bars end here, in multiples of the peer's time; longer ones are cut and marked.
const WIDEST: f64 = 4.0;

const INK: RGBColor = RGBColor(32, 36, 44);
const FAINT: RGBColor = RGBColor(120, 126, 138);
const OWN_BAR: RGBColor = RGBColor(214, 93, 14);
const PEER_BAR: RGBColor = RGBColor(140, 160, 190);
const GOAL_LINE: RGBColor = RGBColor(180, 30, 40);

/// Draws every row as bars of the medians relative to the peer its goal names, into an SVG file.
///
/// # Errors
/// [`PlotError`] when the file cannot be written.
pub fn draw(path: &Path, rows: &[RowReport]) -> Result<(), PlotError> {
    let drawable: Vec<&RowReport> = rows.iter().filter(|row| base(row).is_some()).collect();
    let height: i32 = GAP + HEADER + drawable.iter().map(|row| panel_height(row)).sum::<i32>();
    let fail = |message: String| PlotError { path: path.to_owned(), message };
    // The backend writes the file on drop and keeps errors to itself: find out beforehand whether it can be written.
    std::fs::File::create(path).map_err(|error| fail(error.to_string()))?;
    let root = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    draw_all(&root, &drawable).map_err(|error| fail(error.to_string()))
}

fn draw_all<'a>(root: &Area<'a>, rows: &[&RowReport]) -> Drawn<'a> {
    root.fill(&WHITE)?;
    let title = "Median time (or bytes) by the peer each goal names (shorter is better; dashed: goal)";
    text(root, title, (GAP, GAP + 6), 15, INK, HPos::Left)?;
    let mut top = GAP + HEADER;
    for row in rows {
        draw_row(root, row, top)?;
        top += panel_height(row);
    }
    root.present()
}

fn panel_height(row: &RowReport) -> i32 {
    HEADER + LINE * measured(row).count() as i32 + GAP
}

fn measured(row: &RowReport) -> impl Iterator<Item = (&Measured, f64)> {
    row.contenders.iter().filter_map(|one| Some((one, one.summary?.median)))
}

/// The time that the row's bars are relative to: that of the peer its first goal names.
fn base(row: &RowReport) -> Option<f64> {
    let peer = row.goals.first()?.goal.peer;
    measured(row).find(|(one, _)| one.name == peer).map(|(_, median)| median)
}

fn draw_row<'a>(root: &Area<'a>, row: &RowReport, top: i32) -> Drawn<'a> {
    let Some(base) = base(row) else { return Ok(()) };
    text(root, &row.title, (GAP, top + HEADER / 2), 15, INK, HPos::Left)?;
    for (n, (one, median)) in measured(row).enumerate() {
        draw_bar(root, one, &figure(row.unit, median), median / base, top + HEADER + LINE * n as i32)?;
    }
    let bottom = top + HEADER + LINE * measured(row).count() as i32;
    for judged in &row.goals {
        let x = place(judged.goal.at_most);
        for y in (top + HEADER - 4..bottom).step_by(7) {
            root.draw(&PathElement::new([(x, y), (x, y + 4)], GOAL_LINE.stroke_width(1)))?;
        }
    }
    Ok(())
}

fn draw_bar<'a>(root: &Area<'a>, one: &Measured, median: &str, ratio: f64, top: i32) -> Drawn<'a> {
    let middle = top + LINE / 2 - 2;
    let own = one.name.starts_with(OURS);
    let colour = if own { OWN_BAR } else { PEER_BAR };
    text(root, &one.name, (LABELS - 8, middle), 13, if own { OWN_BAR } else { INK }, HPos::Right)?;
    let end = place(ratio.min(WIDEST));
    root.draw(&Rectangle::new([(LABELS, top), (end, top + LINE - 5)], colour.filled()))?;
    if ratio > WIDEST {
        let tip = [(end, top), (end + 9, middle), (end, top + LINE - 5)];
        root.draw(&Polygon::new(tip, colour.filled()))?;
    }
    let figures = format!("{median}   ({ratio:.2} \u{d7})");
    text(root, &figures, (WIDTH - GAP, middle), 12, FAINT, HPos::Right)
}

/// Where a ratio lies across the picture.
fn place(ratio: f64) -> i32 {
    let widest = f64::from(WIDTH - LABELS - FIGURES);
    LABELS + (widest * ratio / WIDEST).round() as i32
}

fn text<'a>(root: &Area<'a>, words: &str, at: (i32, i32), size: u32, ink: RGBColor, side: HPos) -> Drawn<'a> {
    let style = ("sans-serif", size).into_font().color(&ink).pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(words.to_owned(), at, style))
}

fn figure(unit: Unit, amount: f64) -> String {
    match unit {
        Unit::Nanoseconds => duration(amount),
        Unit::Bytes => format!("{amount:.0} bytes"),
    }
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} \u{b5}s", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_the_labels_and_end_before_the_figures() {
        assert_eq!(place(0.0), LABELS);
        assert_eq!(place(WIDEST), WIDTH - FIGURES);
    }

    #[test]
    fn durations_choose_their_unit() {
        assert_eq!([12.3, 4_560.0, 7_890_000.0].map(duration), ["12.3 ns", "4.56 \u{b5}s", "7.89 ms"]);
    }

    #[test]
    fn a_directory_is_no_picture() {
        let error = draw(&std::env::temp_dir(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("cannot draw"));
    }
}
