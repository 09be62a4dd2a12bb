//! `Value<T>`: one typed value, whole at every instant.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use super::describe;
use super::slots::{self, Layout, Look, ValueHead, Version};
use super::value_guard::{ValueGuard, ValueInPlaceGuard};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::participant::{
    Attached, Body, Expect, Fact, Fate, Host, Object, ParticipantId, Plan, PlanFault, RawFacts, constructors,
};
use crate::shm::checked::{any_bits, checked_mut};
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::{Bytes, Shared};
use crate::shm::{Kind, Plain};
use crate::sync::{Entry, LockError, Owner, OwnerDied, Parts};
use crate::time::Deadline;

/// How often a reader looks without the lock before it takes its turn.
const LOOKS: u32 = 32;

/// How long a reader that may not write sleeps between two looks at a value that is edited in place.
const READER_SLICE_NS: u64 = 1_000_000;

/// One value of plain data, shared between processes and whole at every instant.
///
/// [`get`](Self::get), [`set`](Self::set) and [`update`](Self::update) are crash-atomic: whoever reads gets a whole old or a
/// whole new value, even if the writer is killed in the middle. Reading takes no lock. For integers, floats and bools that are
/// only ever counted or swapped, [`AtomicValue`](crate::AtomicValue) is faster still.
///
/// # When somebody dies
///
/// A writer that dies inside `set`, `update` or while it holds a [`ValueGuard`] leaves the old value; its lock
/// is taken over without a word, for there is nothing to repair. The same holds for a panic there. Only
/// [`lock_in_place`](Self::lock_in_place) edits the value itself: if its holder dies or panics, every reader and locker
/// gets `OwnerDied` until somebody calls `make_consistent` on a guard, or `set`s a whole new value.
///
/// # Examples
///
/// ```
/// use bytemuck::{CheckedBitPattern, NoUninit};
/// use procshare::{Plain, Value};
///
/// #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
/// #[repr(C)]
/// struct Point {
///     x: f64,
///     y: f64,
/// }
///
/// let name = format!("doc-value-{}", std::process::id());
/// let point = Value::create(&name, Point { x: 1.0, y: 2.0 })?;
/// let same = Value::<Point>::open(&name)?; // in any process of the user
/// same.update(|point| point.x += 1.0)?;
/// assert_eq!(point.get()?.x, 2.0);
/// Value::<Point>::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
pub struct Value<T: Plain> {
    head: Shared<ValueHead>,
    slots: Bytes,
    attached: Attached,
    plain: PhantomData<fn() -> T>,
}

impl<T: Plain> Value<T> {
    /// The value. Waits only while somebody alive edits it in place.
    ///
    /// # Errors
    ///
    /// [`Error::OwnerDied`] if an editor in place died or panicked; [`Error::InvalidBits`] if a foreign program wrote bytes
    /// that are no `T`.
    #[inline]
    pub fn get(&self) -> Result<T> {
        let mut place = MaybeUninit::uninit();
        match self.head.look::<T>(&self.slots, &mut place) {
            Look::Whole(bits) => self.checked(bits).copied(),
            _ => self.get_slow(Deadline::Never),
        }
    }

    /// Copies the value to `to`, as [`get`](Self::get), but once only: a `T` of some kilobytes that is returned moves again.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); then `to` may hold parts of several values.
    ///
    /// ```
    /// let shared = procshare::Value::<[u64; 256]>::anonymous([7; 256])?;
    /// let mut mine = [0; 256];
    /// shared.get_into(&mut mine)?;
    /// assert_eq!(mine, [7; 256]);
    /// # Ok::<(), procshare::Error>(())
    /// ```
    #[inline]
    pub fn get_into(&self, to: &mut T) -> Result<()> {
        if let Some(bits) = any_bits(to) {
            // SAFETY: (S9) `look` writes initialised bytes only, so the place holds a `T::Bits` whatever comes.
            let place = unsafe { &mut *std::ptr::from_mut(bits).cast::<MaybeUninit<T::Bits>>() };
            if let Look::Whole(_) = self.head.look::<T>(&self.slots, place) {
                return Ok(());
            }
        }
        *to = self.get()?;
        Ok(())
    }

    /// The value, unless somebody alive edits it in place.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`get`](Self::get).
    pub fn try_get(&self) -> Result<T> {
        self.get_slow(Deadline::Now)
    }

