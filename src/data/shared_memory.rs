//! `SharedMemory`: raw bytes by name.

use std::fmt;
use std::ops::Deref;

use super::adopted::AdoptedMemory;
use super::raw_bytes::RawBytes;
use crate::error::Result;
use crate::participant::{Attached, Body, Builder, Expect, Handle, Object, Plan, PlanFault, sealed};
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
    /// Options: space, lifetime, permissions, read-only.
    pub fn builder() -> Builder<SharedMemory> {
        Builder::new()
    }

    /// Makes the memory `name` of `size` zero bytes, exactly.
    ///
    /// # Errors
    ///
    /// [`Error::BadSize`](crate::Error::BadSize) for no bytes or more than any memory holds;
    /// [`Error::NoSpace`](crate::Error::NoSpace), before anything is allocated; see [`Builder::create_with`].
    pub fn create(name: &str, size: usize) -> Result<Self> {
        Self::builder().create(name, size)
    }

    /// Opens the memory `name`, with as many bytes as it was made with.
    ///
    /// # Errors
    ///
    /// See [`Builder::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::builder().open(name)
    }

    /// Opens the memory `name`, or makes it; an existing one keeps its size and its bytes.
    ///
    /// # Errors
    ///
    /// See [`Builder::open_or_create_with`].
    pub fn open_or_create(name: &str, size: usize) -> Result<Self> {
        Self::builder().open_or_create(name, size)
    }

    /// Makes memory without a name, for threads, forked children, and whoever receives its handle.
    ///
    /// # Errors
    ///
    /// See [`Builder::anonymous_with`].
    pub fn anonymous(size: usize) -> Result<Self> {
        Self::builder().anonymous(size)
    }

    /// Removes the name; whoever is attached keeps using the memory.
    ///
    /// # Errors
    ///
    /// See [`Builder::unlink`].
    pub fn unlink(name: &str) -> Result<()> {
        Self::builder().unlink(name)
    }

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

    /// The memory's address as data, for another process.
    pub fn handle(&self) -> Handle<SharedMemory> {
        Handle::of(self)
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

impl Builder<SharedMemory> {
    /// Makes the memory `name` of `size` zero bytes; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, size: usize) -> Result<SharedMemory> {
        self.create_with(name, size)
    }

    /// Opens the memory `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(self, name: &str, size: usize) -> Result<SharedMemory> {
        self.open_or_create_with(name, size)
    }

    /// Makes memory without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, size: usize) -> Result<SharedMemory> {
        self.anonymous_with(size)
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("object", &self.attached.object())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl sealed::Sealed for SharedMemory {}

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

impl serde::Serialize for SharedMemory {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle().serialize(serializer)
    }
}
