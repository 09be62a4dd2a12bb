//! `SharedMemory`: raw bytes by name, and bytes of other programs.

use std::sync::atomic::{AtomicU64, Ordering};

use procshare::{Error, Handle, Lifetime, LockArray, SharedMemory};

use crate::foreign::{PosixSegment, Python};
use crate::support::{Signal, TestSpace, fork, watchdog};

#[test]
fn bytes_travel_between_processes() {
    let home = TestSpace::new();
    let memory = SharedMemory::create(&home.path("memory"), 10_001).unwrap();
    assert_eq!(memory.len(), 10_001);
    assert!(memory.to_vec().iter().all(|&byte| byte == 0));
    let pattern: Vec<u8> = (0..10_001u32).map(|at| (at * 7 / 3) as u8).collect();
    fork(|| SharedMemory::open(&home.path("memory")).unwrap().write(0, &pattern).unwrap()).join();
    assert_eq!(memory.to_vec(), pattern);
    for (at, len) in [(0, 0), (1, 1), (3, 8), (4095, 300), (9_999, 2), (10_001, 0)] {
        let mut to = vec![0; len];
        memory.read(at, &mut to).unwrap();
        assert_eq!(to, pattern[at..at + len]);
        memory.write(at, &vec![9; len]).unwrap();
        memory.read(at, &mut to).unwrap();
        assert!(to.iter().all(|&byte| byte == 9));
        memory.write(at, &pattern[at..at + len]).unwrap();
        assert_eq!(memory.to_vec(), pattern, "neighbours changed at {at}+{len}");
    }
    memory.fill(0xa5).unwrap();
    assert_eq!(memory.to_vec(), [0xa5; 10_001]);
    memory.flush().unwrap();
}

#[test]
fn ranges_and_sizes_are_checked() {
    let home = TestSpace::new();
    let memory = SharedMemory::create(&home.path("memory"), 10).unwrap();
    for (at, len) in [(10, 1), (11, 0), (0, 11), (9, 2), (usize::MAX, 1), (usize::MAX, 0)] {
        let mut bytes = vec![1; len];
        let error = memory.read(at, &mut bytes).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { start, len: 10, .. } if start == at), "{error}");
        assert!(matches!(memory.write(at, &bytes), Err(Error::OutOfRange { .. })));
    }
    assert_eq!(memory.to_vec(), [0; 10]);
    for size in [0, usize::MAX, isize::MAX as usize] {
        let error = SharedMemory::create(&home.path("x"), size).unwrap_err();
        assert!(matches!(error, Error::BadSize { what: "bytes", .. }), "{error}");
    }
    assert!(matches!(SharedMemory::create(&home.path("x"), 1 << 50), Err(Error::NoSpace { .. })));
    assert!(matches!(SharedMemory::open(&home.path("x")), Err(Error::NotFound { .. })));
    assert_eq!(SharedMemory::open_or_create(&home.path("memory"), 99).unwrap().len(), 10);
}

#[test]
fn a_read_only_handle_reads_and_is_refused_everything_else() {
    let home = TestSpace::new();
    let memory = SharedMemory::create(&home.path("memory"), 100).unwrap();
    let reader = SharedMemory::builder().read_only(true).open(&home.path("memory")).unwrap();
    memory.write(5, b"hello").unwrap();
    assert_eq!(&reader.to_vec()[5..10], b"hello");
    assert!(matches!(reader.write(0, b"x"), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.write(0, b""), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.fill(0), Err(Error::ReadOnly { .. })));
    assert!(matches!(reader.as_mut_ptr(), Err(Error::ReadOnly { .. })));
    // SAFETY: nobody writes byte 5 meanwhile.
    assert_eq!(unsafe { reader.as_ptr().add(5).read_volatile() }, b'h');
}

#[test]
fn other_kinds_are_refused() {
    let home = TestSpace::new();
    let _memory = SharedMemory::create(&home.path("memory"), 1000).unwrap();
    let _locks = LockArray::create(&home.path("locks"), 3).unwrap();
    assert!(matches!(LockArray::open(&home.path("memory")), Err(Error::WrongKind { .. })));
    assert!(matches!(SharedMemory::open(&home.path("locks")), Err(Error::WrongKind { .. })));
}

