//! Groups of processes: whoever a process has started, however it ended.

/// Makes the calling process the leader of a group: whatever it starts belongs to it, unless it leaves.
///
/// # Panics
///
/// If the system refuses: it leads a session.
pub fn lead_group() {
    // SAFETY: no pointers are passed.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0, "the system refuses a group");
}

/// The living processes of the group whose leader is, or was, `leader`. The dead that nobody has waited for do not count.
///
/// Empty where there is no `/proc`.
pub fn living_of_group(leader: i32) -> Vec<i32> {
    let lives = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        // Behind the name, which may hold anything: state, parent, group.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        let group: i32 = fields.nth(1)?.parse().ok()?;
        (group == leader && !is_dead).then(|| path.file_name()?.to_str()?.parse().ok()).flatten()
    };
    std::fs::read_dir("/proc").into_iter().flatten().filter_map(lives).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{Child, Page};
    use std::sync::atomic::Ordering::SeqCst;

    #[test]
    fn a_group_is_known_by_its_living() {
        let page = Page::new(4096);
        let leader = Child::fork(|| {
            lead_group();
            page.u64s()[0].store(1, SeqCst);
            std::thread::sleep(std::time::Duration::from_secs(60));
        });
        while page.u64s()[0].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let pid = leader.pid();
        assert_eq!(living_of_group(pid), [pid]);
        drop(leader);
        assert!(living_of_group(pid).is_empty());
    }
}
