//! Private directories, processes of other users and namespaces, and what was skipped.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use procshare::{Lock, LockError, LockGuard, Space};
use procshare_harness::{Child, Exit, Page, watchdog};

/// For one child or one wait.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs a test that waits for others under a watchdog.
pub(crate) fn guarded(test: impl FnOnce()) {
    watchdog(Duration::from_secs(120), test);
}

/// Runs a test in a process of its own: children that other tests fork meanwhile would inherit its mappings, which keep
/// objects attached.
pub(crate) fn alone(test: impl FnOnce()) {
    guarded(|| Child::fork(test).wait(Duration::from_secs(100)).unwrap());
}

/// A directory of its own on the memory file system, removed at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// A name that nothing has yet.
    pub(crate) fn unmade() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        Dir(PathBuf::from(format!("/dev/shm/procshare-space-{}-{number}", std::process::id())))
    }

    /// An empty directory with this mode, whatever the umask.
    pub(crate) fn with_mode(mode: u32) -> Self {
        let dir = Self::unmade();
        std::fs::create_dir(&dir.0).unwrap();
        set_mode(&dir.0, mode);
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The name that leads to `name` from any process.
    pub(crate) fn name(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The file names in it, but the registry's.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != ".registry");
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A space of its own.
pub(crate) struct Home {
    pub(crate) space: Space,
    pub(crate) dir: Dir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = Dir::unmade();
        Home { space: Space::at(dir.path()).open_or_create().unwrap(), dir }
    }

    /// A lock `it` in it.
    pub(crate) fn lock(&self) -> Lock {
        Lock::builder().space(&self.space).create("it").unwrap()
    }
}

/// Signals between forked processes.
pub(crate) struct Flags(Page);

impl Flags {
    pub(crate) fn new() -> Self {
        Flags(Page::new(4096))
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        &self.0.u64s()[index]
    }

    pub(crate) fn raise(&self, index: usize) {
        self.word(index).store(1, SeqCst);
    }

    /// Waits until it is raised; the watchdog of the test bounds it.
    pub(crate) fn wait(&self, index: usize) {
        while self.word(index).load(SeqCst) == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Waits to be killed.
pub(crate) fn park() {
    loop {
        std::thread::park();
    }
}

/// A living process that holds the lock.
pub(crate) fn holder(lock: &Lock) -> Child {
    let flags = Flags::new();
    let child = Child::fork(|| {
        std::mem::forget(lock.lock().unwrap());
        flags.raise(0);
        park();
    });
    flags.wait(0);
    child
}

/// Whether somebody alive holds it, as far as this process can tell.
pub(crate) fn is_held(lock: &Lock) -> bool {
    match lock.try_lock() {
        Err(LockError::WouldBlock) => true,
        Ok(_) | Err(LockError::OwnerDied(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

/// Takes the lock of a holder that must be found dead, and heals it.
pub(crate) fn recover(lock: &Lock) {
    let outcome: Result<LockGuard<'_>, _> = lock.lock_timeout(SOON);
    match outcome {
        Err(LockError::OwnerDied(outcome)) => outcome.into_guard().make_consistent(),
        other => panic!("the holder is dead, and we got {other:?}"),
    }
}

/// Why a child could not do its part.
pub(crate) struct Refused(String);

impl Refused {
    pub(crate) fn new(why: String) -> Self {
        Refused(why)
    }
}

/// Runs `work` in a child that first calls `prepare`; `None` if that was refused, which is then counted as skipped.
pub(crate) fn prepared_child(
    what: &str,
    prepare: impl FnOnce() -> Result<(), Refused>,
    work: impl FnOnce(),
) -> Option<Child> {
    let flags = Flags::new();
    let child = Child::fork(|| match prepare() {
        Ok(()) => {
            flags.word(0).store(1, SeqCst);
            work();
            Ok(())
        }
        Err(Refused(why)) => {
            flags.word(0).store(2, SeqCst);
            Err(why)
        }
    });
    flags.wait(0);
    if flags.word(0).load(SeqCst) == 1 {
        return Some(child);
    }
    match child.wait(SOON) {
        Exit::Failed(why) => skip(&format!("{what}: {why}")),
        other => panic!("{other}"),
    }
    None
}

/// Turns a C return value into a refusal that names the call.
pub(crate) fn permitted(call: &str, result: libc::c_int) -> Result<(), Refused> {
    if result == 0 { Ok(()) } else { Err(Refused(format!("{call}: {}", std::io::Error::last_os_error()))) }
}

/// Becomes another user, for good.
pub(crate) fn become_user(uid: u32, gid: u32) -> Result<(), Refused> {
    // SAFETY: changes the ids of the calling process only.
    unsafe {
        permitted("setgroups", libc::setgroups(0, std::ptr::null()))?;
        permitted("setgid", libc::setgid(gid))?;
        permitted("setuid", libc::setuid(uid))
    }
}

/// Enters new namespaces.
pub(crate) fn unshare(flags: libc::c_int) -> Result<(), Refused> {
    // SAFETY: changes the namespaces of the calling process, which has one thread.
    permitted("unshare", unsafe { libc::unshare(flags) })
}

static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Counts a part that this machine does not permit; the closing lines of the test run tell.
pub(crate) fn skip(why: &str) {
    extern "C" fn close() {
        let skipped = SKIPPED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        eprintln!("skipped: {} parts of tests", skipped.len());
        for why in skipped.iter() {
            eprintln!("skipped: {why}");
        }
    }
    println!("skipped: {why}");
    let mut skipped = SKIPPED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if skipped.is_empty() {
        // SAFETY: the handler lives for ever and uses only what outlives `main`.
        unsafe { libc::atexit(close) };
    }
    skipped.push(why.to_owned());
}

/// Asserts that a result is this error, shows it, and checks that its words name the object and a way out.
macro_rules! refused {
    ($result:expr, $pattern:pat, $($words:expr),*) => {{
        let error = match $result {
            Ok(_) => panic!("{} succeeded", stringify!($result)),
            Err(error) => procshare::Error::from(error),
        };
        assert!(matches!(error, $pattern), "{}: {error:?}", stringify!($result));
        let text = error.to_string();
        $(assert!(text.contains(&*$words), "{text:?} does not say {:?}", $words);)*
    }};
}
