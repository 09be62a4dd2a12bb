//! Why a call failed, as it goes over the wire.

use std::fmt;

use crate::manager::wire::order::BadKey;
use crate::manager::wire::read::Malformed;

/// A reason that programs can match and a message that people can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Fault {
            $($(#[$doc])* pub(crate) const $name: &'static str = $text;)*
        }
    };
}

kinds! {
    NOT_FOUND = "not-found";
    EXISTS = "exists";
    WRONG_KIND = "wrong-kind";
    /// The object was removed.
    GONE = "gone";
    /// A method that the object does not have, or arguments that it does not take.
    BAD_CALL = "bad-call";
    BAD_KEY = "bad-key";
    OUT_OF_RANGE = "out-of-range";
    NOT_HELD = "not-held";
    DEADLOCK = "deadlock";
    /// A barrier that does not work until it is reset; the message is the reason.
    BROKEN = "broken";
    CLOSED = "closed";
    WOULD_BLOCK = "would-block";
    TIMED_OUT = "timed-out";
    CANCELLED = "cancelled";
    /// A transaction whose versions are not what they were.
    CONFLICT = "conflict";
    LIMIT = "limit";
    /// A number that does not fit, or no number.
    ARITHMETIC = "arithmetic";
    /// A registered type's own error.
    OWN = "own";
    PANICKED = "panicked";
    /// No frame of this protocol.
    PROTOCOL = "protocol";
    REFUSED = "refused";
    SHUTDOWN = "shutdown";
}

impl Fault {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into() }
    }

    pub(crate) fn bad_call(message: impl Into<String>) -> Self {
        Fault::new(Fault::BAD_CALL, message)
    }

    pub(crate) fn timed_out() -> Self {
        Fault::new(Fault::TIMED_OUT, "the timeout passed")
    }

    pub(crate) fn would_block() -> Self {
        Fault::new(Fault::WOULD_BLOCK, "it would have to wait")
    }

    pub(crate) fn gone(object: u64) -> Self {
        Fault::new(Fault::GONE, format!("object {object} has been removed"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::bad_call(format!("an argument is malformed: {malformed}"))
    }
}

impl From<BadKey> for Fault {
    fn from(bad: BadKey) -> Self {
        Fault::new(Fault::BAD_KEY, bad.to_string())
    }
}
