//! Numbers of threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

thread_local! {
    static TOKEN: Cell<u32> = const { Cell::new(0) };
}

/// Tokens end below the values that lock words give another meaning to.
const LAST_TOKEN: u32 = 0x7fff_fff0;

/// A number of the calling thread: not 0, below 2^31 - 15, never given twice within one process.
#[inline]
pub(crate) fn thread_token() -> u32 {
    let token = TOKEN.get();
    if token != 0 { token } else { new_token() }
}

#[cold]
fn new_token() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Relaxed: only uniqueness is needed, nothing is published through the counter.
    let token = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(token < LAST_TOKEN, "this process has started more than 2^31 threads that took a lock");
    TOKEN.set(token);
    token
}
