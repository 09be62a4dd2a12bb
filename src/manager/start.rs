//! A server in a process of its own, which ends with whoever started it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::client::{Connector, Manager};
use super::error::{ManagerError, ManagerResult};
use super::server::{Server, ServerBuilder, ServerHandle};
use crate::net::Address;
use crate::net::auth::nonce;
use crate::process::{Process, Task, parent_process};

/// How long a server may take to end by itself before it is killed.
const FAREWELL: Duration = Duration::from_secs(1);

/// A manager whose server this process has started, and a connection to it: use it as a [`Manager`].
///
/// Dropping it ends the server, but not in a forked child. So does this process's end, however it comes: then the server notices,
/// and removes its socket. The server has a session of its own, so that a ^C at the terminal does not reach it, and passes SIGINT and
/// SIGHUP over: who handles these may need it to the end. SIGTERM ends it in good order.
pub struct ManagerProcess {
    manager: Manager,
    process: Process<Result<(), String>>,
    path: PathBuf,
}

/// What a task needs to be the server of [`Manager::start_with`]: where it shall serve, and for whom.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerTask {
    path: PathBuf,
}

impl Manager {
    /// Starts a server in a new process, for this user, and connects to it.
    ///
    /// Nothing needs to be arranged in `main`. Other processes of the user [connect](Manager::connect) to its
    /// [address](Manager::address).
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotStarted`], and those of [`connect`](Manager::connect).
    ///
    /// ```
    /// use procshare::manager::{Dict, Manager};
    ///
    /// let manager = Manager::start()?;
    /// let capitals = Dict::<String, String>::create(&manager, "capitals")?;
    /// capitals.set("France", &"Paris".into())?;
    /// assert_eq!(capitals.get("France")?, Some("Paris".into()));
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn start() -> ManagerResult<ManagerProcess> {
        Manager::start_with::<serve_for_starter>()
    }

    /// Starts a server of one's own making in a new process, and connects to it: with registered types, limits, or more addresses.
    ///
    /// The task says what the server shall be, and [serves](ServerTask::serve). Its process is as that of [`start`](Self::start). Where the
    /// server has a key, start it by [`Connector::start_with`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// ```
    /// use procshare::manager::{Limits, Manager, ManagerResult, Server, ServerTask};
    ///
    /// #[procshare::task]
    /// fn small_server(task: ServerTask) -> Result<(), String> {
    ///     task.serve(Server::builder().limits(Limits { memory: 1 << 20, ..Limits::default() }))
    /// }
    ///
    /// let manager = Manager::start_with::<small_server>()?;
    /// manager.ping()?;
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn start_with<T>() -> ManagerResult<ManagerProcess>
    where
        T: Task<Args = (ServerTask,), Output = Result<(), String>>,
    {
        Manager::builder().start_with::<T>()
    }
}

impl Connector {
    /// [`Manager::start`], with a connection that is made so.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn start(&self) -> ManagerResult<ManagerProcess> {
        self.start_with::<serve_for_starter>()
    }

    /// [`Manager::start_with`], with a connection that is made so: with the key that the task gives the server, for example.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn start_with<T>(&self) -> ManagerResult<ManagerProcess>
    where
        T: Task<Args = (ServerTask,), Output = Result<(), String>>,
    {
        let not_started = |reason: String| ManagerError::NotStarted { reason };
        let failed = |error: io::Error| not_started(error.to_string());
        let random: [u8; 8] = nonce().map_err(failed)?;
        let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let name = format!("procshare-manager-{:016x}.sock", u64::from_be_bytes(random));
        let path = directory.unwrap_or_else(std::env::temp_dir).join(name);
        let (mut ready, says_ready) = UnixStream::pair().map_err(failed)?;
        // Detached, because it shall end by itself when this process does, and clean up.
        let process = Process::builder()
            .name("manager")
            .detached(true)
            .stdin(File::from(OwnedFd::from(says_ready)))
            .start::<T>((ServerTask { path: path.clone() },))
            .map_err(|error| not_started(error.to_string()))?;
        // One byte when it listens; the end if it never will.
        if ready.read_exact(&mut [0]).is_err() {
            let reason = match process.join_timeout(FAREWELL) {
                Ok(Ok(())) => "its server ended at once".into(),
                Ok(Err(reason)) => reason,
                Err(error) => error.to_string(),
            };
            return Err(not_started(reason));
        }
        match self.connect(&Address::Unix(path.clone())) {
            Ok(manager) => Ok(ManagerProcess { manager, process, path }),
            Err(error) => {
                let _ = process.kill();
                clean_up(&path);
                Err(error)
            }
        }
    }
}

impl ManagerProcess {
    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether the server's process lives.
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Ends the server: all its clients get [`ManagerError::Disconnected`]. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Deref for ManagerProcess {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

impl Drop for ManagerProcess {
    fn drop(&mut self) {
        // In a forked child it is the parent's server.
        if self.manager.link().is_forked() {
            return;
        }
        self.manager.call("shutdown").tell();
        if self.process.join_timeout(FAREWELL).is_err() && self.process.is_alive() {
            tracing::warn!(pid = self.pid(), "the manager's server did not end, and is killed");
            let _ = self.process.kill();
        }
        clean_up(&self.path);
    }
}

/// Removes what a server that was killed has left; others leave nothing. No other server has this name.
fn clean_up(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(path.with_extension("lock"));
}

impl fmt::Debug for ManagerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerProcess")
            .field("pid", &self.pid())
            .field("address", &self.manager.address().to_string())
            .finish_non_exhaustive()
    }
}

impl ServerTask {
    /// Serves until the starter ends, drops its [`ManagerProcess`], or sends SIGTERM.
    ///
    /// What `builder` says holds; its addresses are served beside that of the starter.
    ///
    /// # Errors
    ///
    /// In words, for the starter: those of [`ServerBuilder::bind`] and [`Server::run`].
    pub fn serve(self, builder: ServerBuilder) -> Result<(), String> {
        self.try_serve(builder).map_err(|error| error.to_string())
    }

    fn try_serve(self, builder: ServerBuilder) -> ManagerResult<()> {
        let server = builder.address(Address::Unix(self.path)).ends_on_request().bind()?;
        let watching = |source| ManagerError::Io { action: "watch", address: "signals".into(), source };
        heed_signals(server.handle()).map_err(watching)?;
        let handle = server.handle();
        std::thread::spawn(move || {
            if let Some(parent) = parent_process() {
                // Nothing else can be done about a failure than to look again.
                while parent.is_alive() {
                    let _ = parent.join_timeout(Duration::from_secs(3600));
                }
                handle.shutdown();
            }
        });
        // Nobody may be there to read it any more: then the starter has ended, and the thread above ends the server.
        if let Ok(line) = io::stdin().as_fd().try_clone_to_owned() {
            let _ = File::from(line).write_all(b"+");
        }
        server.run()
    }
}

/// SIGTERM ends the server in good order; SIGINT and SIGHUP are for its starter, and do nothing here.
fn heed_signals(handle: ServerHandle) -> io::Result<()> {
    let (mut term, rings) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, rings)?;
    for signal in [SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    std::thread::spawn(move || {
        if term.read_exact(&mut [0]).is_ok() {
            tracing::info!("the server was told to end by SIGTERM");
            handle.shutdown();
        }
    });
    Ok(())
}

/// The server's process.
#[crate::task(crate = "crate")]
fn serve_for_starter(task: ServerTask) -> Result<(), String> {
    task.serve(Server::builder())
}
