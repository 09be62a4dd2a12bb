//! Files that somebody else made, or that went bad.

use procshare::inspect::{Form, Inspector, spaces};
use procshare::{Error, Lock, Trust};

use crate::Place;

/// A small generator with a fixed seed: the cases are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
#[cfg_attr(
    any(feature = "portable", feature = "heap"),
    ignore = "an object's bytes are not in its file there"
)]
fn foreign_and_damaged_files_are_listed_with_the_reason() {
    let place = Place::new("foreign");
    let space = place.space();
    drop(Lock::builder().space(&space).create("good").unwrap());
    let at = |name: &str| place.path().join(name);
    std::fs::write(at("empty"), b"").unwrap();
    std::fs::write(at("short"), b"procshr\n").unwrap();
    std::fs::write(at("zeros"), [0; 4096]).unwrap();
    std::fs::write(at("not ours!\n"), b"x").unwrap();
    std::fs::write(at(".tmp-00000000000000000000000000000000"), b"").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
    let whole = std::fs::read(at("good")).unwrap();
    let mut other = whole.clone();
    other[8] = 99;
    std::fs::write(at("version"), &other).unwrap();
    other[8] = whole[8];
    other[16] = 77;
    std::fs::write(at("kind"), &other).unwrap();
    std::fs::write(at("truncated"), &whole[..whole.len() - 1]).unwrap();

    let list = Inspector::open(place.path(), Trust::Owner).unwrap().list().unwrap();
    let entry = |name: &str| list.iter().find(|entry| entry.name == name).expect(name);
    assert_eq!(list.len(), 11);
    assert!(entry("good").content.is_ok());
    for name in ["empty", "short", "zeros", "kind", "truncated", "directory"] {
        let content = &entry(name).content;
        assert!(matches!(content, Err(Error::NotASegment { .. })), "{name}: {content:?}");
    }
    assert!(matches!(entry("version").content, Err(Error::WrongVersion { found: 99, .. })));
    assert!(matches!(entry("link").content, Err(Error::NotASegment { .. })));
    assert_eq!(entry("not ours!\\n").form, Form::Foreign);
    assert!(matches!(entry("not ours!\\n").content, Err(Error::BadName { .. })));
    assert_eq!(entry(".tmp-00000000000000000000000000000000").form, Form::Unpublished);
    for entry in &list {
        let json = serde_json::to_value(entry).unwrap();
        assert_eq!(json.get("error").is_some(), entry.content.is_err());
        assert_eq!(json.get("kind").is_some(), entry.content.is_ok());
    }
}

#[test]
fn a_damaged_registry_hides_names_and_nothing_else() {
    let place = Place::new("registry");
    let space = place.space();
    let lock = Lock::builder().space(&space).create("l").unwrap();
    let _guard = lock.lock().unwrap();
    let registry = place.path().join(".registry");
    let mut bytes = std::fs::read(&registry).unwrap();
    bytes[256..260].copy_from_slice(&u32::MAX.to_ne_bytes());
    // A copy beside it takes its place, as a broken restore would: the live one stays whole for its users.
    std::fs::write(place.path().join(".copy"), &bytes).unwrap();
    std::fs::rename(place.path().join(".copy"), &registry).unwrap();
    let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
    assert!(matches!(inspector.registry_fault(), Some(Error::NotASegment { .. })));
    assert!(matches!(inspector.participants(), Err(Error::NotASegment { .. })));
    let list = inspector.list().unwrap();
    assert_eq!((list.len(), list[0].attached.len()), (1, 1));
    assert_eq!(list[0].attached[0].pid, None);
    assert!(inspector.detail("l").is_ok());
}

#[test]
#[cfg_attr(
    any(feature = "portable", feature = "heap"),
    ignore = "an object's bytes are not in its file there"
)]
fn random_bytes_behind_a_valid_header_never_do_harm() {
    let place = Place::new("random");
    let space = place.space();
    drop(Lock::builder().space(&space).create("seed").unwrap());
    let whole = std::fs::read(place.path().join("seed")).unwrap();
    let registry = std::fs::read(place.path().join(".registry")).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let mut bytes = whole.clone();
        for byte in &mut bytes[256..] {
            *byte = random.next() as u8;
        }
        // Now and then the header, too; and every kind there may ever be.
        bytes[16..20].copy_from_slice(&(round as u32 % 40 + 1).to_ne_bytes());
        if round % 3 == 0 {
            let at = random.next() as usize % 256;
            bytes[at] = random.next() as u8;
        }
        std::fs::write(place.path().join("hostile"), &bytes).unwrap();
        let mut slots = registry.clone();
        for byte in &mut slots[320..] {
            *byte = random.next() as u8;
        }
        std::fs::write(place.path().join(".new"), &slots).unwrap();
        std::fs::rename(place.path().join(".new"), place.path().join(".registry")).unwrap();
        let inspector = Inspector::open(place.path(), Trust::Owner).unwrap();
        assert!(inspector.participants().unwrap().is_empty());
        let entry = inspector.entry("hostile").unwrap();
        serde_json::to_string(&entry).unwrap();
        match inspector.detail("hostile") {
            Ok(facts) => drop(serde_json::to_string(&facts).unwrap()),
            Err(error) => {
                assert!(entry.content.is_err() || matches!(error, Error::NotASegment { .. }), "{error}")
            }
        }
    }
}

#[test]
fn an_untrusted_directory_is_refused() {
    let place = Place::new("trust");
    drop(place.space());
    let open = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.path(), mode).unwrap();
    };
    open(0o777);
    assert!(matches!(Inspector::open(place.path(), Trust::Owner), Err(Error::UntrustedDirectory { .. })));
    // The portable backend's memory belongs to one user, whatever the directory allows.
    assert_eq!(Inspector::open(place.path(), Trust::Anyone).is_ok(), procshare::backend() == "linux");
    open(0o700);
}

#[test]
fn the_users_spaces_are_found() {
    let name = format!("inspect-found-{}", std::process::id());
    let space = procshare::Space::named(&name).unwrap().open_or_create().unwrap();
    let found = spaces().unwrap();
    let mine = found.iter().find(|found| found.name == name).unwrap();
    assert_eq!(mine.directory, space.directory());
    assert_eq!(mine.space.as_ref().unwrap().name(), name);
    std::fs::remove_dir_all(space.directory()).unwrap();
}
