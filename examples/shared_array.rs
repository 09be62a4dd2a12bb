//! Two processes fill the halves of one array at the same time.
//!
//! `cargo run --example shared_array`

use std::process::Command;

use procshare::{Array, Handle};

const LEN: usize = 100_000;

fn fill(array: &Array<f64>, range: std::ops::Range<usize>) -> procshare::Result<()> {
    // Holding one half keeps nobody from the other.
    let mut half = array.lock(range.clone())?;
    for (index, element) in range.zip(half.iter_mut()) {
        *element = (index as f64).sqrt();
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(handle) = std::env::args().nth(1) {
        let handle: Handle<Array<f64>> = serde_json::from_str(&handle)?;
        fill(&handle.attach()?, LEN / 2..LEN)?;
        return Ok(());
    }

    let array = Array::anonymous(LEN, 0.0)?;
    let mut child = Command::new(std::env::current_exe()?).arg(serde_json::to_string(&array)?).spawn()?;
    fill(&array, 0..LEN / 2)?;
    assert!(child.wait()?.success());

    // One slice over shared memory: nothing is copied.
    let all = array.lock(..)?;
    let right = all.iter().enumerate().all(|(index, &element)| element == (index as f64).sqrt());
    println!("{LEN} elements, written by two processes, last one {}", all[LEN - 1]);
    assert!(right);
    Ok(())
}
