//! Files of other programs under the names of objects.

use std::ffi::OsStr;
use std::io::ErrorKind;

use super::place::Place;
use super::{Promise, promised};
use crate::sys::{self, Access, FRONT};

/// What an object's file begins with is what its memory begins with, so that another backend sees whose it is.
#[test]
fn the_front_is_in_the_file() {
    if !promised(Promise::RealProcesses) {
        return;
    }
    let place = Place::new();
    let (draft, region) = crate::sys::Draft::create(&place, &super::place::file_of(4096, 5)).unwrap();
    for at in 0..FRONT {
        super::place::cell(&region, at).store(at as u8 ^ 0x5a, std::sync::atomic::Ordering::Relaxed);
    }
    draft.publish("object").unwrap();
    let file = std::fs::read(place.join("object")).unwrap();
    assert!(file[..FRONT].iter().enumerate().all(|(at, &byte)| byte == at as u8 ^ 0x5a));
}

#[test]
fn foreign_files_are_shown_as_they_are_and_never_shared() {
    if !promised(Promise::RealProcesses) {
        return;
    }
    let place = Place::new();
    for len in [1, 8, 255, 256, 257, 296, 5000] {
        let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        std::fs::write(place.join("object"), &bytes).unwrap();
        let region = sys::open(&place, OsStr::new("object"), Access::ReadOnly, None).unwrap();
        let shown = region.len().min(FRONT);
        assert_eq!(shown, len.min(FRONT));
        assert!((0..shown).all(|at| super::place::byte(&region, at) == at as u8));
        drop(region);
        assert!(!sys::remove_if_unattached(&place, OsStr::new("object"), |_| false).unwrap());
        assert_eq!(std::fs::read(place.join("object")).unwrap(), bytes);
        sys::remove(&place, OsStr::new("object")).unwrap();
    }
}

#[test]
fn what_is_no_file_is_refused() {
    if !promised(Promise::RealProcesses) {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.join("object")).unwrap();
    let open = || place.open("object", 5).err().map(|error| error.kind());
    assert!(matches!(open(), Some(ErrorKind::InvalidData | ErrorKind::IsADirectory)), "{:?}", open());
    assert!(sys::remove(&place, OsStr::new("object")).is_err());
    assert!(place.join("object").is_dir());
    #[cfg(unix)]
    {
        std::fs::remove_dir(place.join("object")).unwrap();
        drop(place.publish("target", 5).unwrap());
        std::os::unix::fs::symlink("target", place.join("object")).unwrap();
        assert!(open().is_some(), "a symbolic link leads out of the directory");
        std::fs::remove_file(place.join("object")).unwrap();
        let pipe = std::ffi::CString::new(place.join("object").as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: (S1) `pipe` is a C string that lives for the call.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        assert_eq!(open(), Some(ErrorKind::InvalidData), "nobody waits for a pipe's other end");
    }
}
