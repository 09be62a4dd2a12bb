//! Names for code addresses; best effort, and only when something is to be printed.

use std::fmt;

/// An instruction address and what looks like return addresses above it on the stack.
///
/// Shown with function names and lines where `addr2line` is installed, else as file and offset.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    addresses: Vec<u64>,
}

/// How many words of the stack are looked through, and how many frames are shown.
#[cfg(target_os = "linux")]
const STACK_WORDS: usize = 192;
const FRAMES: usize = 8;

impl Trail {
    /// Looks at a stopped process.
    #[cfg(target_os = "linux")]
    pub(crate) fn collect(pid: libc::pid_t, pc: u64, sp: u64) -> Trail {
        let mut stack = [0u64; STACK_WORDS];
        let read = read_memory(pid, sp, &mut stack);
        let mut addresses = vec![pc];
        addresses.extend_from_slice(&stack[..read]);
        Trail { addresses }
    }
}

/// Copies words out of another process; returns how many could be read.
#[cfg(target_os = "linux")]
fn read_memory(pid: libc::pid_t, from: u64, words: &mut [u64]) -> usize {
    let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: std::mem::size_of_val(words) };
    // One remote part a word: a read that would leave the stack ends early instead of failing whole.
    let remote: Vec<libc::iovec> = (0..words.len() as u64)
        .map(|i| libc::iovec { iov_base: from.wrapping_add(8 * i) as *mut libc::c_void, iov_len: 8 })
        .collect();
    // SAFETY: `local` describes memory we own; remote addresses are only interpreted by the kernel, which checks them.
    let got =
        unsafe { libc::process_vm_readv(pid, &local, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0) };
    usize::try_from(got).unwrap_or(0) / 8
}

/// One executable mapping of this process.
#[derive(Debug)]
struct Code {
    start: u64,
    end: u64,
    load_base: u64,
    file: String,
}

fn code_mappings() -> Vec<Code> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut found: Vec<Code> = Vec::new();
    let mut base = (String::new(), 0);
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (Some(range), Some(access), Some(offset)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let file = parts.nth(2).unwrap_or("").to_owned();
        let Some((start, end)) = range.split_once('-') else { continue };
        let hex = |s| u64::from_str_radix(s, 16).unwrap_or(0);
        if hex(offset) == 0 && base.0 != file {
            base = (file.clone(), hex(start));
        }
        if access.contains('x') {
            found.push(Code { start: hex(start), end: hex(end), load_base: base.1, file });
        }
    }
    found
}

/// Whether a call instruction ends right before `address`; reads this process's own code, which its forks share.
fn follows_call(address: u64) -> bool {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        let mut word = [0u64];
        if read_memory(std::process::id() as libc::pid_t, address.wrapping_sub(8), &mut word) != 1 {
            return false;
        }
        let b = word[0].to_le_bytes();
        // Near relative call, or an indirect one (FF /2) of two, three or six bytes.
        let indirect = |at: usize| b[at] == 0xff && (b[at + 1] >> 3) & 7 == 2;
        b[3] == 0xe8 || indirect(6) || indirect(5) || indirect(2)
    }
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        let _ = address;
        true
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = code_mappings();
        let own = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default();
        let mut shown = 0;
        for (depth, &address) in self.addresses.iter().enumerate() {
            let Some(place) = code.iter().find(|c| (c.start..c.end).contains(&address)) else { continue };
            if shown == FRAMES || (depth > 0 && !follows_call(address)) {
                continue;
            }
            shown += 1;
            // A return address belongs to the line of the call before it.
            let offset = address - place.load_base - u64::from(depth > 0);
            let name = if place.file == own { line_of(&place.file, offset) } else { None };
            let short = place.file.rsplit('/').next().unwrap_or("");
            let name = name.unwrap_or_else(|| format!("{short}+{offset:#x}"));
            write!(f, "\n      {} {name}", if depth == 0 { "at" } else { "by" })?;
        }
        Ok(())
    }
}

fn line_of(file: &str, offset: u64) -> Option<String> {
    let run = std::process::Command::new("addr2line")
        .args(["-Cfpe", file, &format!("{offset:#x}")])
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&run.stdout).trim().to_owned();
    (run.status.success() && !text.is_empty() && !text.starts_with("??")).then_some(text)
}
