//! What the demo prints.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use procshare::inspect::ByteSize;
use serde_json::{Value, json};

use super::files::Found;
use super::line::LineCrew;
use super::parent::Crew;
use super::tally::{Alone, Counts, LONGEST};
use crate::output;

/// The longest bar of a chart.
const BAR: usize = 40;
/// How many bytes the chart shows.
const BYTES_SHOWN: usize = 12;

/// Both counts, compared.
pub(super) struct Report<'a> {
    found: &'a Found,
    crew: &'a Crew,
    line: &'a LineCrew,
    alone: &'a Alone,
    alone_time: Duration,
    agree: bool,
    /// Files that changed meanwhile, looked for only if the counts differ.
    changes: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        found: &'a Found,
        crew: &'a Crew,
        line: &'a LineCrew,
        alone: &'a Alone,
        alone_time: Duration,
    ) -> Self {
        let skipped: Vec<_> = alone.skipped.iter().map(|(index, _)| *index).collect();
        let agree = crew.counts == alone.counts
            && crew.skipped == skipped
            && line.counts == alone.counts
            && line.skipped == skipped;
        let changes = if agree { Vec::new() } else { found.changes() };
        Report { found, crew, line, alone, alone_time, agree, changes }
    }

    pub(super) fn agrees(&self) -> bool {
        self.agree
    }

    pub(super) fn print_json(&self) -> Result<()> {
        let counts = &self.crew.counts;
        let path = |index: usize| self.found.files[index].path.display().to_string();
        let skipped = self.alone.skipped.iter();
        let skipped: Vec<_> = skipped
            .map(|(index, error)| json!({ "path": path(*index), "error": error.to_string() }))
            .collect();
        let mut json = json!({
            "files": counts.files,
            "bytes": counts.bytes,
            "lines": counts.lines,
            "words": counts.words,
            "skipped": counts.skipped,
            "skipped_files": skipped,
            "byte_histogram": counts.histogram.as_slice(),
            "word_lengths": counts.word_lengths.as_slice(),
            "workers": self.crew.workers,
            "killed": self.crew.killed,
            "respawned": self.crew.respawned,
            "agree": self.agree,
            "notes": self.found.notes,
            "paths": {
                "shared": { "seconds": self.crew.time.as_secs_f64() },
                "queue": self.line_json(),
                "single": { "seconds": self.alone_time.as_secs_f64() },
            },
        });
        if let Some(seed) = self.crew.seed {
            json["seed"] = seed.into();
        }
        if !self.agree {
            json["single"] = figures(&self.alone.counts);
            json["changed"] = self.changes.clone().into();
        }
        output::json(&json)
    }

    fn line_json(&self) -> Value {
        let line = self.line;
        json!({
            "seconds": line.time.as_secs_f64(),
            "producers": line.producers,
            "consumers": line.consumers,
            "chunks": line.chunks,
            "killed": line.killed,
            "respawned": line.respawned,
            "agree": line.counts == self.alone.counts,
        })
    }

    pub(super) fn print_text(&self) -> Result<()> {
        for note in &self.found.notes {
            output::complain(format_args!("left out: {note}"));
        }
        for (index, error) in &self.alone.skipped {
            output::complain(format_args!("skipped {}: {error}", self.found.files[*index].path.display()));
        }
        let mut out = output::stdout();
        writeln!(out, "{}\n", self.table())?;
        self.charts(&mut out)?;
        if let Some(seed) = self.crew.seed {
            let (killed, respawned) =
                (self.crew.killed + self.line.killed, self.crew.respawned + self.line.respawned);
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
        let mut table = output::table(["", "files", "skipped", "bytes", "lines", "words", "seconds"]);
        let workers = match self.crew.workers {
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        };
        for (who, counts, time) in [
            (format!("{workers}, started and ended"), &self.crew.counts, self.crew.time),
            (
                format!("{} + {} through a queue", self.line.producers, self.line.consumers),
                &self.line.counts,
                self.line.time,
            ),
            ("one process, afterwards".to_owned(), &self.alone.counts, self.alone_time),
        ] {
            let Counts { files, skipped, bytes, lines, words, .. } = counts;
            let numbers = [files, skipped, bytes, lines, words].map(u64::to_string);
            let seconds = format!("{:.3}", time.as_secs_f64());
            table.add_row([who].into_iter().chain(numbers).chain([seconds]));
        }
        table.trim_fmt()
    }

    fn charts(&self, out: &mut impl Write) -> Result<()> {
        let counts = &self.crew.counts;
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
        let crew = |change: fn(&mut Counts), skipped| {
            let mut counts = alone.counts;
            change(&mut counts);
            let (workers, time) = (1, Duration::ZERO);
            Crew { counts, skipped, workers, seed: None, killed: 0, respawned: 0, time }
        };
        let line = |change: fn(&mut Counts)| {
            let mut counts = alone.counts;
            change(&mut counts);
            let (producers, consumers, chunks, time) = (1, 1, 1, Duration::ZERO);
            LineCrew { counts, skipped: vec![], producers, consumers, chunks, killed: 0, respawned: 0, time }
        };
        let agrees = |crew| Report::new(&found, &crew, &line(|_| {}), &alone, Duration::ZERO).agrees();
        let other = line(|counts| counts.words += 1);
        assert!(!Report::new(&found, &crew(|_| {}, vec![]), &other, &alone, Duration::ZERO).agrees());
        assert!(agrees(crew(|_| {}, vec![])));
        assert!(!agrees(crew(|counts| counts.words += 1, vec![])));
        assert!(!agrees(crew(|counts| counts.histogram[7] += 1, vec![])));
        assert!(!agrees(crew(|counts| counts.word_lengths[31] += 1, vec![])));
        assert!(!agrees(crew(|_| {}, vec![0])));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn bytes_are_shown_as_one_can_read_them() {
        assert_eq!([b'\n', b' ', b'~', 0x1b, 0xc3].map(shown), ["newline", "space", "~", "0x1b", "0xc3"]);
    }
}
