//! Keeping a thread, and the children it forks, on one processor for a while.

/// The calling thread is tied to the processor it was on; released on drop.
#[derive(Debug)]
pub(crate) struct Pin {
    before: libc::cpu_set_t,
}

impl Pin {
    /// Ties the calling thread. Where the system refuses, everything stays as it was.
    pub(crate) fn here() -> Self {
        // SAFETY: all-zero is a valid, empty cpu_set_t, which the call fills.
        let before = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            set
        };
        // SAFETY: as above; CPU_SET writes inside the set, as the kernel numbers processors below its size.
        unsafe {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            if let Ok(cpu) = usize::try_from(libc::sched_getcpu()) {
                libc::CPU_SET(cpu, &mut one);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
            }
        }
        Pin { before }
    }

    /// The processors that were allowed before.
    pub(crate) fn before(&self) -> &libc::cpu_set_t {
        &self.before
    }

    /// Gives the calling thread (of this process or a forked one) its processors back.
    pub(crate) fn lift(&self) {
        // SAFETY: a valid mask of the stated size.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.before) };
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.lift();
    }
}
