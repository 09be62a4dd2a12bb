//! What a participant is called: figures for display, never for ownership.

/// What `ls` shows of a participant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    /// Clock ticks since boot; 0 where it cannot be read.
    pub(crate) start_time: u64,
    /// Inode of the pid namespace in which `pid` means this process; 0 where there are none, or it cannot be read.
    pub(crate) pid_namespace: u64,
    /// Executable's file name, cut to fit, padded with zeros.
    pub(crate) executable: [u8; 32],
}

impl ProcessInfo {
    /// Looks at the calling process.
    pub(crate) fn of_self() -> Self {
        let mut executable = [0; 32];
        let name = super::imp::executable();
        let len = name.len().min(executable.len());
        executable[..len].copy_from_slice(&name[..len]);
        ProcessInfo {
            pid: std::process::id(),
            uid: super::imp::user_id(),
            start_time: super::imp::start_time(),
            pid_namespace: Self::own_pid_namespace(),
            executable,
        }
    }

    /// Inode of the caller's pid namespace; 0 where there are none, or it cannot be read.
    pub(crate) fn own_pid_namespace() -> u64 {
        super::imp::pid_namespace()
    }
}
