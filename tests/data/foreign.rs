//! Segments that other programs make: C's `shm_open` and CPython.

use std::ffi::CString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A POSIX segment made as a C program makes it, removed at the end.
pub(crate) struct PosixSegment {
    name: CString,
    fd: libc::c_int,
}

impl PosixSegment {
    pub(crate) fn create(len: i64) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("/procshare-c-{}-{number}", std::process::id())).unwrap();
        // SAFETY: `name` is a C string that lives for the calls.
        unsafe {
            let fd = libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o600);
            assert!(fd >= 0, "shm_open: {}", std::io::Error::last_os_error());
            assert_eq!(libc::ftruncate(fd, len), 0);
            PosixSegment { name, fd }
        }
    }

    /// A segment with this content.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let segment = Self::create(bytes.len() as i64);
        segment.write(bytes);
        segment
    }

    pub(crate) fn os_id(&self) -> &str {
        self.name.to_str().unwrap()
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        // SAFETY: `bytes` is valid for its length.
        let wrote = unsafe { libc::pwrite(self.fd, bytes.as_ptr().cast(), bytes.len(), 0) };
        assert_eq!(wrote, bytes.len() as isize);
    }

    pub(crate) fn read(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        // SAFETY: `bytes` is valid for its length.
        assert_eq!(unsafe { libc::pread(self.fd, bytes.as_mut_ptr().cast(), len, 0) }, len as isize);
        bytes
    }

    /// Whether the name still leads somewhere.
    pub(crate) fn exists(&self) -> bool {
        // SAFETY: `name` is a C string; the descriptor is closed at once.
        unsafe {
            let fd = libc::shm_open(self.name.as_ptr(), libc::O_RDONLY, 0);
            fd >= 0 && libc::close(fd) == 0
        }
    }

    pub(crate) fn unlink(&self) {
        // SAFETY: `name` is a C string.
        unsafe { libc::shm_unlink(self.name.as_ptr()) };
    }
}

impl Drop for PosixSegment {
    fn drop(&mut self) {
        self.unlink();
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(self.fd) };
    }
}

/// A running CPython that executes one line after the other.
pub(crate) struct Python {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Runs each line it is sent; answers with what the line printed, or with the exception.
const LOOP: &str = "
import sys, io, contextlib
from multiprocessing import shared_memory
names = {'shared_memory': shared_memory}
for line in sys.stdin:
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(line, names)
    except BaseException as error:
        out.write('!' + repr(error))
    print(out.getvalue().strip().replace('\\n', ' '), flush=True)
";

impl Python {
    /// Starts one; `None`, with a counted note, where there is no CPython with shared memory.
    pub(crate) fn start() -> Option<Self> {
        static SKIPPED: AtomicU32 = AtomicU32::new(0);
        let usable = Command::new("python3")
            .args(["-c", "from multiprocessing import shared_memory"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !usable {
            let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
            eprintln!("skipped ({count} so far): no python3 with multiprocessing.shared_memory here");
            return None;
        }
        let mut process = Command::new("python3")
            .args(["-c", LOOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Some(Python { process, input, output: BufReader::new(output) })
    }

    /// Runs one line and returns what it printed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        assert!(!line.contains('\n'));
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        assert!(self.output.read_line(&mut answer).unwrap() > 0, "python3 ended at: {line}");
        let answer = answer.trim_end().to_owned();
        assert!(!answer.contains('!'), "{line}: {answer}");
        answer
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
