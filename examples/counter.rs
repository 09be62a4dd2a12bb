//! Four processes count together, without a lock: the parent sends each child a handle of the counter.
//!
//! `cargo run --example counter`

use std::process::Command;

use procshare::{AtomicValue, Handle};

const PROCESSES: u64 = 4;
const EACH: u64 = 250_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A child finds the handle in its argument and attaches.
    if let Some(handle) = std::env::args().nth(1) {
        let handle: Handle<AtomicValue<u64>> = serde_json::from_str(&handle)?;
        let counter = handle.attach()?;
        for _ in 0..EACH {
            counter.fetch_add(1)?;
        }
        return Ok(());
    }

    let counter = AtomicValue::anonymous(0u64)?;
    let handle = serde_json::to_string(&counter)?;
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| Command::new(std::env::current_exe()?).arg(&handle).spawn())
        .collect::<Result<_, _>>()?;
    for mut child in children {
        assert!(child.wait()?.success());
    }
    println!("{PROCESSES} processes counted to {}", counter.load());
    assert_eq!(counter.load(), PROCESSES * EACH);
    Ok(())
}
