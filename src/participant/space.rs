//! Spaces: directories of segments that processes join.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::host::{Fate, Host};
use super::id::ParticipantId;
use super::registry::{DEFAULT_SLOTS, Registry};
use crate::error::{Error, Result};
use crate::park::{self, Futex};
use crate::shm::name::{DEFAULT_SPACE, Name};
use crate::shm::segment::Site;
use crate::sys::{
    self, Access, DirFault, FileId, Held, Identity, Prober, ProcessInfo, ProcessLock, Seat, Trust,
};
use crate::time::Deadline;

/// A namespace of objects: a directory on a memory file system, with a registry of the processes that use it.
///
/// Named spaces live below a directory of the calling user (0700) in `/dev/shm`; [`Space::at`] names any directory, so that
/// containers or users who share it can share objects, and a directory on disk makes objects persistent.
///
/// A process joins a space when it first uses an object in it, and leaves when it ends, however it ends. A forked child is a
/// participant of its own: it joins at its first use of an inherited object, and owns nothing of its parent's. A process that
/// goes on as another program (`exec`) has ended, as far as the space is concerned; one that is stopped has not.
///
/// Clones are the same space. The space `default` is used where nothing else is said.
///
/// ```
/// use procshare::{Lock, Space};
///
/// let directory = std::env::temp_dir().join(format!("procshare-doc-{}", std::process::id()));
/// let space = Space::at(&directory).open_or_create()?;
/// let lock = Lock::builder().space(&space).create("jobs")?;
/// drop(lock.lock()?);
/// # drop(lock); std::fs::remove_dir_all(&directory).ok();
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Space(pub(super) Arc<Entrance>);

/// Options of a space, from [`Space::at`] and [`Space::named`].
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open` or `open_or_create` is called"]
pub struct SpaceBuilder {
    directory: PathBuf,
    shown: String,
    /// A directory that must exist (and be trusted) first.
    root: Option<PathBuf>,
    trust: Trust,
    capacity: u32,
}

/// A space as its user called it: whoever calls it otherwise, or trusts others, has an entrance of his own to the same membership.
pub(super) struct Entrance {
    pub(super) site: Site,
    registry_path: PathBuf,
    inner: Arc<Inner>,
}

impl Entrance {
    /// Whether the registry that was entered still lies where it was.
    fn is_in_place(&self) -> bool {
        sys::file_id(&self.registry_path).is_ok_and(|id| id == self.registry_id())
    }
}

impl Deref for Entrance {
    type Target = Inner;

    #[inline]
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// This process's membership in a space.
pub(super) struct Inner {
    /// As it was called first.
    site: Site,
    pub(super) registry: Registry,
    registry_path: PathBuf,
    prober: Prober,
    identity: Identity,
    /// Used only under the process lock, so that a forked child never finds it locked.
    seat: Mutex<Option<Seat>>,
}

/// The spaces this process has entered; they stay entered until it ends, so that entering again is cheap. Used only under the
/// process lock.
static TABLE: Mutex<Vec<Arc<Entrance>>> = Mutex::new(Vec::new());

/// So many entered spaces, or twice as many and so on, are a reason to look which of them are gone.
const MANY: usize = 64;

/// The entered space that `is_it` recognises, if its registry is still in place; spaces whose directory is gone are let go.
fn entered(is_it: impl Fn(&Entrance) -> bool) -> Option<Arc<Entrance>> {
    let lock = ProcessLock::take();
    let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = table.iter().find(|known| is_it(known)).cloned();
    if found.as_deref().is_none_or(Entrance::is_in_place) {
        return found;
    }
    let gone = take_gone(&mut table);
    drop((table, lock));
    // Dropped only now: what a space lets go of may take the process lock.
    drop(gone);
    None
}

/// Takes the spaces out of the table whose registry is gone; whoever still uses one keeps it.
fn take_gone(table: &mut Vec<Arc<Entrance>>) -> Vec<Arc<Entrance>> {
    let (kept, gone) = table.drain(..).partition(|known| known.is_in_place());
    *table = kept;
    gone
}

impl Space {
    /// The space `default` of the calling user, made if need be.
    ///
    /// # Errors
    ///
    /// See [`SpaceBuilder::open_or_create`].
    pub fn default_space() -> Result<Self> {
        Self::named(DEFAULT_SPACE)?.open_or_create()
    }

    /// Options of the calling user's space `name`.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`].
    pub fn named(name: &str) -> Result<SpaceBuilder> {
        let name = Name::new(name)?;
        let root = sys::default_root();
        Ok(SpaceBuilder {
            directory: root.join(name.as_str()),
            shown: name.as_str().to_owned(),
            root: Some(root),
            trust: Trust::Owner,
            capacity: DEFAULT_SLOTS,
        })
    }

    /// Options of the space in `directory`.
    pub fn at(directory: impl AsRef<Path>) -> SpaceBuilder {
        let directory =
            std::path::absolute(directory.as_ref()).unwrap_or_else(|_| directory.as_ref().to_owned());
        SpaceBuilder {
            shown: directory.display().to_string(),
            directory,
            root: None,
            trust: Trust::Owner,
            capacity: DEFAULT_SLOTS,
        }
    }

    /// The directory in which the calling user's named spaces live.
    pub fn root() -> PathBuf {
        sys::default_root()
    }

    /// The space's directory.
    pub fn directory(&self) -> &Path {
        &self.0.site.directory
    }

    /// Whom the space trusts.
    pub fn trust(&self) -> Trust {
        self.0.site.trust
    }

    /// The calling process's id in this space; joins if it has none yet.
    ///
    /// # Errors
    ///
    /// [`Error::SpaceFull`], [`Error::SpaceWornOut`], [`Error::LocksUnsupported`], or an I/O error of the registry.
    pub fn join(&self) -> Result<ParticipantId> {
        self.0.join()
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("directory", &self.0.site.directory)
            .field("trust", &self.0.site.trust)
            .finish_non_exhaustive()
    }
}

