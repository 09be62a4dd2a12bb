//! Cores to measure on.

use std::fs;

use serde::Serialize;

use crate::failure::{Failure, not_negative};

/// What the figures were taken on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's own name, where /proc tells it.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// Cores this process may use.
    pub cores: Vec<usize>,
    /// The core single workers are pinned to.
    pub first: usize,
    /// Another core, not a sibling thread of the first where there is a choice.
    pub second: Option<usize>,
}

impl Machine {
    /// Looks at the machine this process runs on.
    ///
    /// # Errors
    /// [`Failure::Os`] when the scheduler will not say which cores are allowed.
    pub fn look() -> Result<Self, Failure> {
        let cores = allowed_cores()?;
        let first = *cores.first().ok_or(Failure::Unavailable("no core is allowed".into()))?;
        let others = || cores.iter().copied().filter(|&core| core != first);
        let second = others().find(|&core| place_of(core) != place_of(first)).or_else(|| others().next());
        Ok(Self { processor: processor(), kernel: kernel(), cores, first, second })
    }
}

/// Binds the calling thread to one core.
///
/// # Errors
/// [`Failure::Os`] when the core does not exist or is not allowed.
pub fn pin(core: usize) -> Result<(), Failure> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(Failure::Os { call: "sched_setaffinity".into(), errno: libc::EINVAL });
    }
    // SAFETY: a zeroed cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is valid for its size; 0 names the calling thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
    not_negative("sched_setaffinity", done).map(drop)
}

fn allowed_cores() -> Result<Vec<usize>, Failure> {
    // SAFETY: a zeroed cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable for its size; 0 names the calling thread.
    let done = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    not_negative("sched_getaffinity", done)?;
    // SAFETY: every index is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Package and core a logical processor belongs to: equal for sibling threads.
fn place_of(core: usize) -> (String, String) {
    let read = |file: &str| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu{core}/topology/{file}")).unwrap_or_default()
    };
    (read("physical_package_id"), read("core_id"))
}

fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| String::new(), |text| text.trim().to_owned())
}
