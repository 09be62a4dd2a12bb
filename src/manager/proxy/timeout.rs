//! How long a call may wait, as it goes to the server.

use std::time::Duration;

/// Milliseconds, rounded up, or nothing for ever.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    Never,
    Now,
    For(Duration),
}

impl Wait {
    pub(super) fn milliseconds(self) -> Option<u64> {
        match self {
            Wait::Never => None,
            Wait::Now => Some(0),
            Wait::For(timeout) => {
                let ms = timeout.as_nanos().div_ceil(1_000_000);
                u64::try_from(ms).ok()
            }
        }
    }
}