impl SpaceBuilder {
    /// Says whom the space trusts; [`Trust::Owner`] unless said.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How many processes can be in the space at once: 1000 unless said; 0 is taken for 1, and more than 4096 for 4096. Has an
    /// effect when the space is made.
    pub fn participants(mut self, most: u32) -> Self {
        self.capacity = most;
        self
    }

    /// Opens the space, which must exist.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and those of [`open_or_create`](Self::open_or_create).
    pub fn open(&self) -> Result<Space> {
        self.enter(false)
    }

    /// Opens the space, and makes directory and registry first if they are missing. Segments that nobody needs any more
    /// (scoped objects of the dead) are removed on the way.
    ///
    /// # Errors
    ///
    /// [`Error::UntrustedDirectory`] if somebody else could have prepared the directory; [`Error::PermissionDenied`],
    /// [`Error::NoSpace`], [`Error::WrongBackend`], [`Error::WrongVersion`], [`Error::NotASegment`] for an unusable registry;
    /// [`Error::Io`], for one if the directory above is missing.
    pub fn open_or_create(&self) -> Result<Space> {
        self.enter(true)
    }

    /// The space, if this process has entered it and whether or not it still is in place: for those who use nothing of it but
    /// its directory's path.
    pub(super) fn known(&self) -> Option<Space> {
        let _lock = ProcessLock::take();
        let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        table.iter().find(|known| self.leads_to(&known.site)).cloned().map(Space)
    }

    /// Whether it describes the space at `site`. Compares text: components would cost as much as a system call.
    fn leads_to(&self, site: &Site) -> bool {
        site.directory.as_os_str() == self.directory.as_os_str() && site.trust == self.trust
    }

    fn enter(&self, create: bool) -> Result<Space> {
        if let Some(known) = entered(|known| self.leads_to(&known.site)) {
            return Ok(Space(known));
        }
        let space = self.of(self.site(create)?, create)?;
        if create {
            // What the dead left is removed by whoever comes next; a failure here is no reason not to enter.
            let _ = space.collect();
        }
        Ok(space)
    }

