//! An unrelated program gets an object by its handle, as text in the environment: any program can pass it on, in any language.

use std::process::Command;

use procshare::{AtomicValue, Handle};

/// What the programs agree on: the name of the variable, and what it holds.
const VARIABLE: &str = "COUNTER_HANDLE";

/// The other program: started by whatever means, with the handle.
fn other_program(handle: &str) -> Result<(), Box<dyn std::error::Error>> {
    let handle: Handle<AtomicValue<u64>> = serde_json::from_str(handle)?;
    let counter = handle.attach()?; // Error::Gone if it was removed, Error::Replaced if another one has its name
    counter.fetch_add(42)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Ok(handle) = std::env::var(VARIABLE) {
        return other_program(&handle);
    }
    let counter = AtomicValue::anonymous(0u64)?;
    // Making the handle keeps the object for the receiver until this process ends.
    let handle = serde_json::to_string(&counter)?;
    // A shell in between does not matter.
    let program = std::env::current_exe()?;
    let status =
        Command::new("sh").args(["-c", "exec \"$0\""]).arg(program).env(VARIABLE, handle).status()?;
    assert!(status.success() && counter.load() == 42);
    println!("the other program has counted to {}", counter.load());
    Ok(())
}
