//! Programs of different backends meet in one directory: they are told, and never share anything.

use std::path::PathBuf;

use procshare::simulation::overwrite;
use procshare::{Error, Lock, Space, backend};

/// Where a header says which backend it is of; `docs/layout.md` says the same.
const BACKEND_AT: usize = 12;

/// Every other backend, and one that does not exist yet.
fn others() -> impl Iterator<Item = (u32, &'static str)> {
    let all = [(1, "linux"), (2, "portable"), (3, "heap"), (77, "number 77")];
    all.into_iter().filter(|(_, name)| *name != backend())
}

struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        Place(std::env::temp_dir().join(format!("procshare-backend-{test}-{}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn assert_wrong<T: std::fmt::Debug>(outcome: Result<T, Error>, other: &str) {
    match outcome {
        Err(Error::WrongBackend { expected, found, .. }) => {
            assert_eq!((expected, &*found), (backend(), other))
        }
        outcome => panic!("{other}: {outcome:?}"),
    }
}

#[test]
fn a_build_has_one_backend() {
    let expected = match (cfg!(feature = "heap"), cfg!(feature = "portable")) {
        (true, false) => "heap",
        (false, true) => "portable",
        _ if cfg!(target_os = "linux") => "linux",
        _ => "portable",
    };
    assert_eq!(backend(), expected);
}

#[test]
fn an_object_of_another_backend_is_refused() {
    let place = Place::new("object");
    let space = Space::at(&place.0).open_or_create().unwrap();
    drop(Lock::builder().space(&space).create("jobs").unwrap());
    for (code, name) in others() {
        overwrite(&place.0.join("jobs"), BACKEND_AT, &code.to_ne_bytes()).unwrap();
        assert_wrong(Lock::builder().space(&space).open("jobs"), name);
    }
}

/// What another build left is files: they begin with the header, whatever follows.
#[test]
#[cfg_attr(all(feature = "heap", not(feature = "portable")), ignore = "its spaces are no directories")]
fn files_of_another_build_are_refused() {
    let place = Place::new("files");
    let space = Space::at(&place.0).open_or_create().unwrap();
    drop(Lock::builder().space(&space).create("jobs").unwrap());
    for (code, name) in others() {
        let foreign = Place::new(&format!("files-{code}"));
        std::fs::create_dir(&foreign.0).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&foreign.0, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for (from, to) in [("jobs", place.0.join("theirs")), (".registry", foreign.0.join(".registry"))] {
            let mut file = std::fs::read(place.0.join(from)).unwrap();
            // Two builds' files have nothing in common but the header.
            file.truncate(256);
            file.extend([0xa5; 1000]);
            file[BACKEND_AT..BACKEND_AT + 4].copy_from_slice(&code.to_ne_bytes());
            std::fs::write(to, file).unwrap();
        }
        assert_wrong(Lock::builder().space(&space).open("theirs"), name);
        assert_wrong(Space::at(&foreign.0).open(), name);
        assert_wrong(Space::at(&foreign.0).open_or_create(), name);
        std::fs::remove_file(place.0.join("theirs")).unwrap();
    }
    assert!(Lock::builder().space(&space).open("jobs").is_ok());
}
