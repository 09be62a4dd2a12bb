//! What the demo prints.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use procshare::inspect::ByteSize;
use serde_json::{Map, Value, json};

use super::crew::Outcome;
use super::files::Found;
use super::tally::{Alone, Counts, LONGEST};
use crate::output;

/// The longest bar of a chart.
const BAR: usize = 40;
/// How many bytes the chart shows.
const BYTES_SHOWN: usize = 12;

/// What came out of one way to tally.
pub(super) struct PathReport {
    /// Its name among the `paths` of the JSON.
    name: &'static str,
    title: String,
    outcome: Outcome,
    /// Figures that only this path has.
    figures: Map<String, Value>,
}

impl PathReport {
    pub(super) fn new(name: &'static str, title: String, outcome: Outcome) -> Self {
        PathReport { name, title, outcome, figures: Map::new() }
    }

    /// Adds a figure.
    pub(super) fn with(mut self, name: &str, figure: impl Into<Value>) -> Self {
        self.figures.insert(name.to_owned(), figure.into());
        self
    }
}

/// All counts, compared.
pub(super) struct Report<'a> {
    found: &'a Found,
    /// The first one is the fast path.
    paths: Vec<PathReport>,
    workers: usize,
    seed: Option<u64>,
    alone: &'a Alone,
    alone_time: Duration,
    skipped: Vec<usize>,
    agree: bool,
    /// Files that changed meanwhile, looked for only if the counts differ.
    changes: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        found: &'a Found,
        paths: Vec<PathReport>,
        workers: usize,
        seed: Option<u64>,
        alone: &'a Alone,
        alone_time: Duration,
    ) -> Self {
        let skipped = alone.skipped.iter().map(|(index, _)| *index).collect();
        let (agree, changes) = (false, Vec::new());
        let mut report = Report { found, paths, workers, seed, alone, alone_time, skipped, agree, changes };
        report.agree = report.paths.iter().all(|path| report.agrees_with(&path.outcome));
        if !report.agree {
            report.changes = found.changes();
        }
        report
    }

    pub(super) fn agrees(&self) -> bool {
        self.agree
    }

    fn agrees_with(&self, outcome: &Outcome) -> bool {
        outcome.counts == self.alone.counts && outcome.skipped == self.skipped
    }

    pub(super) fn print_json(&self) -> Result<()> {
        let fast = &self.paths[0].outcome;
        let counts = &fast.counts;
        let path = |index: usize| self.found.files[index].path.display().to_string();
        let skipped = self.alone.skipped.iter();
        let skipped: Vec<_> = skipped
            .map(|(index, error)| json!({ "path": path(*index), "error": error.to_string() }))
            .collect();
        let mut paths: Map<String, Value> =
            self.paths.iter().map(|path| (path.name.to_owned(), self.path_json(path))).collect();
        paths.insert("single".into(), json!({ "seconds": self.alone_time.as_secs_f64() }));
        let mut json = json!({
            "files": counts.files,
            "bytes": counts.bytes,
            "lines": counts.lines,
            "words": counts.words,
            "skipped": counts.skipped,
            "skipped_files": skipped,
            "byte_histogram": counts.histogram.as_slice(),
            "word_lengths": counts.word_lengths.as_slice(),
            "workers": self.workers,
            "killed": fast.killed,
            "respawned": fast.respawned,
            "agree": self.agree,
            "notes": self.found.notes,
            "paths": paths,
        });
        if let Some(seed) = self.seed {
            json["seed"] = seed.into();
        }
        if !self.agree {
            json["single"] = figures(&self.alone.counts);
            json["changed"] = self.changes.clone().into();
        }
        output::json(&json)
    }

    fn path_json(&self, path: &PathReport) -> Value {
        let outcome = &path.outcome;
        let mut json = json!({
            "seconds": outcome.time.as_secs_f64(),
            "working_seconds": outcome.working.as_secs_f64(),
            "killed": outcome.killed,
            "respawned": outcome.respawned,
            "agree": self.agrees_with(outcome),
        });
        path.figures.iter().for_each(|(name, figure)| json[name] = figure.clone());
        json
    }

    pub(super) fn print_text(&self) -> Result<()> {
        for note in &self.found.notes {
            output::complain(format_args!("left out: {note}"));
        }
        for (index, error) in &self.alone.skipped {
            output::complain(format_args!("skipped {}: {error}", self.found.files[*index].path.display()));
        }
        let mut out = output::stdout();
        self.charts(&mut out)?;
        writeln!(out, "{}\n", self.table())?;
        if let Some(seed) = self.seed {
            let sum = |of: fn(&Outcome) -> u32| self.paths.iter().map(|path| of(&path.outcome)).sum::<u32>();
            let (killed, respawned) = (sum(|outcome| outcome.killed), sum(|outcome| outcome.respawned));
            writeln!(out, "workers killed: {killed}, started in their place: {respawned} (seed {seed})")?;
        }
        if self.agree {
            writeln!(out, "all counts agree: no file was lost or counted twice")?;
        } else {
            writeln!(out, "THE COUNTS DIFFER")?;
            for change in &self.changes {
                writeln!(out, "  {change}")?;
            }
            if self.changes.is_empty() {
                writeln!(out, "  and no file has changed: please report this")?;
            }
        }
        Ok(out.flush()?)
    }

    fn table(&self) -> String {
        let header = ["", "files", "skipped", "bytes", "lines", "words", "seconds", "at work", "of shared"];
        let mut table = output::table(header);
        let fast = self.paths[0].outcome.working;
        let mut add = |who: &str, counts: &Counts, time: Duration, working: Duration| {
            let Counts { files, skipped, bytes, lines, words, .. } = counts;
            let numbers = [files, skipped, bytes, lines, words].map(u64::to_string);
            let seconds = [time, working].map(|time| format!("{:.3}", time.as_secs_f64()));
            let ratio = format!("{:.2} x", working.as_secs_f64() / fast.as_secs_f64().max(1e-9));
            table.add_row([who.to_owned()].into_iter().chain(numbers).chain(seconds).chain([ratio]));
        };
        for PathReport { title, outcome, .. } in &self.paths {
            add(title, &outcome.counts, outcome.time, outcome.working);
        }
        add("one process, afterwards", &self.alone.counts, self.alone_time, self.alone_time);
        table.trim_fmt()
    }

    fn charts(&self, out: &mut impl Write) -> Result<()> {
        let counts = &self.paths[0].outcome.counts;
        let mut bytes: Vec<_> =
            (0..=255u8).map(|byte| (shown(byte), counts.histogram[usize::from(byte)])).collect();
        // Stable: equal counts stay in the order of the bytes.
        bytes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        bytes.truncate(BYTES_SHOWN);
        writeln!(out, "most frequent bytes, of {}", ByteSize(counts.bytes))?;
        chart(out, &bytes)?;
        let label = |length: usize| if length == LONGEST { format!("{length}+") } else { length.to_string() };
        let lengths: Vec<_> =
            (1..=LONGEST).map(|length| (label(length), counts.word_lengths[length - 1])).collect();
        writeln!(out, "lengths of words, in bytes")?;
        chart(out, &lengths)
    }
}

