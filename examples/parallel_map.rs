//! Counts the lines of the Rust files below a directory, file by file, in a pool of processes.

use std::path::{Path, PathBuf};

use procshare::process::{Failure, Pool};

#[procshare::task]
fn count_lines(file: PathBuf) -> Result<u64, Failure> {
    Ok(std::fs::read_to_string(file)?.lines().count() as u64)
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
    let pool = Pool::builder().workers(2).build()?;
    let mut lines = 0;
    for counted in pool.map::<count_lines>(files.iter().cloned())? {
        lines += counted?; // an unreadable file is its own task's error
    }
    // The task is still a function.
    let alone: u64 = files.iter().cloned().map(count_lines).sum::<Result<u64, Failure>>()?;
    assert_eq!(lines, alone);
    println!("{} files have {lines} lines", files.len());
    Ok(())
}
