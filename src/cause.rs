//! What can happen to an owner.

/// Why what a lock protects may be inconsistent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The owner's process ended while it held the lock.
    Died,
    /// The owner's thread panicked while it held the lock.
    Panicked,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Cause::Died => "died",
            Cause::Panicked => "panicked",
        })
    }
}
