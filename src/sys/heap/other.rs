//! Another process for the suite: a thread that acts for one.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::simulation::Process;
use crate::sys::contract::{Role, play};

/// A process that plays a role.
pub(crate) struct Other {
    process: Process,
    thread: Option<JoinHandle<()>>,
    /// Dropped when the process shall end.
    stay: Option<mpsc::Sender<()>>,
}

impl Other {
    /// Starts it; it is ready when this returns.
    pub(crate) fn start(role: Role, directory: &Path) -> Self {
        let process = Process::start();
        let directory = directory.to_owned();
        let (stay, end) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            process.run(|| {
                let held = play(role, &directory, &mut || ready.send(()).unwrap());
                let _ = end.recv();
                drop(held);
            });
        });
        assert!(is_ready.recv().is_ok(), "the other process failed before it was ready to {role:?}");
        Other { process, thread: Some(thread), stay: Some(stay) }
    }

    /// Kills it without warning; its thread idles until the end, as nothing can end it.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in its tracks, alive: its thread idles already.
    pub(crate) fn stop(&self) {}

    /// Waits for its end; tells whether it ended well.
    pub(crate) fn finish(mut self) -> bool {
        self.stay.take();
        self.thread.take().is_some_and(|thread| thread.join().is_ok())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stay.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
