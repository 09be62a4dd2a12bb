//! What only this backend has: steps between which its makers and removers can die, and links that can be damaged.

use std::ffi::OsStr;
use std::fs::{create_dir, create_dir_all, hard_link, remove_dir_all, write};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::attachment::Attachment;
use super::link::{Found, Link, read};
use super::memory::{Key, Memory, erase};
use super::{collect_remains, file, ledger, list, os, seat};
use crate::sys::{Access, FRONT, Held, NewFile, ProcessLock, Trust};

/// A directory, removed at the end with the memory of its objects.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("procshare-portable-test-{}", Key::random()));
        super::prepare_directory(&path, Trust::Owner, true).unwrap();
        Place(path)
    }

    /// Takes the first steps of making `object`, as many as said, and dies.
    fn make(&self, steps: u32) -> Key {
        let (key, directory) = (Key::random(), self.0.as_path());
        let link = Link { key, len: 4096 };
        let complete = directory.join(format!("{}{key}", file::COMPLETE));
        let intent = directory.join(format!("{}{key}", file::TEMPORARY));
        let dead: [&dyn Fn(); 8] = [
            &|| write(&intent, "").unwrap(),
            &|| super::attachment::found(directory, key).unwrap(),
            &|| write(directory.join(format!(".at/{key}/0000004d-0")), "").unwrap(),
            &|| ledger::enter(key, directory).unwrap(),
            &|| drop(Memory::create(key, link.len, link.len).unwrap()),
            &|| write(&complete, link.encode(&[7; FRONT])).unwrap(),
            &|| hard_link(&complete, directory.join("object")).unwrap(),
            &|| std::fs::remove_file(&complete).unwrap(),
        ];
        dead.iter().take(steps as usize).for_each(|step| step());
        key
    }

    /// An object that nobody is attached to.
    fn object(&self) -> Key {
        let key = self.make(8);
        assert_eq!(collect_remains(&self.0).unwrap().len(), 1);
        key
    }

    fn open(&self) -> std::io::Result<file::Region> {
        file::open(&self.0, OsStr::new("object"), Access::ReadWrite, Some(5))
    }

    /// Whether nothing is left of `key`.
    fn is_clean(&self, key: Key) -> bool {
        let gone = Memory::open(key, 4096).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        gone && list(&self.0).unwrap().is_empty() && !self.0.join(format!(".at/{key}")).exists()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove_dir_all(&self.0);
        ledger::sweep();
    }
}

#[test]
fn whatever_a_maker_left_is_an_object_or_nothing() {
    for steps in 1..=8 {
        let place = Place::new();
        let key = place.make(steps);
        let removed = collect_remains(&place.0).unwrap();
        assert_eq!(removed, [format!("{}{key}", file::TEMPORARY)], "step {steps}");
        if steps < 7 {
            assert!(place.is_clean(key), "step {steps}: {:?}", list(&place.0));
        } else {
            assert_eq!(list(&place.0).unwrap(), ["object"]);
            assert_eq!(place.open().unwrap().id().inode, key.0);
        }
        assert_eq!(collect_remains(&place.0).unwrap(), [""; 0]);
    }
}

#[test]
fn a_removal_that_was_begun_is_finished_by_whoever_comes() {
    let begun: [fn(&Place, Key); 3] = [
        |place, key| remove_dir_all(place.0.join(format!(".at/{key}"))).unwrap(),
        |_, key| erase(key),
        |place, key| {
            remove_dir_all(place.0.join(format!(".at/{key}"))).unwrap();
            erase(key);
        },
    ];
    let finish: [fn(&Place); 3] = [
        |place| assert_eq!(place.open().err().map(|error| error.kind()), Some(ErrorKind::NotFound)),
        |place| assert!(file::remove_if_unattached(&place.0, OsStr::new("object"), |_| true).unwrap()),
        |place| file::remove(&place.0, OsStr::new("object")).unwrap(),
    ];
    for begin in begun {
        for finish in finish {
            let place = Place::new();
            let key = place.object();
            begin(&place, key);
            finish(&place);
            assert!(place.is_clean(key));
        }
    }
}

#[test]
fn names_on_their_way_arrive() {
    let place = Place::new();
    let key = place.object();
    let object = place.0.join("object");
    std::fs::rename(&object, place.0.join(format!("{}0-object", file::ASIDE))).unwrap();
    assert_eq!(collect_remains(&place.0).unwrap().len(), 1);
    assert_eq!(place.open().unwrap().id().inode, key.0, "set aside by a remover that died: put back");
    // A name that was taken meanwhile stays its new owner's.
    hard_link(&object, place.0.join(format!("{}0-object", file::ASIDE))).unwrap();
    assert_eq!(collect_remains(&place.0).unwrap().len(), 1);
    assert_eq!(list(&place.0).unwrap(), ["object"]);
    std::fs::rename(&object, place.0.join(format!("{}0", file::DELETED))).unwrap();
    assert_eq!(collect_remains(&place.0).unwrap().len(), 1);
    assert!(place.is_clean(key), "deleted by a remover that died: deleted");
}

