//! Finding the calling user's spaces.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::inspector::Inspector;
use crate::error::{Error, Result};
use crate::participant::Space;
use crate::sys::{self, DirFault, Trust};

/// A directory where the calling user's spaces are.
#[derive(Debug)]
#[non_exhaustive]
pub struct FoundSpace {
    /// The space's name; characters that no space's name has are escaped.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// The space, or why it is no usable one.
    pub space: Result<Inspector>,
}

/// The calling user's spaces, by name; none if the user never had any.
///
/// # Errors
///
/// The [root](Space::root) of the user's spaces cannot be read, or is not trusted.
pub fn spaces() -> Result<Vec<FoundSpace>> {
    let root = Space::root();
    let object = || "the directory of your spaces".to_owned();
    let io = |source: std::io::Error| match source.kind() {
        ErrorKind::PermissionDenied => {
            Error::PermissionDenied { object: object(), action: "list", path: root.clone() }
        }
        _ => Error::Io { object: object(), action: "list", path: root.clone(), source },
    };
    match sys::prepare_directory(&root, Trust::Owner, false) {
        Err(DirFault::Io(source)) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(DirFault::Io(source)) => return Err(io(source)),
        Err(DirFault::Untrusted(why)) => {
            return Err(Error::UntrustedDirectory {
                path: root,
                owner: why.owner,
                mode: why.mode,
                reason: why.reason,
            });
        }
        Ok(()) => {}
    }
    let names = sys::list(&root).map_err(io)?;
    let found = names.into_iter().map(|name| FoundSpace {
        directory: root.join(&name),
        space: Inspector::named(&name.to_string_lossy()),
        name: name.as_encoded_bytes().escape_ascii().to_string(),
    });
    Ok(found.collect())
}
