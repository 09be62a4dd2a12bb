//! `SharedMemory`: raw bytes by name.

use std::fmt;
use std::ops::Deref;

use super::adopted::AdoptedMemory;
use super::raw_bytes::RawBytes;
use crate::error::Result;
use crate::participant::{Attached, Body, Expect, Object, Plan, PlanFault, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::view::Bytes;

/// More bytes than any memory holds, and far from overflowing the length of a file.
const MAX_LEN: usize = isize::MAX as usize >> 8;

/// Raw bytes in shared memory, by name.
///
/// For data whose layout is yours: images, buffers of other libraries, protocols of your own. [`Value`](crate::Value),
/// [`AtomicArray`](crate::AtomicArray) and the others bring types, locks and recovery; this brings bytes, all zero at first,
/// the first of them aligned to 256. They are reached through [`RawBytes`], to which it dereferences.
///
/// # When somebody dies
///
/// A write that is killed in the middle leaves any part of its bytes written. The memory itself lives until it is
/// unlinked, or, if it is [scoped](crate::Lifetime::Scoped), until its last user leaves, however that is.
///
/// # Examples
///
/// ```
/// use procshare::SharedMemory;
///
/// let name = format!("doc-shared-memory-{}", std::process::id());
/// let memory = SharedMemory::create(&name, 4096)?;
/// let same = SharedMemory::open(&name)?; // in any process of the user
/// same.write(100, b"hello")?;
/// let mut five = [0; 5];
/// memory.read(100, &mut five)?;
/// assert_eq!(&five, b"hello");
/// assert!(memory.write(4094, b"hello").is_err());
/// SharedMemory::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    raw: RawBytes,
    attached: Attached,
}

impl SharedMemory {
    /// Maps shared memory that another program made, by the operating system's name of it: Python's
    /// `multiprocessing.shared_memory`, `shm_open` in C, the `shared_memory` crate.
    ///
    /// The name is Python's `SharedMemory.name`, or what was given to `shm_open`, with or without the slash.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::NotASegment`](crate::Error::NotASegment) if it has no bytes (yet);
    /// [`Error::BadName`](crate::Error::BadName); [`Error::PermissionDenied`](crate::Error::PermissionDenied).
    ///
    /// ```
    /// use procshare::{Error, SharedMemory};
    ///
    /// assert!(matches!(SharedMemory::adopt("psm_nobody_made_this"), Err(Error::NotFound { .. })));
    /// ```
    pub fn adopt(os_id: &str) -> Result<AdoptedMemory> {
        AdoptedMemory::open(os_id)
    }

    /// Writes the pages back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io).
    pub fn flush(&self) -> Result<()> {
        self.attached.segment.flush()
    }
}

impl Deref for SharedMemory {
    type Target = RawBytes;

    fn deref(&self) -> &RawBytes {
        &self.raw
    }
}

constructors! {
    impl[] SharedMemory,
    noun: "memory",
    made: " of `size` zero bytes, exactly",
    errors: "[`BadSize`](crate::Error::BadSize) for no bytes or more than any memory holds",
    (size: usize) => size
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("object", &self.attached.object())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Object for SharedMemory {
    type Init = usize;

    fn plan(size: &usize) -> Result<Plan, PlanFault> {
        if (1..=MAX_LEN).contains(size) {
            Ok(Plan::whole(*size))
        } else {
            Err(PlanFault { what: "bytes", found: *size as u64, expected: format!("use 1 to {MAX_LEN}") })
        }
    }

    fn expect() -> Expect {
        Expect { kind: Kind::SharedMemory, type_info: TypeInfo::NONE }
    }

    fn initialise(_: &Body<'_>, _: usize) -> Result<()> {
        // A new body is all zero.
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        let len = attached.segment.body().1;
        if len == 0 {
            return Err(crate::Error::NotASegment {
                object: attached.object(),
                what: "body length",
                expected: "at least 1 byte".into(),
                found: "none".into(),
            });
        }
        let bytes = Bytes::new(&attached.segment, 0, len, 1)?;
        Ok(SharedMemory { raw: RawBytes::new(bytes, attached.object()), attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