#[test]
fn memory_out_of_reach_is_not_given_up_while_somebody_lives() {
    let place = Place::new();
    let key = place.object();
    let living = Attachment::new(&place.0, key, 9).unwrap();
    erase(key);
    assert_eq!(place.open().err().map(|error| error.kind()), Some(ErrorKind::Other));
    assert_eq!(list(&place.0).unwrap(), ["object"]);
    drop(living);
    assert_eq!(place.open().err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert!(place.is_clean(key));
}

#[test]
fn a_registry_out_of_reach_is_not_given_up_while_somebody_lives() {
    let place = Place::new();
    let key = place.object();
    let registry = place.0.join("object");
    let seat = {
        let _lock = ProcessLock::take();
        seat::Seat::take(&registry, file::file_id(&registry).unwrap(), 0..1).unwrap().unwrap()
    };
    erase(key);
    let open = || file::open(&place.0, OsStr::new("object"), Access::ReadWrite, None).err();
    assert_eq!(open().map(|error| error.kind()), Some(ErrorKind::Other));
    drop(seat);
    assert_eq!(open().map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert!(place.is_clean(key));
}

#[test]
fn a_lost_registry_is_made_anew_by_whoever_comes_first() {
    const NEWCOMERS: u32 = 8;
    for _ in 0..40 {
        let place = Place::new();
        erase(place.object());
        let start = std::sync::Barrier::new(NEWCOMERS as usize);
        let newcomer = |slot| {
            start.wait();
            let found = find_or_make(&place.0);
            let _lock = ProcessLock::take();
            let registry = place.0.join("object");
            (found.id(), seat::Seat::take(&registry, found.id(), slot..slot + 1).unwrap().unwrap())
        };
        let seats: Vec<_> = std::thread::scope(|scope| {
            let newcomers: Vec<_> = (0..NEWCOMERS).map(|slot| scope.spawn(move || newcomer(slot))).collect();
            newcomers.into_iter().map(|newcomer| newcomer.join().unwrap()).collect()
        });
        assert!(seats.iter().all(|(id, _)| *id == seats[0].0), "all came to the same registry");
    }
}

/// The registry `object`, made here if there is none.
fn find_or_make(directory: &Path) -> file::Region {
    let wanted = NewFile { len: 4096, backed: 4096, trust: Trust::Owner, mode: None, id: 1 };
    loop {
        match file::open(directory, OsStr::new("object"), Access::ReadWrite, None) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found.unwrap(),
        }
        let (draft, region) = file::Draft::create(directory, &wanted).unwrap();
        match draft.publish("object") {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            published => return published.map(|()| region).unwrap(),
        }
    }
}

#[test]
fn a_deleted_directory_leaves_no_memory() {
    let place = Place::new();
    let key = place.object();
    let region = place.open().unwrap();
    ledger::sweep();
    assert!(Memory::open(key, 4096).is_ok(), "the directory is there");
    remove_dir_all(&place.0).unwrap();
    ledger::sweep();
    assert!(Memory::open(key, 4096).is_err_and(|error| error.kind() == ErrorKind::NotFound));
    // Whoever has it mapped keeps it.
    assert_eq!(region.len(), 4096);
}

#[test]
fn places_of_attachments_without_an_object_are_closed() {
    let place = Place::new();
    let key = Key::random();
    create_dir_all(place.0.join(".at")).unwrap();
    create_dir(place.0.join(format!(".at/{key}"))).unwrap();
    let living = Attachment::new(&place.0, key, 9).unwrap();
    collect_remains(&place.0).unwrap();
    assert!(place.0.join(format!(".at/{key}")).exists());
    drop(living);
    collect_remains(&place.0).unwrap();
    assert!(!place.0.join(format!(".at/{key}")).exists());
}

#[test]
fn a_damaged_link_is_no_link() {
    let whole = Link { key: Key(0x0123_4567_89ab_cdef), len: 4096 }.encode(&[7; 100]);
    let is_link = |bytes: &[u8]| Link::parse(bytes).map(|link| (link.key.0, link.len));
    let right = Some((0x0123_4567_89ab_cdef, 4096));
    assert_eq!(is_link(&whole), right);
    for len in 0..whole.len() {
        assert_eq!(is_link(&whole[..len]), None);
    }
    assert_eq!(is_link(&[&whole[..], &[0]].concat()), None);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit / 8 < FRONT { right } else { None };
        assert_eq!(is_link(&damaged), expected, "bit {bit}");
    }
}

#[test]
fn what_is_no_link_is_shown_as_it_is() {
    let place = Place::new();
    let path = place.0.join("link");
    let whole = Link { key: Key(1), len: 4096 }.encode(&[7; 100]);
    let shown = |bytes: &[u8]| {
        write(&path, bytes).unwrap();
        match read(&path).unwrap() {
            Found::Link(_) => None,
            Found::Foreign(front) => Some(front),
        }
    };
    assert_eq!(shown(&whole), None);
    assert_eq!(shown(&whole[..whole.len() - 1]).unwrap(), whole[..FRONT]);
    assert_eq!(shown(&[whole.clone(), whole].concat()).unwrap().len(), FRONT);
    assert_eq!(shown(b"short").unwrap(), b"short");
    assert!(shown(b"").unwrap().is_empty());
}

#[test]
fn those_who_ask_at_once_do_not_take_each_other_for_a_holder() {
    let place = Place::new();
    place.object();
    let registry = place.0.join("object");
    let id = file::file_id(&registry).unwrap();
    {
        let _lock = ProcessLock::take();
        drop(seat::Seat::take(&registry, id, 0..1).unwrap());
    }
    let prober = seat::Prober::new(&registry, id).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| assert_eq!(prober.probe(0).unwrap(), Held::No)));
        }
    });
    assert_eq!(
        prober.probe(1).err().map(|error| error.kind()),
        Some(ErrorKind::NotFound),
        "never used: unknown"
    );
}

#[test]
fn kept_files_are_forgotten_and_used_again() {
    let place = Place::new();
    let path: &Path = &place.0.join("file");
    let _lock = ProcessLock::take();
    for _ in 0..3 {
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        file.try_lock().unwrap();
        let kept = os::Kept::new(file);
        let other = std::fs::File::open(path).unwrap();
        assert!(matches!(other.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)));
        drop(kept);
        other.try_lock_shared().unwrap();
    }
}
