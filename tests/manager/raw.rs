//! Connections by hand: what is sent over them is what a test says, and nothing in them depends on the code that is tested.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use procshare::manager::*;

use crate::support::{Running, eventually};

/// Bytes of MessagePack, by hand: the tests shall not depend on the code they test.
pub(crate) mod pack {
    pub(crate) fn frame(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32).to_be_bytes()[..], content].concat()
    }

    pub(crate) fn greeting(method: &str, version: u8, nonce: u8) -> Vec<u8> {
        let mut bytes = vec![0x96, 0xa9];
        bytes.extend(b"procshare");
        bytes.extend([version, 0xa0 | method.len() as u8]);
        bytes.extend(method.as_bytes());
        bytes.extend([0xc4, 32]);
        bytes.extend([nonce; 32]);
        bytes.extend([0, 0xce, 1, 0, 0, 0]);
        frame(&bytes)
    }

    pub(crate) fn proof(proof: &[u8]) -> Vec<u8> {
        frame(&[&[0x91, 0xc4, proof.len() as u8], proof].concat())
    }

    /// `[id, object, method, []]` with small numbers.
    pub(crate) fn call(id: u8, object: u8, method: &str) -> Vec<u8> {
        let mut bytes = vec![0x94, id, object, 0xa0 | method.len() as u8];
        bytes.extend(method.as_bytes());
        bytes.push(0x90);
        frame(&bytes)
    }
}

pub(crate) enum Raw {
    Unix(UnixStream),
    Tcp(TcpStream),
    Rings(Rings),
}

impl Raw {
    pub(crate) fn connect(server: &Running) -> Raw {
        match &server.address {
            Address::Unix(path) => Raw::Unix(UnixStream::connect(path).unwrap()),
            Address::Tcp(place) => Raw::Tcp(TcpStream::connect(place).unwrap()),
            other => panic!("{other}"),
        }
    }

    /// One that has been let in over a Unix socket, and has rings if the test is about those.
    pub(crate) fn inside(server: &Running) -> Raw {
        let mut raw = Raw::connect(server);
        raw.send(&pack::greeting("peer", 1, 1));
        raw.send(&pack::proof(&[]));
        assert!(raw.frame().unwrap().starts_with(b"\x96\xa9procshare\x01"));
        assert_eq!(raw.frame().unwrap(), [0x91, 0xc4, 0]);
        match raw {
            Raw::Unix(stream) if server.transport == Transport::Auto && cfg!(target_os = "linux") => {
                Raw::Rings(Rings::ask(stream))
            }
            raw => raw,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let sent = match self {
            Raw::Unix(stream) => stream.write_all(bytes),
            Raw::Tcp(stream) => stream.write_all(bytes),
            Raw::Rings(rings) => rings.write_all(bytes, Duration::from_secs(30)),
        };
        // It may have been thrown out already: the test looks at what it is told.
        if let Err(error) = sent {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        }
    }

    /// Whether the server took these bytes within a fifth of a second.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        let patience = Duration::from_millis(200);
        match self {
            Raw::Unix(stream) => {
                stream.set_write_timeout(Some(patience)).unwrap();
                stream.write_all(bytes).is_ok()
            }
            Raw::Rings(rings) => rings.write_all(bytes, patience).is_ok(),
            Raw::Tcp(_) => unreachable!("no test does so over TCP"),
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        match self {
            Raw::Unix(stream) => stream.read_exact(buffer),
            Raw::Tcp(stream) => stream.read_exact(buffer),
            Raw::Rings(rings) => rings.read_exact(buffer),
        }
    }

    /// The next frame, unless the connection has ended.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 4];
        self.read_exact(&mut len).ok()?;
        let mut content = vec![0; u32::from_be_bytes(len) as usize];
        self.read_exact(&mut content).ok()?;
        Some(content)
    }

    /// What it is told before the connection ends.
    pub(crate) fn last_words(mut self) -> String {
        let mut last = Vec::new();
        while let Some(frame) = self.frame() {
            last = frame;
        }
        String::from_utf8_lossy(&last).into_owned()
    }
}

/// Rings as `docs/protocol.md` describes them.
pub(crate) struct Rings {
    pub(crate) stream: UnixStream,
    first: *mut u8,
    pub(crate) size: usize,
    pub(crate) written: u64,
    pub(crate) read: u64,
}

/// Where the words are.
pub(crate) mod at {
    pub(crate) const WRITTEN: usize = 0;
    pub(crate) const READ: usize = 128;
    pub(crate) const READER_ASLEEP: usize = 256;
    pub(crate) const WRITER_ASLEEP: usize = 260;
    /// From the server to the client.
    pub(crate) const BACK: usize = 384;
    pub(crate) const DATA: usize = 4096;
}

