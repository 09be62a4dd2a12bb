//! Finishing what the dead began.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::attachment::{ATTACHMENTS, Closing, close};
use super::file::{ASIDE, COMPLETE, DELETED, TEMPORARY, discard, finish_deletion, put_back};
use super::link::key_at;
use super::memory::{Key, erase};
use super::{is_held, ledger, unless_missing};
use crate::sys::list;

/// Whether a file is one that is on its way to a name, or from it.
pub(crate) fn is_remains(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [TEMPORARY, COMPLETE, DELETED, ASIDE].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// Removes what makers and removers left that died on the way; tells the file names.
pub(crate) fn collect_remains(directory: &Path) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    for file in list(directory)? {
        let Some(name) = file.to_str() else { continue };
        let path = directory.join(name);
        // What cannot be finished now is left to the next collector.
        let done = if let Some(key) = name.strip_prefix(TEMPORARY).and_then(Key::parse) {
            finish_creation(directory, &path, key).unwrap_or(false)
        } else if name.starts_with(DELETED) {
            finish_deletion(directory, &path).is_ok()
        } else if let Some((_, original)) = name.strip_prefix(ASIDE).and_then(|rest| rest.split_once('-')) {
            // Put back rather than removed: if it leads nowhere, whoever opens it next sees to that.
            let done = put_back(&path, &directory.join(original));
            done.and_then(|()| unless_missing(std::fs::remove_file(&path))).is_ok()
        } else {
            false
        };
        if done {
            removed.push(name.to_owned());
        }
    }
    close_orphans(directory)?;
    ledger::sweep();
    Ok(removed)
}

/// Cleans up after the maker of `key`, if it died.
fn finish_creation(directory: &Path, intent: &Path, key: Key) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(intent)?;
    if is_held(file.try_lock())? {
        return Ok(false);
    }
    // The maker is dead, so nobody publishes it any more: either it has its name by now or it never will.
    if !published(directory)?.contains(&key) {
        discard(directory, key)?;
    }
    unless_missing(std::fs::remove_file(directory.join(format!("{COMPLETE}{key}"))))?;
    std::fs::remove_file(intent)?;
    Ok(true)
}

/// Closes places of attachments that belong to no name, whose users are gone.
fn close_orphans(directory: &Path) -> io::Result<()> {
    let places = match list(&directory.join(ATTACHMENTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        places => places?,
    };
    let keys = places.iter().filter_map(|name| Key::parse(name.to_str()?));
    // In this order: a maker takes its intent away only when the name stands.
    let unclaimed: Vec<_> =
        keys.filter(|key| !directory.join(format!("{TEMPORARY}{key}")).exists()).collect();
    if unclaimed.is_empty() {
        return Ok(());
    }
    let published = published(directory)?;
    for key in unclaimed {
        if !published.contains(&key) && close(directory, key)? == Closing::Closed {
            erase(key);
        }
    }
    Ok(())
}

/// The memory that names lead to.
fn published(directory: &Path) -> io::Result<BTreeSet<Key>> {
    let names = list(directory)?;
    let links = names.iter().filter(|name| !name.as_encoded_bytes().starts_with(COMPLETE.as_bytes()));
    Ok(links.filter_map(|name| key_at(&directory.join(name))).collect())
}
