//! Counts the lines of the Rust files below a directory, each half in a process of its own.

use std::path::{Path, PathBuf};

use procshare::process::{Failure, Process};

#[procshare::task]
fn count_lines(files: Vec<PathBuf>) -> Result<u64, Failure> {
    files.iter().try_fold(0, |sum, file| Ok(sum + std::fs::read_to_string(file)?.lines().count() as u64))
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "src".into());
    let mut files = Vec::new();
    rust_files(Path::new(&directory), &mut files)?;
    let (left, right) = files.split_at(files.len() / 2);
    let halves = [Process::start::<count_lines>((left,))?, Process::start::<count_lines>((right,))?];
    let mut lines = 0;
    for half in halves {
        lines += half.join()??;
    }
    assert_eq!(lines, count_lines(files.clone())?);
    println!("{} files have {lines} lines", files.len());
    Ok(())
}