impl Rings {
    fn ask(mut stream: UnixStream) -> Rings {
        stream.write_all(&pack::call(1, 0, "ring")).unwrap();
        let (answer, file) = receive(&stream);
        // `[1, size]`, the size in as few bytes as it needs.
        let size = match answer[..] {
            [0, 0, 0, 5, 0x92, 1, 0xcd, a, b] => usize::from(u16::from_be_bytes([a, b])),
            [0, 0, 0, 7, 0x92, 1, 0xce, a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
            _ => panic!("{answer:x?}"),
        };
        // SAFETY: a new mapping of a file that is as long as the server says, which a test may believe.
        let first = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), at::DATA + 2 * size, access, libc::MAP_SHARED, file, 0)
        };
        assert_ne!(first, libc::MAP_FAILED);
        // SAFETY: the descriptor is this function's.
        unsafe { libc::close(file) };
        Rings { stream, first: first.cast(), size, written: 0, read: 0 }
    }

    pub(crate) fn position(&self, at: usize) -> &AtomicU64 {
        // SAFETY: within the mapping, aligned, and used as an atomic by both sides.
        unsafe { &*self.first.add(at).cast() }
    }

    pub(crate) fn asleep(&self, at: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { &*self.first.add(at).cast() }
    }

    /// The bytes of the ring to the server (0) or from it (1), as a place to copy to and from.
    fn data(&self, ring: usize) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.first.add(at::DATA + ring * self.size) }
    }

    pub(crate) fn bell(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&[1])
    }

    /// Copies bytes in, and tells nobody.
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        for (at, &byte) in bytes.iter().enumerate() {
            let at = (self.written as usize + at) % self.size;
            // SAFETY: within the ring; where the server does not look yet.
            unsafe { self.data(0).add(at).write_volatile(byte) };
        }
        self.written += bytes.len() as u64;
    }

    pub(crate) fn publish(&mut self) -> std::io::Result<()> {
        self.position(at::WRITTEN).store(self.written, Ordering::SeqCst);
        let asleep = self.asleep(at::READER_ASLEEP).swap(0, Ordering::SeqCst) != 0;
        if asleep { self.bell() } else { Ok(()) }
    }

    fn write_all(&mut self, mut bytes: &[u8], patience: Duration) -> std::io::Result<()> {
        let mut end = Instant::now() + patience;
        while !bytes.is_empty() {
            let room = self.size - (self.written - self.position(at::READ).load(Ordering::SeqCst)) as usize;
            let len = room.min(bytes.len());
            if len > 0 {
                self.fill(&bytes[..len]);
                self.publish()?;
                bytes = &bytes[len..];
                end = Instant::now() + patience;
            } else if self.has_ended() {
                return Err(ErrorKind::BrokenPipe.into());
            } else if Instant::now() > end {
                return Err(ErrorKind::TimedOut.into());
            } else {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        for byte in buffer {
            let mut ended = false;
            while self.position(at::BACK + at::WRITTEN).load(Ordering::SeqCst) == self.read {
                if ended {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                assert!(Instant::now() < end, "the server says nothing");
                std::thread::yield_now();
                ended = self.has_ended();
            }
            // SAFETY: within the ring; the server has written it and waits for this before it writes there again.
            *byte = unsafe { self.data(1).add(self.read as usize % self.size).read_volatile() };
            self.read += 1;
            self.position(at::BACK + at::READ).store(self.read, Ordering::SeqCst);
            if self.asleep(at::BACK + at::WRITER_ASLEEP).swap(0, Ordering::SeqCst) != 0 {
                let _ = self.bell();
            }
        }
        Ok(())
    }

    /// Whether the server has closed the connection; bells are thrown away.
    pub(crate) fn has_ended(&self) -> bool {
        let mut bells = [0u8; 64];
        // SAFETY: the kernel writes at most so many bytes.
        let len = unsafe {
            let (fd, to) = (self.stream.as_raw_fd(), bells.as_mut_ptr().cast());
            libc::recv(fd, to, bells.len(), libc::MSG_DONTWAIT)
        };
        len == 0 || len < 0 && std::io::Error::last_os_error().kind() != ErrorKind::WouldBlock
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        // SAFETY: mapped by `ask`, and nobody uses it any more.
        unsafe { libc::munmap(self.first.cast(), at::DATA + 2 * self.size) };
    }
}

/// What comes, and the descriptor that comes with it.
fn receive(stream: &UnixStream) -> (Vec<u8>, i32) {
    let (mut bytes, mut room) = ([0u8; 64], [0u64; 8]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: plain C data for which all-zero is valid; all that the message points to lives for the call.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&room) as _;
        let len = libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0);
        assert!(len > 0, "{}", std::io::Error::last_os_error());
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!header.is_null(), "no descriptor: {:x?}", &bytes[..len as usize]);
        (bytes[..len as usize].to_vec(), libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
    }
}

/// Another client, which works all the time, and in the end has everything it had.
pub(crate) fn undisturbed(server: &Running, mischief: impl FnOnce()) {
    let manager = server.client();
    let list = List::<u64>::anonymous(&manager).unwrap();
    let lock = Lock::anonymous(&manager).unwrap();
    let guard = lock.lock().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let pushed = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut pushed = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                list.push(&pushed).unwrap();
                pushed += 1;
            }
            pushed
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(mischief));
        done.store(true, std::sync::atomic::Ordering::Release);
        let pushed = worker.join().unwrap();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        pushed
    });
    assert!(list.iter().map(Result::unwrap).eq(0..pushed));
    guard.unlock().unwrap();
    drop((list, lock));
    eventually("nothing is left of anybody", || manager.stats().unwrap().objects == 0);
}