#[test]
fn the_address_serves_protocols_of_the_users_own() {
    let memory = SharedMemory::builder().anonymous(64).unwrap();
    let first = memory.as_mut_ptr().unwrap().cast::<AtomicU64>();
    assert_eq!(first.addr() % 256, 0);
    assert_eq!(first.cast_const().cast(), memory.as_ptr());
    // SAFETY: the first eight bytes are used as an atomic by everybody.
    let counter = unsafe { &*first };
    let text = serde_json::to_string(&memory).unwrap();
    let child = fork(|| {
        let handle: Handle<SharedMemory> = serde_json::from_str(&text).unwrap();
        let same = handle.attach().unwrap();
        // SAFETY: as in the parent.
        let counter = unsafe { &*same.as_mut_ptr().unwrap().cast::<AtomicU64>() };
        for _ in 0..10_000 {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..10_000 {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    child.join();
    assert_eq!(counter.load(Ordering::Relaxed), 20_000);
}

#[test]
fn a_killed_writer_leaves_old_and_new_bytes_and_no_others() {
    let _watchdog = watchdog();
    let memory = SharedMemory::anonymous(1 << 20).unwrap();
    for round in 0..20u8 {
        memory.fill(round).unwrap();
        let ready = Signal::new();
        let child = fork(|| {
            ready.send();
            loop {
                memory.write(1, &vec![round; (1 << 20) - 2]).unwrap();
                memory.write(1, &vec![!round; (1 << 20) - 2]).unwrap();
            }
        });
        ready.wait();
        while memory.to_vec()[1] == round {
            std::thread::yield_now();
        }
        child.kill();
        let seen = memory.to_vec();
        assert!(seen.iter().all(|&byte| byte == round || byte == !round));
        assert_eq!((seen[0], seen[(1 << 20) - 1]), (round, round), "it left its range");
    }
}

#[test]
fn scoped_memory_goes_with_its_last_user_even_when_that_is_killed() {
    let _watchdog = watchdog();
    let home = TestSpace::new();
    let path = home.path("memory");
    let ready = Signal::new();
    let child = fork(|| {
        let _memory = SharedMemory::builder().lifetime(Lifetime::Scoped).create(&path, 8).unwrap();
        ready.send();
        crate::support::sleep_for_ever();
    });
    ready.wait();
    let memory = SharedMemory::open(&path).unwrap();
    child.kill();
    assert_eq!(SharedMemory::open(&path).unwrap().len(), 8, "it still has a user");
    drop(memory);
    assert!(matches!(SharedMemory::open(&path), Err(Error::NotFound { .. })));
}

#[test]
fn segments_of_c_programs_are_adopted_and_left_to_them() {
    let segment = PosixSegment::holding(b"made in C");
    let memory = SharedMemory::adopt(segment.os_id()).unwrap();
    assert_eq!((memory.len(), memory.os_id()), (9, segment.os_id()));
    assert_eq!(memory.to_vec(), b"made in C");
    let unslashed = SharedMemory::adopt(segment.os_id().strip_prefix('/').unwrap()).unwrap();
    unslashed.write(8, b"D").unwrap();
    assert_eq!(segment.read(9), b"made in D");
    assert!(matches!(memory.write(8, b"xy"), Err(Error::OutOfRange { len: 9, .. })));
    let address = memory.as_mut_ptr().unwrap();
    // SAFETY: nobody else uses the segment now.
    unsafe { address.write_volatile(b'M') };
    assert_eq!(segment.read(9), b"Made in D");
    std::thread::scope(|scope| {
        scope.spawn(|| memory.fill(b'x').unwrap());
    });
    drop((memory.clone(), unslashed));
    assert!(segment.exists(), "an adopter removed it");
    segment.unlink();
    assert_eq!(memory.to_vec(), b"xxxxxxxxx");
    assert!(matches!(SharedMemory::adopt(segment.os_id()), Err(Error::NotFound { .. })));
}

#[test]
fn segments_of_the_shared_memory_crate_are_adopted() {
    let theirs = shared_memory::ShmemConf::new().size(4096).create().unwrap();
    let ours = SharedMemory::adopt(theirs.get_os_id()).unwrap();
    ours.write(4000, b"hello").unwrap();
    // SAFETY: nobody writes meanwhile.
    assert_eq!(unsafe { &theirs.as_slice()[4000..4005] }, b"hello");
    drop(theirs); // their owner removes it
    assert!(matches!(SharedMemory::adopt("/procshare-none"), Err(Error::NotFound { .. })));
    let mut five = [0; 5];
    ours.read(4000, &mut five).unwrap();
    assert_eq!(&five, b"hello");
}

#[test]
fn what_cannot_be_adopted_is_refused_with_its_reason() {
    let empty = PosixSegment::create(0);
    let error = SharedMemory::adopt(empty.os_id()).unwrap_err();
    assert!(matches!(error, Error::NotASegment { what: "length", .. }), "{error}");
    let long = "x".repeat(255);
    for name in ["", "/", "a/b", "../x", "..", ".", "//a", "a\0b", &long] {
        let error = SharedMemory::adopt(name).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{name:?}: {error}");
    }
    if cfg!(target_os = "linux") {
        let home = TestSpace::new();
        let path = home.path("");
        let directory = path.strip_prefix("/dev/shm").unwrap().trim_matches('/');
        let error = SharedMemory::adopt(directory).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. }), "{error}");
    }
}

#[test]
fn pythons_shared_memory_is_adopted_and_left_to_it() {
    let _watchdog = watchdog();
    let Some(mut python) = Python::start() else { return };
    let name = python.run("m = shared_memory.SharedMemory(create=True, size=5000); print(m.name)");
    let memory = SharedMemory::adopt(&name).unwrap();
    assert_eq!(memory.len(), 5000);
    python.run("m.buf[4990:5000] = b'from there'");
    assert_eq!(&memory.to_vec()[4990..], b"from there");
    memory.write(0, b"from here").unwrap();
    assert_eq!(python.run("print(bytes(m.buf[:9]))"), "b'from here'");
    drop(memory);
    assert_eq!(SharedMemory::adopt(&name).unwrap().len(), 5000, "an adopter removed it");
    python.run("m.close(); m.unlink()");
    assert!(matches!(SharedMemory::adopt(&name), Err(Error::NotFound { .. })));
}
