//! Which files are tallied.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use serde::{Deserialize, Serialize};

/// A file with a NUL among its first bytes is no text.
const SNIFFED: u64 = 8 * 1024;

/// A file to be tallied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    /// Only so many bytes count: a file that grows meanwhile counts as it was.
    pub(super) limit: u64,
}

/// What the search found.
pub(super) struct Found {
    pub(super) files: Vec<Listed>,
    /// For each file, when it was changed last.
    stamps: Vec<Option<SystemTime>>,
    /// What was left out although somebody might expect it, and why.
    pub(super) notes: Vec<String>,
    known: HashSet<PathBuf>,
}

/// The files named by `paths`: files whatever they hold, and the text files below directories.
pub(super) fn find(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found { files: Vec::new(), stamps: Vec::new(), notes: Vec::new(), known: HashSet::new() };
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here[..] } else { paths };
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| format!("cannot tally '{}'", path.display()))?;
        if metadata.is_dir() {
            found.search(path);
        } else if metadata.is_file() {
            found.add(path, &metadata);
        } else {
            bail!("cannot tally '{}': it is neither a file nor a directory", path.display());
        }
    }
    if found.files.is_empty() {
        let places: Vec<_> = paths.iter().map(|path| format!("'{}'", path.display())).collect();
        bail!(
            "no text files in {}: name files, which count whatever they hold, or other directories",
            places.join(", ")
        );
    }
    Ok(found)
}

impl Found {
    /// Adds the text files below `directory`.
    fn search(&mut self, directory: &Path) {
        let walk = WalkBuilder::new(directory).require_git(false).sort_by_file_path(Path::cmp).build();
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.notes.push(error.to_string());
                    continue;
                }
            };
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => {
                    // What cannot be read is listed all the same: both counts shall skip it.
                    if is_text(entry.path()).unwrap_or(true) {
                        self.add(entry.path(), &metadata);
                    }
                }
                Err(error) => self.notes.push(error.to_string()),
            }
        }
    }

    fn add(&mut self, path: &Path, metadata: &Metadata) {
        if path.to_str().is_none() {
            self.notes.push(format!("{}: its name is no UTF-8", path.display()));
            return;
        }
        // However often it is named.
        if self.known.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) {
            // Files of the kernel have no length but do have contents.
            let limit = if metadata.len() == 0 { u64::MAX } else { metadata.len() };
            self.files.push(Listed { path: path.to_owned(), limit });
            self.stamps.push(metadata.modified().ok());
        }
    }

    /// What happened to the files since they were found.
    pub(super) fn changes(&self) -> Vec<String> {
        let change = |(file, stamp): (&Listed, &Option<SystemTime>)| {
            let path = file.path.display();
            match fs::metadata(&file.path) {
                Err(error) => Some(format!("{path}: {error}")),
                Ok(now) if now.modified().ok() != *stamp => Some(format!("{path}: changed meanwhile")),
                Ok(_) => None,
            }
        };
        self.files.iter().zip(&self.stamps).filter_map(change).collect()
    }
}

fn is_text(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(SNIFFED).read_to_end(&mut beginning)?;
    Ok(!beginning.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_once_and_their_changes_are_told() {
        let directory = std::env::temp_dir().join(format!("procshare-demo-files-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (stays, goes) = (directory.join("stays"), directory.join("goes"));
        fs::write(&stays, "12345").unwrap();
        fs::write(&goes, "1").unwrap();
        let found = find(&[directory.clone(), stays.clone()]).unwrap();
        assert_eq!(found.files.iter().map(|file| file.limit).collect::<Vec<_>>(), [1, 5]);
        assert!(found.changes().is_empty());
        fs::remove_file(&goes).unwrap();
        File::options().append(true).open(&stays).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let changes = found.changes();
        assert!(changes[0].contains("goes") && changes[1].contains("stays: changed"), "{changes:?}");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn nothing_to_count_is_an_error_that_says_what_to_do() {
        let error = |path: &str| find(&[path.into()]).err().unwrap().to_string();
        assert!(error("/dev/null").contains("neither a file nor a directory"));
        assert!(error("/nonexistent").contains("/nonexistent"));
        assert!(error("/proc/self/fdinfo/nothing").contains("cannot tally"));
    }
}