    /// The space's directory, found trustworthy, and made first if `create` says so.
    pub(crate) fn site(&self, create: bool) -> Result<Site> {
        if let Some(root) = &self.root {
            self.prepare(root, Trust::Owner, create)?;
        }
        self.prepare(&self.directory, self.trust, create)?;
        Ok(Site {
            directory: self.directory.as_path().into(),
            space: self.shown.as_str().into(),
            trust: self.trust,
        })
    }

    fn prepare(&self, path: &Path, trust: Trust, create: bool) -> Result<()> {
        sys::prepare_directory(path, trust, create).map_err(|fault| match fault {
            DirFault::Untrusted(why) => Error::UntrustedDirectory {
                path: path.to_owned(),
                owner: why.owner,
                mode: why.mode,
                reason: why.reason,
            },
            // Whoever makes a space misses something else: where it shall be.
            DirFault::Io(source) if create && source.kind() == ErrorKind::NotFound => Error::Io {
                object: format!("space {}", self.shown),
                action: "make the directory of",
                path: path.to_owned(),
                source,
            },
            DirFault::Io(source) => explain_space(&self.shown, path, source),
        })
    }

    /// The space of `site`, of which this process is a member but once, whatever it is called.
    fn of(&self, site: Site, create: bool) -> Result<Space> {
        let registry = Registry::open(&site, Access::ReadWrite, create, self.capacity)?;
        let id = registry.segment().file_id();
        let registry_path = site.path(&Registry::name());
        let inner = match entered(|known| known.registry_id() == id) {
            Some(known) => Arc::clone(&known.inner),
            None => Arc::new(Inner::new(site.clone(), registry, registry_path.clone())?),
        };
        // Filled under the lock, and dropped after it.
        let mut _gone = Vec::new();
        let _lock = ProcessLock::take();
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MANY && table.len().is_power_of_two() {
            // Each has a descriptor, and programs make spaces for a job and remove them.
            _gone = take_gone(&mut table);
        }
        let members = || table.iter().filter(|known| known.registry_id() == id);
        if let Some(known) = members().find(|known| self.leads_to(&known.site)) {
            // Another thread was faster.
            return Ok(Space(Arc::clone(known)));
        }
        let inner = members().next().map_or(inner, |known| Arc::clone(&known.inner));
        let entrance = Arc::new(Entrance { site, registry_path, inner });
        table.push(Arc::clone(&entrance));
        Ok(Space(entrance))
    }
}

impl Inner {
    /// The membership of a process that has not joined yet.
    fn new(site: Site, registry: Registry, registry_path: PathBuf) -> Result<Self> {
        let io = |source| explain_space(&site.space, &registry_path, source);
        let prober = Prober::new(&registry_path, registry.segment().file_id()).map_err(io)?;
        let identity = Identity::new().map_err(io)?;
        Ok(Inner { site, registry, registry_path, prober, identity, seat: Mutex::new(None) })
    }
}

impl Inner {
    /// The calling process's id.
    #[inline]
    pub(super) fn join(&self) -> Result<ParticipantId> {
        match ParticipantId::from_bits(self.identity.get()) {
            Some(id) => Ok(id),
            None => self.join_slow(),
        }
    }

    fn registry_id(&self) -> FileId {
        self.registry.segment().file_id()
    }

