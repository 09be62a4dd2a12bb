//! Findings about the machine, directories and spaces.

use procshare::inspect::doctor::{self, Finding, Level};
use procshare::{Lock, LockArray, Trust};

use crate::{Child, Place};

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap()
}

fn about<'a>(findings: &'a [Finding], text: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|finding| finding.check.ends_with(text)).collect()
}

#[test]
fn whatever_is_not_good_says_what_to_do() {
    let place = Place::new("advice");
    drop(place.space());
    let mut all = doctor::machine();
    all.extend(doctor::place(place.path()));
    all.extend(doctor::space(place.path(), Trust::Owner));
    for finding in all {
        assert_eq!(finding.advice.is_none(), finding.level == Level::Good, "{finding:?}");
    }
}

#[test]
fn a_memory_file_system_carries_objects_and_is_left_as_it_was() {
    let place = Place::new("place");
    drop(place.space());
    let before = place.contents();
    let findings = doctor::place(place.path());
    assert_ne!(worst(&findings), Level::Failure, "{findings:#?}");
    assert_eq!(about(&findings, " locks").len(), 1);
    assert_eq!(place.contents(), before);
}

#[test]
fn a_file_system_that_cannot_be_written_is_a_failure() {
    let findings = doctor::place("/proc/self");
    assert_eq!(worst(&findings), Level::Failure);
}

#[test]
fn remains_damage_and_dead_holders_are_found_in_a_space() {
    let place = Place::new("space");
    let space = place.space();
    assert_eq!(worst(&doctor::space(place.path(), Trust::Owner)), Level::Good);

    std::fs::write(place.path().join(".tmp-00000000000000000000000000000000"), b"").unwrap();
    std::fs::write(place.path().join("broken"), b"x").unwrap();
    std::fs::write(place.path().join("what is this"), b"x").unwrap();
    let lock = Lock::builder().space(&space).create("held").unwrap();
    drop(Child::start(|| std::mem::forget(lock.lock().unwrap())));
    let locks = LockArray::builder().space(&space).create("many", 9).unwrap();
    drop(Child::start(|| std::mem::forget(locks.lock(5).unwrap())));
    let findings = doctor::space(place.path(), Trust::Owner);
    let level = |text| about(&findings, text).iter().map(|finding| finding.level).max();
    assert_eq!(level("/.tmp-00000000000000000000000000000000"), Some(Level::Warning));
    assert_eq!(level("/broken"), Some(Level::Failure));
    assert_eq!(level("/what is this"), Some(Level::Warning));
    assert!(
        about(&findings, "/held").iter().any(|finding| finding.found.contains("is dead")),
        "{findings:#?}"
    );
}

#[test]
fn wrong_modes_and_missing_registries_are_found() {
    let place = Place::new("modes");
    drop(place.space());
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    set(place.path(), 0o755);
    let findings = doctor::space(place.path(), Trust::Owner);
    assert_eq!(about(&findings, " mode")[0].level, Level::Warning);
    set(place.path(), 0o777);
    assert_eq!(worst(&doctor::space(place.path(), Trust::Owner)), Level::Failure);
    set(place.path(), 0o700);
    std::fs::remove_file(place.path().join(".registry")).unwrap();
    let findings = doctor::space(place.path(), Trust::Owner);
    assert_eq!(about(&findings, " participants")[0].level, Level::Failure);
}
