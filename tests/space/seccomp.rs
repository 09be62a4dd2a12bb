//! System calls that a kernel or file system lacks: refused by a filter, in the calling process and its children.

use std::io;

/// A system call to refuse: where the argument's bits under the mask are these, with this error number.
///
/// The error number 0 makes the call do nothing and say that it did.
#[derive(Clone, Copy)]
pub(crate) struct Refuse {
    pub(crate) call: libc::c_long,
    pub(crate) argument: u32,
    pub(crate) mask: u32,
    pub(crate) bits: u32,
    pub(crate) errno: libc::c_int,
}

/// Refuses these calls from now on, for good.
pub(crate) fn refuse(calls: &[Refuse]) -> io::Result<()> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = Vec::new();
    for call in calls {
        // The number of the call is the first word; arguments follow at byte 16, the low half first.
        program.push(step(LOAD, 0, 0));
        program.push(step(EQUAL, 4, call.call as u32));
        program.push(step(LOAD, 0, 16 + 8 * call.argument));
        program.push(step(AND, 0, call.mask));
        program.push(step(EQUAL, 1, call.bits));
        program.push(step(RETURN, 0, libc::SECCOMP_RET_ERRNO | call.errno as u32));
    }
    program.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: concerns the calling process only; the kernel copies the program during the call.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter),
        ]
    };
    if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// File systems without unnamed files.
pub(crate) const NO_UNNAMED_FILES: Refuse = Refuse {
    call: libc::SYS_openat,
    argument: 2,
    mask: 0o20_000_000,
    bits: 0o20_000_000,
    errno: libc::EOPNOTSUPP,
};