    /// The number that reads 0 in a forked child.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    #[cold]
    fn join_slow(&self) -> Result<ParticipantId> {
        let _lock = ProcessLock::take();
        if let Some(id) = ParticipantId::from_bits(self.identity.get()) {
            return Ok(id);
        }
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parents) = seat.take() {
            parents.disown();
        }
        let path = &self.registry_path;
        let fail = |source: std::io::Error| match source.raw_os_error() {
            Some(code) if sys::means_no_locks(code) => Error::LocksUnsupported {
                path: self.site.directory.to_path_buf(),
                detail: source.to_string(),
            },
            _ => explain_space(&self.site.space, path, source),
        };
        let info = ProcessInfo::of_self();
        let (taken, id) = loop {
            let taken = Seat::take(path, self.registry_id(), self.registry.candidates()).map_err(fail)?;
            let taken = taken.ok_or_else(|| self.no_seat())?;
            if let Some(id) = self.registry.enter(taken.slot(), &info) {
                break (taken, id);
            }
        };
        // The self-test: if my own byte does not read as held, nobody's death could be noticed.
        self.prober.restore().map_err(fail)?;
        if self.prober.probe(id.slot()).map_err(fail)? != Held::Yes {
            return Err(Error::LocksUnsupported {
                path: self.site.directory.to_path_buf(),
                detail: "a byte that was just locked reads as free".into(),
            });
        }
        *seat = Some(taken);
        self.identity.set(id.to_bits());
        Ok(id)
    }

    #[cold]
    fn no_seat(&self) -> Error {
        let (space, capacity) = (self.site.space.to_string(), self.registry.capacity());
        if self.registry.candidates().next().is_none() {
            return Error::SpaceWornOut { space, capacity };
        }
        Error::SpaceFull { space, capacity }
    }

    /// Whether the byte of `slot` reads as free on a prober that is known to work.
    fn is_free(&self, slot: u32) -> Option<bool> {
        for attempt in 0..2 {
            match self.prober.probe(slot) {
                Ok(Held::Yes) => return Some(false),
                Ok(Held::No) if self.prober_works() => return Some(true),
                _ if attempt == 0 => {
                    let _lock = ProcessLock::take();
                    self.prober.restore().ok()?;
                }
                _ => {}
            }
        }
        None
    }

    /// My own byte reads as held, through the same descriptor; a reader that never joined looks at the file instead.
    fn prober_works(&self) -> bool {
        match ParticipantId::from_bits(self.identity.get()) {
            Some(me) => matches!(self.prober.probe(me.slot()), Ok(Held::Yes)),
            None => self.prober.leads_to_registry(),
        }
    }
}

impl Host for Inner {
    fn fate(&self, id: u32) -> Fate {
        let Some(id) = ParticipantId::from_bits(id) else { return Fate::Alive };
        if id.to_bits() == self.identity.get() {
            return Fate::Alive;
        }
        if !self.registry.is_current(id) {
            // A successor has the slot (which it got because the byte was free), or there never was such a participant.
            return if self.prober_works() || self.prober_restored() { Fate::Gone } else { Fate::Unknown };
        }
        match self.is_free(id.slot()) {
            Some(true) => Fate::Gone,
            Some(false) => Fate::Alive,
            None => Fate::Unknown,
        }
    }

    fn wait(&self, word: &impl Futex, expected: u32, deadline: Deadline, slice_ns: u64) {
        park::wait(word, expected, deadline, slice_ns);
    }

    fn wake(&self, word: &impl Futex, count: u32) -> u32 {
        park::wake(word, count)
    }
}

impl Inner {
    fn prober_restored(&self) -> bool {
        let _lock = ProcessLock::take();
        self.prober.restore().is_ok() && self.prober_works()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let seat = self.seat.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // In a forked child that never joined the seat is the parent's, and its page is not mapped here.
        if let (Some(seat), 0) = (seat, self.identity.get()) {
            seat.disown();
        }
    }
}

fn explain_space(space: &str, path: &Path, source: std::io::Error) -> Error {
    let object = format!("space {space}");
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { object },
        ErrorKind::PermissionDenied => {
            Error::PermissionDenied { object, action: "enter", path: path.to_owned() }
        }
        ErrorKind::StorageFull => {
            Error::NoSpace { object, place: path.to_owned(), needed: 0, available: "none".into() }
        }
        _ => Error::Io { object, action: "enter", path: path.to_owned(), source },
    }
}
