//! What a segment can be.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The kind of an object, as its header says.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind this build knows.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The number in the header.
            pub(crate) const fn code(self) -> u32 {
                match self { $(Kind::$name => $code,)* }
            }

            /// The kind with this number.
            pub(crate) fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Kind::$name),)* _ => None }
            }

            /// The kind's name as `ls` prints it.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A space's list of participants.
    Registry = 100, "Registry";
    /// [`Lock`](crate::Lock).
    Lock = 1, "Lock";
    /// [`LockArray`](crate::LockArray).
    LockArray = 2, "LockArray";
    /// [`Value`](crate::Value).
    Value = 3, "Value";
    /// [`AtomicValue`](crate::AtomicValue).
    AtomicValue = 4, "AtomicValue";
    /// [`Array`](crate::Array).
    Array = 5, "Array";
    /// [`AtomicArray`](crate::AtomicArray).
    AtomicArray = 6, "AtomicArray";
    /// [`SharedMemory`](crate::SharedMemory).
    SharedMemory = 7, "SharedMemory";
    /// [`Queue`](crate::Queue).
    Queue = 20, "Queue";
    /// [`BytesQueue`](crate::BytesQueue).
    BytesQueue = 21, "BytesQueue";
    /// [`CodecQueue`](crate::CodecQueue).
    CodecQueue = 22, "CodecQueue";
    /// [`SpscQueue`](crate::SpscQueue).
    SpscQueue = 23, "SpscQueue";
    /// [`ShareableList`](crate::ShareableList).
    ShareableList = 8, "ShareableList";
    /// [`RLock`](crate::RLock).
    RLock = 9, "RLock";
    /// [`RwLock`](crate::RwLock).
    RwLock = 10, "RwLock";
    /// [`Semaphore`](crate::Semaphore).
    Semaphore = 11, "Semaphore";
    /// [`BoundedSemaphore`](crate::BoundedSemaphore).
    BoundedSemaphore = 12, "BoundedSemaphore";
    /// [`Event`](crate::Event).
    Event = 13, "Event";
    /// [`Condition`](crate::Condition).
    Condition = 14, "Condition";
    /// [`Barrier`](crate::Barrier).
    Barrier = 15, "Barrier";
    /// [`Latch`](crate::Latch).
    Latch = 16, "Latch";
    /// [`Once`](crate::Once).
    Once = 17, "Once";
    /// `PosixLock` (feature `posix-lock`).
    PosixLock = 18, "PosixLock";
    /// [`Broadcast`](crate::Broadcast).
    Broadcast = 24, "Broadcast";
    /// [`JoinableQueue`](crate::JoinableQueue).
    JoinableQueue = 25, "JoinableQueue";
    /// [`Pipe`](crate::Pipe).
    Pipe = 26, "Pipe";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
