//! A server in a process of its own, which ends with whoever started it.

use std::fmt;
use std::io::{Read, Write};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::client::Manager;
use super::error::{ManagerError, ManagerResult};
use super::server::Server;
use crate::net::Address;
use crate::net::auth::nonce;
use crate::process::{Process, parent_process};

/// How long a server may take to end by itself before it is killed.
const FAREWELL: Duration = Duration::from_secs(1);

/// A manager whose server this process has started, and a connection to it: use it as a [`Manager`].
///
/// Dropping it ends the server. So does this process's end, however it comes: then the server notices, and removes its socket.
pub struct ManagerProcess {
    manager: Manager,
    process: Process<Result<(), String>>,
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
        let not_started = |reason: String| ManagerError::NotStarted { reason };
        let random: [u8; 8] = nonce().map_err(|error| not_started(error.to_string()))?;
        let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let name = format!("procshare-manager-{:016x}.sock", u64::from_be_bytes(random));
        let path = directory.unwrap_or_else(std::env::temp_dir).join(name);
        let (mut ready, says_ready) =
            std::io::pipe().map_err(|error| not_started(format!("no pipe: {error}")))?;
        // Detached, because it shall end by itself when this process does, and clean up.
        let process = Process::builder()
            .name("manager")
            .detached(true)
            .stdout(Stdio::from(says_ready))
            .start::<serve_for_starter>((path.as_path(),))
            .map_err(|error| not_started(error.to_string()))?;
        // One byte when it listens; the end of the pipe if it never will.
        let mut byte = [0];
        if ready.read_exact(&mut byte).is_err() {
            let reason = match process.join_timeout(FAREWELL) {
                Ok(Ok(())) => "its server ended at once".into(),
                Ok(Err(reason)) => reason,
                Err(error) => error.to_string(),
            };
            return Err(not_started(reason));
        }
        match Manager::connect(&Address::Unix(path.clone())) {
            Ok(manager) => Ok(ManagerProcess { manager, process, path }),
            Err(error) => {
                let _ = process.kill();
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
        self.manager.call("shutdown").tell();
        if self.process.join_timeout(FAREWELL).is_err() && self.process.is_alive() {
            tracing::warn!(pid = self.pid(), "the manager's server did not end, and is killed");
            let _ = self.process.kill();
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl fmt::Debug for ManagerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerProcess")
            .field("pid", &self.pid())
            .field("address", &self.manager.address().to_string())
            .finish_non_exhaustive()
    }
}

/// The server's process.
#[crate::task(crate = "crate")]
fn serve_for_starter(path: PathBuf) -> Result<(), String> {
    let server = Server::builder().address(Address::Unix(path)).ends_on_request().bind();
    let server = server.map_err(|error| error.to_string())?;
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
    let mut out = std::io::stdout();
    let _ = out.write_all(b"+").and_then(|()| out.flush());
    server.run().map_err(|error| error.to_string())
}
