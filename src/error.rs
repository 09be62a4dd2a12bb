//! The crate's error: what went wrong, with which object, what was expected and found, and the way out.

use std::io;
use std::path::PathBuf;

use crate::cause::{Breakage, Cause};
use crate::shm::Kind;

/// Why an object could not be made, opened, attached or used.
///
/// Outcomes that belong to one verb (a lock that is taken, a deadline that passed, an owner that died) have types of their
/// own beside that verb, such as [`LockError`](crate::LockError); they wrap this one for everything else.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot name an object.
    #[error(
        "'{name}' cannot name an object: {reason}; use 1 to 200 of the characters A-Z a-z 0-9 . _ - and no leading dot, optionally as 'space/name'"
    )]
    BadName {
        /// The name as given.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// No object, or no space, of that name.
    #[error(
        "'{object}' does not exist: create it first, use open_or_create, or look for its name with `procshare ls`"
    )]
    NotFound {
        /// Space and name.
        object: String,
    },
    /// The name is taken.
    #[error("'{object}' exists already: open it, use open_or_create, or unlink it first")]
    AlreadyExists {
        /// Space and name.
        object: String,
    },
    /// The handle's object was removed, because its last user left or somebody unlinked it.
    #[error("'{object}' is gone: the object this handle was made from has been removed")]
    Gone {
        /// Space and name.
        object: String,
    },
    /// Another object has the name of the one the handle was made from.
    #[error(
        "'{object}' was replaced: another object has taken the name of the one this handle was made from"
    )]
    Replaced {
        /// Space and name.
        object: String,
    },
    /// A file in a space that is not one of ours, or not a whole one.
    #[error(
        "'{object}' is not a usable segment: {what}: expected {expected}, found {found}; another release may have made it; else remove the file, if nothing needs it"
    )]
    NotASegment {
        /// Space and name.
        object: String,
        /// Which check failed.
        what: &'static str,
        /// What the check demands.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A segment made by a build with another layout.
    #[error(
        "'{object}' has layout version {found}, this build reads version {expected}: run the same release on both sides"
    )]
    WrongVersion {
        /// Space and name.
        object: String,
        /// This build's layout version.
        expected: u32,
        /// The segment's layout version.
        found: u32,
    },
    /// A segment or space made by a build that uses another backend.
    #[error(
        "'{object}' was made with backend {found}, this build uses backend {expected}: build both sides with the same features"
    )]
    WrongBackend {
        /// Space, or space and name.
        object: String,
        /// This build's backend.
        expected: &'static str,
        /// The other side's backend.
        found: String,
    },
    /// An object in use by processes of a registry that was deleted: whether they live cannot be known.
    #[error(
        "'{object}' is in use by {strangers} process(es) that joined a registry of the space which was deleted since: end them, then open it again (or open it read-only)"
    )]
    RegistryReplaced {
        /// Space and name.
        object: String,
        /// How many processes.
        strangers: usize,
    },
    /// An object of another kind.
    #[error("'{object}' is of kind {found}, not {expected}: open it as what it is, or use another name")]
    WrongKind {
        /// Space and name.
        object: String,
        /// The kind asked for.
        expected: Kind,
        /// The kind found.
        found: Kind,
    },
    /// An object of the right kind that holds another type.
    #[error(
        "'{object}' holds {found}, not {expected}: both sides must declare the same type name, size, alignment and fields"
    )]
    WrongType {
        /// Space and name.
        object: String,
        /// The type asked for, with its fingerprint.
        expected: String,
        /// The type found, with its fingerprint.
        found: String,
    },
    /// Bytes that the type does not allow: a foreign or broken program wrote them.
    #[error(
        "'{object}' holds bytes that are no valid {type_name} (at {at}): a foreign or broken program wrote them; set a new value"
    )]
    InvalidBits {
        /// Space and name.
        object: String,
        /// The type's declared name.
        type_name: &'static str,
        /// Which element or field.
        at: String,
    },
    /// Not enough memory or disk for the object.
    #[error(
        "no space for '{object}' in {place}: {needed} bytes needed, {available} available; make the object smaller, free memory, or enlarge the file system or memory limit"
    )]
    NoSpace {
        /// Space and name.
        object: String,
        /// The directory.
        place: PathBuf,
        /// Bytes the object needs.
        needed: u64,
        /// Bytes that are free, as far as could be told.
        available: String,
    },
    /// A length that no object can have.
    #[error("'{object}' cannot have {found} {what}: {expected}")]
    BadSize {
        /// Space and name.
        object: String,
        /// What is counted.
        what: &'static str,
        /// The number asked for.
        found: u64,
        /// The limits.
        expected: String,
    },
    /// An index or range beyond an array's end.
    #[error("'{object}' has {len} elements: {start}..{end} is empty or reaches beyond them")]
    OutOfRange {
        /// Space and name.
        object: String,
        /// First element asked for.
        start: usize,
        /// One past the last element asked for.
        end: usize,
        /// The array's length.
        len: usize,
    },
    /// A slice whose length is not the one the call needs.
    #[error("'{object}' needs exactly {expected} elements here, {found} were given")]
    WrongLength {
        /// Space and name.
        object: String,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// An item that its queue's codec has no bytes for.
    #[error("an item for '{object}' cannot be encoded as {codec}: {source}; nothing was put")]
    NotEncoded {
        /// Space and name.
        object: String,
        /// The codec's name.
        codec: &'static str,
        /// What the codec said.
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    },
    /// Bytes in a queue that are no item for its codec: another type, or a foreign or broken program wrote them.
    #[error(
        "an item of '{object}' cannot be decoded as {codec}: {source}; it was taken out, get the next one, and let both sides use the same type"
    )]
    NotDecoded {
        /// Space and name.
        object: String,
        /// The codec's name.
        codec: &'static str,
        /// What the codec said.
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    },
    /// A value that is longer than the place it shall go to.
    #[error(
        "'{object}' has room for {room} bytes at {at}, {found} were given: give fewer, or make it with more room"
    )]
    TooLong {
        /// Space and name.
        object: String,
        /// Which place.
        at: String,
        /// Bytes there is room for.
        room: usize,
        /// Bytes given.
        found: usize,
    },
    /// The system refused access.
    #[error(
        "no permission to {action} '{object}' ({path}): run as its owner, or create the space with a wider trust (group, user, anyone)"
    )]
    PermissionDenied {
        /// Space, or space and name.
        object: String,
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
    },
    /// A directory that somebody untrusted could have prepared.
    #[error(
        "the directory {path} of this space is not trusted: {reason} (owner {owner}, mode {mode:04o}); use another directory, take away the rights of others, or say with `trust` whom you trust in it"
    )]
    UntrustedDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// What the trust demands.
        reason: &'static str,
    },
    /// As many participants as the space has slots.
    #[error(
        "space '{space}' has no free slot: all {capacity} are taken by live processes; end some, or make a space with more participants"
    )]
    SpaceFull {
        /// The space.
        space: String,
        /// How many participants it can have at once.
        capacity: u32,
    },
    /// A space whose participants' ids are all used up: each slot has some 200,000, and none is given twice.
    #[error(
        "space '{space}' has no ids left: each of its {capacity} slots has been used as often as can be; end its users and remove its .registry, or make a space with more participants"
    )]
    SpaceWornOut {
        /// The space.
        space: String,
        /// How many slots it has.
        capacity: u32,
    },
    /// As many waiters as the object has room for.
    #[error(
        "'{object}' has {limit} waiters, and room for no more: let fewer wait at once, or make it with more room"
    )]
    TooManyWaiters {
        /// Space and name.
        object: String,
        /// How many can wait at once.
        limit: u64,
    },
    /// A barrier that does not work until it is reset.
    #[error("the barrier is broken ({cause}): reset it once all that is needed is alive")]
    BarrierBroken {
        /// Why.
        cause: Breakage,
    },
    /// As many members as the barrier has seats.
    #[error(
        "'{object}' is a barrier of {parties}, and {parties} living threads have joined it: let one leave first"
    )]
    BarrierFull {
        /// Space and name.
        object: String,
        /// How many seats it has.
        parties: u32,
    },
    /// More counted down than there was left.
    #[error(
        "'{object}' cannot be counted down by {by}: {left} is left, and stays; make it with a larger count, or count down once for each arrival that was planned"
    )]
    CountedTooFar {
        /// Space and name.
        object: String,
        /// By how much.
        by: u32,
        /// What is left.
        left: u32,
    },
    /// A second seat for one thread.
    #[error("the calling thread has a seat at '{object}' already: wait through that one")]
    AlreadySeated {
        /// Space and name.
        object: String,
    },
    /// An end of a queue that can be held once, and is.
    #[error(
        "'{object}' has a {role} already, participant {participant:#x}: let it go first, make another one, or use a Queue, which has many"
    )]
    EndTaken {
        /// Space and name.
        object: String,
        /// Which end.
        role: &'static str,
        /// Who holds it.
        participant: u32,
    },
    /// A guard of another process.
    #[error("this {what} of '{object}' belongs to the process this one was forked from: get one of your own")]
    Inherited {
        /// Space and name.
        object: String,
        /// What kind of thing.
        what: &'static str,
    },
    /// A file system whose advisory locks do not work, so that nobody's death could be noticed.
    #[error(
        "the file system of {path} does not keep advisory locks ({detail}): use a memory file system such as /dev/shm, or a local disk"
    )]
    LocksUnsupported {
        /// The space's directory.
        path: PathBuf,
        /// What the test showed.
        detail: String,
    },
    /// Whether a holder lives cannot be told any more: the space's registry was removed from under its users.
    #[error(
        "space '{space}' lost its registry: whether participant {participant:#x} lives cannot be told; end its users and make the space anew"
    )]
    LivenessUnknown {
        /// The space.
        space: String,
        /// The holder waited for.
        participant: u32,
    },
    /// A handle opened for reading was asked to write.
    #[error("'{object}' was opened read-only: open it without read_only to {action}")]
    ReadOnly {
        /// Space and name.
        object: String,
        /// What was tried.
        action: &'static str,
    },
    /// The last owner of a lock died or panicked while it held it: a [`LockError`](crate::LockError) that was passed on with
    /// `?`, which dropped the guard and left the state inconsistent.
    #[error("the last owner {} while it held the lock: match on LockError::OwnerDied, repair, and make_consistent", .cause)]
    OwnerDied {
        /// What happened to the owner.
        cause: Cause,
    },
    /// The last owner of a range of an array died or panicked while it was writing there.
    #[error("elements {start}..{end} of '{object}' may be torn, because their last owner {} while writing them: lock that range, repair it, and make_consistent", .cause)]
    RangeOwnerDied {
        /// Space and name.
        object: String,
        /// First element that may be torn.
        start: usize,
        /// One past the last element that may be torn.
        end: usize,
        /// What happened to the owner.
        cause: Cause,
    },
    /// More ranges of an array are locked at once than it has room for.
    #[error(
        "'{object}' has {limit} ranges locked already, its limit: release some, or make it with more guards"
    )]
    TooManyGuards {
        /// Space and name.
        object: String,
        /// How many ranges can be locked at once.
        limit: usize,
    },
    /// A mutex that a C program left unusable.
    #[error(
        "the mutex of '{object}' can never be locked again: a program was told of an owner's death and unlocked it without pthread_mutex_consistent; unlink it and make it anew"
    )]
    NotRecoverable {
        /// Space and name.
        object: String,
    },
    /// What was asked for cannot be had at once: somebody alive holds it, or a queue is full or empty.
    #[error(
        "not to be had at once, because somebody alive holds it, or the queue is full or empty: try again, or use a form that waits"
    )]
    WouldBlock,
    /// The queue is closed: nothing can be put any more, and, if it was to be taken from, all has been delivered.
    #[error("the queue is closed, so nothing more comes or goes: to go on, unlink it and make it anew")]
    Closed,
    /// Items of a broadcast were overwritten before this subscriber came to them.
    #[error(
        "{count} items were overwritten before they were received: receive faster, or make the broadcast larger"
    )]
    Missed {
        /// How many.
        count: u64,
    },
    /// More tasks were said to be done than were taken.
    #[error(
        "no task of '{object}' that this process took without a guard is unfinished: call task_done once for each detached task"
    )]
    TooManyDone {
        /// Space and name.
        object: String,
    },
    /// The timeout passed.
    #[error("the timeout passed: wait longer, or find out with `procshare show` who holds it")]
    TimedOut,
    /// The calling thread waits for itself.
    #[error("the calling thread holds it already: drop the guard first, or use an RLock")]
    Deadlock,
    /// A failure of a manager: a `ManagerError`.
    #[error(transparent)]
    Manager(Box<dyn std::error::Error + Send + Sync>),
    /// Any other failure of the operating system.
    #[error("could not {action} '{object}' ({path}): {source}")]
    Io {
        /// Space, or space and name.
        object: String,
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
