//! A secret that both ends know.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::sys::sockets::{Exposure, exposure};

/// How long a key is at least: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// How long a key is at most.
const LONGEST: usize = 4096;

/// A secret that both ends of a connection know.
///
/// ```
/// use procshare::process::Key;
///
/// assert!(Key::new(*b"32 bytes that nobody can guess..").is_ok());
/// assert!(Key::new(*b"short").is_err(), "a key that can be guessed protects nothing");
/// ```
#[derive(Clone)]
pub struct Key(Vec<u8>);

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Too short to be a secret, or too long to be a key.
    #[error("the key from {origin} has {found} bytes: use {SHORTEST} to {LONGEST} random ones")]
    Length {
        /// Where it came from.
        origin: String,
        /// Its length in bytes.
        found: usize,
    },
    /// Others may read, or change, the file.
    #[error(
        "the key file {path} has mode {mode:04o}: others could read or change it; chmod 600 it, and make a new key"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else, who can read and change it.
    #[error("the key file {path} belongs to user {owner}: chown it, and make a new key")]
    Foreign {
        /// The file.
        path: String,
        /// Its owner's user id.
        owner: u32,
    },
    /// No such environment variable.
    #[error("the environment variable {name} is not set: put the key in it, or use a key file")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The file could not be read.
    #[error("the key file {path} could not be read: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Key {
    /// A key of these bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`] for fewer than 16 or more than 4096 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, KeyError> {
        Key::checked(bytes.into(), "the program")
    }

    /// A key from a file that only this user can read; white space at its end does not count.
    ///
    /// # Errors
    ///
    /// [`KeyError::Exposed`] if group or others have any right on the file; [`KeyError::Foreign`] if it belongs to another user (other
    /// than the superuser); [`KeyError::Length`]; [`KeyError::Io`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let name = || path.display().to_string();
        let file = open_secret(path)?;
        let mut bytes = Vec::new();
        let read = file.take(LONGEST as u64 + 2).read_to_end(&mut bytes);
        read.map_err(|source| KeyError::Io { path: name(), source })?;
        Key::checked(bytes.trim_ascii_end().to_vec(), &name())
    }

    /// A key from an environment variable.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotSet`], [`KeyError::Length`].
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        let value = std::env::var_os(name).ok_or_else(|| KeyError::NotSet { name: name.into() })?;
        Key::checked(value.into_encoded_bytes(), name)
    }

    /// The secret itself, for proofs.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn checked(bytes: Vec<u8>, origin: &str) -> Result<Self, KeyError> {
        if (SHORTEST..=LONGEST).contains(&bytes.len()) {
            return Ok(Key(bytes));
        }
        Err(KeyError::Length { origin: origin.into(), found: bytes.len() })
    }
}

/// Opens a file that only this user can read and change.
pub(super) fn open_secret(path: &Path) -> Result<File, KeyError> {
    let name = || path.display().to_string();
    let failed = |source| KeyError::Io { path: name(), source };
    let file = File::open(path).map_err(failed)?;
    // The opened file is asked, not its name: nobody can exchange it in between.
    match exposure(&file).map_err(failed)? {
        Some(Exposure::Mode(mode)) => Err(KeyError::Exposed { path: name(), mode }),
        Some(Exposure::Owner(owner)) => Err(KeyError::Foreign { path: name(), owner }),
        None => Ok(file),
    }
}

/// Says nothing of the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn weak_keys_are_refused() {
        assert!(matches!(Key::new([0; 15]), Err(KeyError::Length { found: 15, .. })));
        assert!(matches!(Key::new([0; 4097]), Err(KeyError::Length { found: 4097, .. })));
        assert!(!format!("{:?}", Key::new([b'k'; 32]).unwrap()).contains("kk"));
        assert!(matches!(Key::from_env("PROCSHARE_NO_SUCH_VARIABLE"), Err(KeyError::NotSet { .. })));
    }

    #[test]
    fn key_files_that_others_can_read_are_refused() {
        let path = std::env::temp_dir().join(format!("procshare-key-{}", std::process::id()));
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match Key::from_file(&path) {
                Ok(key) => assert!(good && key.0.len() == 32, "{mode:o}"),
                Err(KeyError::Exposed { mode: found, .. }) => assert!(!good && found == mode),
                Err(other) => panic!("{mode:o}: {other}"),
            }
        }
        // Only the superuser can give files away; nobody else can be handed one.
        if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(Key::from_file(&path), Err(KeyError::Foreign { owner: 12345, .. })));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Key::from_file(&path), Err(KeyError::Io { .. })));
    }
}