    /// The value; waits at most `timeout` for an editor in place.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T> {
        self.get_slow(Deadline::after(timeout)).map_err(timed_out)
    }

    /// Replaces the value, in one step. Waits while somebody alive holds a guard. Heals a value that an editor in place left.
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`] if the calling thread holds a guard of it; [`Error::ReadOnly`].
    #[inline]
    pub fn set(&self, value: T) -> Result<()> {
        self.set_until(Deadline::Never, &value)
    }

    /// Replaces the value unless somebody alive holds a guard.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`set`](Self::set).
    pub fn try_set(&self, value: T) -> Result<()> {
        self.set_until(Deadline::Now, &value)
    }

    /// Replaces the value, waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`set`](Self::set).
    pub fn set_timeout(&self, value: T, timeout: Duration) -> Result<()> {
        self.set_until(Deadline::after(timeout), &value).map_err(timed_out)
    }

    /// Replaces the value and returns the old one, in one step.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn replace(&self, value: T) -> Result<T> {
        self.update(|old| std::mem::replace(old, value))
    }

    /// Lets `change` edit a copy and commits it, in one step. A panic in `change` commits nothing.
    ///
    /// # Errors
    ///
    /// [`Error::OwnerDied`] if an editor in place died or panicked (nothing is changed); [`Error::Deadlock`] if the calling
    /// thread holds a guard of it; [`Error::InvalidBits`]; [`Error::ReadOnly`]; [`Error::Inherited`] to a child that was forked
    /// within `change`, which commits nothing.
    #[inline]
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        self.update_until(Deadline::Never, change)
    }

    /// As [`update`](Self::update), unless somebody alive holds a guard.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`update`](Self::update).
    pub fn try_update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        self.update_until(Deadline::Now, change)
    }

    /// As [`update`](Self::update), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`update`](Self::update).
    pub fn update_timeout<R>(&self, timeout: Duration, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        self.update_until(Deadline::after(timeout), change).map_err(timed_out)
    }

    /// Stores `new` if the value equals `current`; returns the value found, as `Ok` if it was replaced.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update), outside; the inner `Err` holds the value that differed.
    pub fn compare_exchange(&self, current: &T, new: T) -> Result<Result<T, T>>
    where
        T: PartialEq,
    {
        self.update(|value| if value == current { Ok(std::mem::replace(value, new)) } else { Err(*value) })
    }

    /// Locks the value and lends a copy to edit; dropping the guard commits the copy in one step.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard inside if an editor in place died or panicked; [`LockError::Deadlock`];
    /// [`LockError::Failed`] for a read-only handle or invalid bytes (then [`set`](Self::set) repairs).
    pub fn lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::Never)
    }

    /// As [`lock`](Self::lock), unless somebody alive holds a guard.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::Now)
    }

    /// As [`lock`](Self::lock), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        self.lock_until(Deadline::after(timeout)).map_err(|error| timed_out(error.into()).into())
    }

    /// Locks the value and lends the value itself to edit: nothing is copied, and nothing is committed in one step. For
    /// large values.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_in_place(&self) -> Result<ValueInPlaceGuard<'_, T>, LockError<ValueInPlaceGuard<'_, T>>> {
        self.lock_in_place_until(Deadline::Never)
    }

    /// As [`lock_in_place`](Self::lock_in_place), unless somebody alive holds a guard.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and as [`lock`](Self::lock).
    pub fn try_lock_in_place(&self) -> Result<ValueInPlaceGuard<'_, T>, LockError<ValueInPlaceGuard<'_, T>>> {
        self.lock_in_place_until(Deadline::Now)
    }

    /// As [`lock_in_place`](Self::lock_in_place), waiting at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and as [`lock`](Self::lock).
    pub fn lock_in_place_timeout(
        &self,
        timeout: Duration,
    ) -> Result<ValueInPlaceGuard<'_, T>, LockError<ValueInPlaceGuard<'_, T>>> {
        self.lock_in_place_until(Deadline::after(timeout)).map_err(|error| timed_out(error.into()).into())
    }

    /// The participant that holds a guard now, as a hint.
    pub fn holder(&self) -> Option<ParticipantId> {
        ParticipantId::from_bits(self.head.lock.snapshot().holder)
    }

    /// Writes the value's pages back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&self) -> Result<()> {
        self.attached.segment.flush()
    }
}

/// The `_timeout` forms say so even when the timeout was zero.
pub(super) fn timed_out(error: Error) -> Error {
    match error {
        Error::WouldBlock => Error::TimedOut,
        other => other,
    }
}

impl<T: Plain> Value<T> {
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { word: &self.head.lock, attached: &self.attached }
    }

    pub(super) fn head(&self) -> &ValueHead {
        &self.head
    }

    pub(super) fn slots(&self) -> &Bytes {
        &self.slots
    }

    /// The committed value, copied to `place`; the caller holds the lock.
    #[inline]
    fn read<'b>(&self, version: Version, place: &'b mut MaybeUninit<T::Bits>) -> Result<&'b mut T> {
        self.checked(slots::copy_bits::<T>(&self.slots, version.slot(), place))
    }

    #[inline]
    fn checked<'b>(&self, bits: &'b mut T::Bits) -> Result<&'b mut T> {
        checked_mut(bits).map_err(|_| self.invalid())
    }

    /// Commits `new` over the version `seen`; the caller holds the lock.
    #[inline]
    pub(super) fn commit(&self, seen: Version, new: &T, heals: bool) {
        self.head.begin();
        slots::write(&self.slots, seen.spare(), new);
        self.head.commit(seen, heals);
        if heals {
            self.head.lock.make_consistent();
        }
    }

    #[cold]
    pub(super) fn invalid(&self) -> Error {
        Error::InvalidBits { object: self.attached.object(), type_name: T::NAME, at: "the value".into() }
    }

    /// Takes the lock; tells why the value may be torn, if it may.
    #[inline]
    fn own(&self, deadline: Deadline, action: &'static str) -> Result<(Owner, Option<Cause>)> {
        match self.parts().own(deadline, action)? {
            (owner, Entry::Clean) => Ok((owner, None)),
            (owner, Entry::Inconsistent(cause)) => Ok((owner, self.still_torn(cause))),
        }
    }

    /// Only an editor in place can leave a torn value; after any other death the lock word is all there is to repair.
    #[cold]
    fn still_torn(&self, cause: Cause) -> Option<Cause> {
        if self.head.version().in_place() {
            return Some(cause);
        }
        self.head.lock.make_consistent();
        None
    }

    #[cold]
    fn get_slow(&self, deadline: Deadline) -> Result<T> {
        let mut place = MaybeUninit::uninit();
        for _ in 0..LOOKS {
            match self.head.look::<T>(&self.slots, &mut place) {
                Look::Whole(bits) => return self.checked(bits).copied(),
                Look::Disturbed => crate::atomic::pause(),
                Look::InPlace => break,
            }
        }
        if !self.attached.member.may_write() {
            return self.get_read_only(deadline);
        }
        let (owner, torn) = self.own(deadline, "read it")?;
        let value = match torn {
            None => self.read(self.head.version(), &mut place).copied(),
            Some(cause) => Err(Error::OwnerDied { cause }),
        };
        self.parts().disown(owner);
        value
    }

    /// The value for a handle that may not write a byte, not even to wait.
    fn get_read_only(&self, deadline: Deadline) -> Result<T> {
        let mut place = MaybeUninit::uninit();
        loop {
            let now = self.head.lock.snapshot();
            match self.head.look::<T>(&self.slots, &mut place) {
                Look::Whole(bits) => return self.checked(bits).copied(),
                Look::Disturbed => crate::atomic::yield_now(),
                Look::InPlace => {
                    let host = self.attached.member.host();
                    if let (0, Some(cause)) = (now.holder, now.inconsistent) {
                        return Err(Error::OwnerDied { cause });
                    }
                    if now.holder != 0 && host.fate(now.holder) == Fate::Gone {
                        return Err(Error::OwnerDied { cause: Cause::Died });
                    }
                    if now.holder != 0 && deadline != Deadline::Now {
                        host.wait(&self.head.lock.futex(), now.bits, deadline, READER_SLICE_NS);
                    }
                }
            }
            if deadline.is_over() {
                return Err(if deadline == Deadline::Now { Error::WouldBlock } else { Error::TimedOut });
            }
        }
    }

    /// Commits a whole new value, whatever the old one is.
    #[inline]
    fn set_until(&self, deadline: Deadline, new: &T) -> Result<()> {
        let (owner, torn) = self.own(deadline, "change it")?;
        let _held = Held { parts: self.parts(), owner };
        self.commit(self.head.version(), new, torn.is_some());
        Ok(())
    }

    /// Lets `change` edit a private copy and commits it.
    #[inline]
    fn update_until<R>(&self, deadline: Deadline, change: impl FnOnce(&mut T) -> R) -> Result<R> {
        let (owner, torn) = self.own(deadline, "change it")?;
        // Whatever happens from here on, a panic in `change` included, the lock is given back.
        let held = Held { parts: self.parts(), owner };
        if let Some(cause) = torn {
            return Err(Error::OwnerDied { cause });
        }
        let version = self.head.version();
        let mut place = MaybeUninit::uninit();
        let value = self.read(version, &mut place)?;
        let result = change(value);
        held.require_mine()?;
        self.commit(version, value, false);
        Ok(result)
    }

    fn lock_until(&self, deadline: Deadline) -> Result<ValueGuard<'_, T>, LockError<ValueGuard<'_, T>>> {
        let (owner, torn) = self.own(deadline, "lock it")?;
        let held = Held { parts: self.parts(), owner };
        let version = self.head.version();
        let value = *self.read(version, &mut MaybeUninit::uninit())?;
        finish(ValueGuard::new(self, held, version, value), torn)
    }

    fn lock_in_place_until(
        &self,
        deadline: Deadline,
    ) -> Result<ValueInPlaceGuard<'_, T>, LockError<ValueInPlaceGuard<'_, T>>> {
        let (owner, torn) = self.own(deadline, "lock it")?;
        let held = Held { parts: self.parts(), owner };
        let version = self.head.version();
        finish(ValueInPlaceGuard::new(self, held, version)?, torn)
    }
}

/// Wraps the guard of a value that may be torn.
fn finish<G>(guard: G, torn: Option<Cause>) -> Result<G, LockError<G>> {
    match torn {
        None => Ok(guard),
        Some(cause) => Err(LockError::OwnerDied(OwnerDied::new(guard, cause))),
    }
}

/// The value's lock, given back when dropped.
pub(super) struct Held<'a> {
    pub(super) parts: Parts<'a>,
    pub(super) owner: Owner,
}

impl Held<'_> {
    /// Whether the holding is this process's: a forked child has copies of its parent's guards.
    pub(super) fn is_mine(&self) -> bool {
        self.parts.attached.member.me() == self.owner.id()
    }

    /// Refuses a child that was forked while the lock was held, and would write without it.
    #[inline]
    pub(super) fn require_mine(&self) -> Result<()> {
        if self.is_mine() { Ok(()) } else { Err(self.inherited()) }
    }

    #[cold]
    fn inherited(&self) -> Error {
        Error::Inherited { object: self.parts.attached.object(), what: "turn" }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.parts.disown(self.owner);
    }
}

constructors! {
    impl[T: Plain] Value<T>,
    noun: "value",
    made: " with its first content",
    (initial: T) => initial
}

impl<T: Plain> Clone for Value<T> {
    fn clone(&self) -> Self {
        Value {
            head: self.head.clone(),
            slots: self.slots.clone(),
            attached: self.attached.clone(),
            plain: PhantomData,
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Value");
        shown.field("object", &self.attached.object());
        match self.try_get() {
            Ok(value) => shown.field("value", &value),
            Err(error) => shown.field("value", &format_args!("<{error}>")),
        };
        shown.finish_non_exhaustive()
    }
}

/// The state of the value in `segment`, for whoever inspects it.
pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    let head = Shared::<ValueHead>::new(segment, 0)?;
    let version = head.version();
    let mut facts = head.lock.facts();
    facts.push(("commits", Fact::Number(version.commits())));
    facts.push(("edited_in_place", Fact::Flag(version.in_place())));
    // Only primitives are shown, and all of them lie where a `u64` would.
    let at = Layout::slots_at::<u64>() + version.slot() * Layout::stride::<u64>();
    facts.extend(describe::one(segment, at)?.map(|value| ("value", value)));
    Ok(facts)
}

impl<T: Plain> Object for Value<T> {
    type Init = T;

    fn plan(_: &T) -> Result<Plan, PlanFault> {
        if align_of::<T>() > Layout::MAX_ALIGN {
            return Err(PlanFault {
                what: "bytes of alignment",
                found: align_of::<T>() as u64,
                expected: format!("at most {}", Layout::MAX_ALIGN),
            });
        }
        Ok(Plan::whole(Layout::body::<T>()))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Value, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, initial: T) -> Result<()> {
        slots::write(&slots_of::<T>(body.segment)?, 0, &initial);
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(Value {
            head: Shared::new(&attached.segment, 0)?,
            slots: slots_of::<T>(&attached.segment)?,
            attached,
            plain: PhantomData,
        })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}

fn slots_of<T: Plain>(segment: &std::sync::Arc<crate::shm::segment::Segment>) -> Result<Bytes> {
    Bytes::new(segment, Layout::slots_at::<T>(), 2 * Layout::stride::<T>(), Layout::align::<T>())
}