fn figures(counts: &Counts) -> Value {
    let Counts { files, skipped, bytes, lines, words, .. } = counts;
    json!({ "files": files, "skipped": skipped, "bytes": bytes, "lines": lines, "words": words })
}

/// A byte as one can read it.
fn shown(byte: u8) -> String {
    match byte {
        b' ' => "space".into(),
        b'\n' => "newline".into(),
        b'\t' => "tab".into(),
        b'\r' => "return".into(),
        0x21..=0x7e => char::from(byte).to_string(),
        _ => format!("{byte:#04x}"),
    }
}

/// Bars for all counts that are not 0.
fn chart(out: &mut impl Write, rows: &[(String, u64)]) -> Result<()> {
    let most = rows.iter().map(|&(_, count)| count).max().unwrap_or(0).max(1);
    for (label, count) in rows.iter().filter(|&&(_, count)| count > 0) {
        let length = (u128::from(*count) * BAR as u128).div_ceil(u128::from(most)) as usize;
        writeln!(out, "{label:>9} {:<BAR$} {count}", "█".repeat(length))?;
    }
    Ok(writeln!(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_counts() {
        let directory = std::env::temp_dir().join(format!("procshare-demo-report-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("file"), "some words").unwrap();
        let found = super::super::files::find(std::slice::from_ref(&directory)).unwrap();
        let alone = super::super::tally::count_all(&found.files);
        let path = |change: fn(&mut Counts), skipped| {
            let mut counts = alone.counts;
            change(&mut counts);
            let (time, working) = (Duration::ZERO, Duration::ZERO);
            let outcome = Outcome { counts, skipped, killed: 0, respawned: 0, time, working };
            PathReport::new("path", String::new(), outcome)
        };
        let agrees = |other| {
            let paths = vec![path(|_| {}, vec![]), other];
            Report::new(&found, paths, 1, None, &alone, Duration::ZERO).agrees()
        };
        assert!(agrees(path(|_| {}, vec![])));
        assert!(!agrees(path(|counts| counts.words += 1, vec![])));
        assert!(!agrees(path(|counts| counts.histogram[7] += 1, vec![])));
        assert!(!agrees(path(|counts| counts.word_lengths[31] += 1, vec![])));
        assert!(!agrees(path(|_| {}, vec![0])));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn bytes_are_shown_as_one_can_read_them() {
        assert_eq!([b'\n', b' ', b'~', 0x1b, 0xc3].map(shown), ["newline", "space", "~", "0x1b", "0xc3"]);
    }
}
