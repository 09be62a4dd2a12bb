//! Two programs that know nothing of each other but a name.
//!
//! Run `cargo run --example meet_by_name NAME` twice: whoever comes first makes the objects; everybody finds the entry of the
//! guest before, and leaves its own. They stay when all programs have ended: `cargo run --example meet_by_name NAME leave`
//! removes them.

use bytemuck::{CheckedBitPattern, NoUninit};
use procshare::{AtomicValue, Plain, Value};

/// Both programs declare the same type under the same name; another layout would be refused.
#[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
#[plain(name = "guest-book-entry")]
#[repr(C)]
struct Entry {
    pid: u32,
    visits: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "guest-book".into());
    let (last, count) = (format!("{name}-last"), format!("{name}-count"));
    if arguments.next().as_deref() == Some("leave") {
        Value::<Entry>::unlink(&last)?;
        AtomicValue::<u32>::unlink(&count)?;
        return Ok(());
    }

    let visits = AtomicValue::<u32>::open_or_create(&count, 0)?.fetch_add(1)? + 1;
    let guest = Entry { pid: std::process::id(), visits };
    let book = Value::open_or_create(&last, guest)?;
    let before = book.replace(guest)?;
    if before.pid == guest.pid {
        println!("visit {visits}: I am the first, process {}", guest.pid);
    } else {
        println!("visit {visits}: before me came process {} on visit {}", before.pid, before.visits);
    }
    Ok(())
}
