//! Who may enter, and how much room there is.

use std::io::ErrorKind;

use super::place::{Place, file_of};
use super::{Promise, promised};
use crate::sys::{self, DirFault, Draft, Trust};

#[test]
fn a_directory_is_made_only_when_that_is_wanted() {
    let path = Place::unmade();
    let missing = sys::prepare_directory(&path, Trust::Owner, false);
    assert!(matches!(missing, Err(DirFault::Io(error)) if error.kind() == ErrorKind::NotFound));
    for _ in 0..2 {
        sys::prepare_directory(&path, Trust::Owner, true).unwrap();
        sys::prepare_directory(&path, Trust::Owner, false).unwrap();
    }
    assert!(sys::list(&path).unwrap().is_empty());
    let _ = std::fs::remove_dir(&path);
}

#[test]
fn wider_trusts_work_or_are_refused() {
    for trust in [Trust::Group, Trust::Anyone] {
        let path = Place::unmade();
        let outcome = sys::prepare_directory(&path, trust, true);
        if promised(Promise::WiderTrust) {
            outcome.unwrap();
            let wanted = crate::sys::NewFile { trust, ..file_of(4096, 5) };
            Draft::create(&path, &wanted).unwrap().0.publish("object").unwrap();
        } else {
            assert!(matches!(outcome, Err(DirFault::Io(error)) if error.kind() == ErrorKind::Unsupported));
        }
        let _ = std::fs::remove_dir_all(&path);
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    if !promised(Promise::RefusesUntrusted) {
        return;
    }
    let place = Place::new();
    for mode in [0o777, 0o770, 0o1777] {
        std::fs::set_permissions(&*place, std::fs::Permissions::from_mode(mode)).unwrap();
        for create in [false, true] {
            let refused = sys::prepare_directory(&place, Trust::Owner, create);
            assert!(matches!(refused, Err(DirFault::Untrusted(why)) if why.mode == mode), "{mode:o}");
        }
    }
    let file = place.join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(sys::prepare_directory(&file, Trust::Owner, false), Err(DirFault::Untrusted(_))));
    let link = place.join("link");
    std::fs::set_permissions(&*place, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&*place, &link).unwrap();
    assert!(matches!(sys::prepare_directory(&link, Trust::Owner, true), Err(DirFault::Untrusted(_))));
}

#[test]
fn memory_that_is_not_there_is_an_error_and_leaves_nothing() {
    if !promised(Promise::NoSpaceIsAnError) {
        return;
    }
    let place = Place::new();
    let refused = |len| Draft::create(&place, &file_of(len, 5)).err().map(|error| error.kind());
    for len in [1 << 45, 1 << 55, i64::MAX as u64 - 4095, u64::MAX] {
        let kind = refused(len);
        assert!(matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::FileTooLarge)), "{len:#x}: {kind:?}");
    }
    assert_eq!(place.names(), [""; 0]);
    assert_eq!(sys::collect_remains(&place).unwrap(), [""; 0]);
    place.publish("object", 5).unwrap();
}
