//! The figures as text.

use std::fmt::{self, Display, Formatter};

use crate::method::{Judged, Measured, RowReport, Verdict};
use crate::row::Unit;
use crate::stats::Summary;

/// A whole run, printed as a table for each row and one of the goals at the end.
pub struct Table<'a>(pub &'a [RowReport]);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for row in self.0 {
            write_row(f, row)?;
        }
        write_goals(f, self.0)
    }
}

fn write_row(f: &mut Formatter<'_>, row: &RowReport) -> fmt::Result {
    writeln!(f, "{}  ({})", row.title, row.id)?;
    let peer = row.goals.first().map(|judged| judged.goal.peer);
    let base = row.contenders.iter().find(|one| Some(one.name.as_str()) == peer).and_then(|one| one.summary);
    let against = peer.map_or(String::new(), |peer| format!("\u{d7} {peer}"));
    let (median, min) = match row.unit {
        Unit::Nanoseconds => ("median ns", "min ns"),
        Unit::Bytes => ("bytes", "bytes"),
    };
    writeln!(f, "  {:26}{median:>14}{min:>14}{:>8}{:>9}  {against}", "", "noise", "batches")?;
    for one in &row.contenders {
        write_contender(f, one, base, row.bytes)?;
    }
    writeln!(f)
}

fn write_contender(
    f: &mut Formatter<'_>,
    one: &Measured,
    base: Option<Summary>,
    bytes: Option<u64>,
) -> fmt::Result {
    write!(f, "  {:26}", one.name)?;
    if let Some(failure) = &one.failure {
        return writeln!(f, "{} {failure}", if failure.is_absence() { "skipped:" } else { "FAILED:" });
    }
    let Some(summary) = one.summary else { return writeln!(f, "no batch counted") };
    let (median, min) = (figure(summary.median), figure(summary.min));
    let noise = format!("{:.1} %", summary.noise * 100.0);
    write!(f, "{median:>14}{min:>14}{noise:>8}{:>9}", summary.batches)?;
    if let Some(base) = base {
        write!(f, "  {:.3}", summary.median / base.median)?;
    }
    if let Some(bytes) = bytes {
        write!(f, "  {:.1} GB/s", bytes as f64 / summary.median)?;
    }
    if one.disturbed {
        write!(f, "  disturbed by other programs")?;
    } else if one.dropped > 0 {
        write!(f, "  {} left out", one.dropped)?;
    }
    writeln!(f)
}

fn write_goals(f: &mut Formatter<'_>, rows: &[RowReport]) -> fmt::Result {
    let judged = || rows.iter().flat_map(|row| row.goals.iter().map(move |judged| (row, judged)));
    writeln!(f, "Goals")?;
    for (row, judged) in judged() {
        let goal = judged.goal;
        let text = format!("{} \u{2264} {:.3} \u{d7} {}", goal.ours, goal.at_most, goal.peer);
        writeln!(f, "  {:28}{text:44}{}", row.id, outcome(judged))?;
    }
    let count = |verdict| judged().filter(|(_, judged)| judged.verdict == verdict).count();
    let (passed, failed) = (count(Verdict::Pass), count(Verdict::Fail));
    writeln!(f, "  {passed} passed, {failed} failed, {} not measured", count(Verdict::Unmeasured))
}

fn outcome(judged: &Judged) -> String {
    let word = match judged.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Unmeasured => "not measured",
    };
    match (judged.ratio, judged.ratio_of_minima) {
        (Some(ratio), Some(minima)) => format!("{ratio:.3} (minima {minima:.3})  {word}"),
        _ => word.to_owned(),
    }
}

/// A figure with two decimals at the small end and groups of thousands at the large one.
fn figure(amount: f64) -> String {
    if amount < 1000.0 {
        return format!("{amount:.2}");
    }
    let digits = format!("{amount:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [12.345, 1000.4, 1_234_567.0, 999.0].map(figure),
            ["12.35", "1,000", "1,234,567", "999.00"]
        );
    }
}
