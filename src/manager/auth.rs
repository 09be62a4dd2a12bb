//! Who may come in: a proof that both ends know a key, without any input or output.
//!
//! Each end sends a greeting with a fresh nonce, then proves by HMAC-SHA-256 that it knows the key. The proof covers its
//! own role and both greetings to the last byte: a proof cannot be sent back (the role differs), used again (the nonces
//! differ), or made to count for another version or method (they stand in the greetings).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How many bytes a proof has.
pub(crate) const PROOF: usize = 32;

/// How long a key is at least: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// How long a key is at most.
const LONGEST: usize = 4096;

/// A secret that server and clients share.
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

    /// A key from a file that only its owner can read; white space at its end does not count.
    ///
    /// # Errors
    ///
    /// [`KeyError::Exposed`] if group or others have any right on the file; [`KeyError::Length`]; [`KeyError::Io`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let name = || path.display().to_string();
        let failed = |source| KeyError::Io { path: name(), source };
        let mut file = File::open(path).map_err(failed)?;
        // The opened file is asked, not its name: nobody can exchange it in between.
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: name(), mode });
        }
        let mut bytes = Vec::new();
        file.by_ref().take(LONGEST as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
        Key::checked(bytes.trim_ascii_end().to_vec(), &name())
    }

    /// A key from an environment variable.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotSet`], [`KeyError::Length`].
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        use std::os::unix::ffi::OsStringExt;
        let value = std::env::var_os(name).ok_or_else(|| KeyError::NotSet { name: name.into() })?;
        Key::checked(value.into_vec(), name)
    }

    fn checked(bytes: Vec<u8>, origin: &str) -> Result<Self, KeyError> {
        if (SHORTEST..=LONGEST).contains(&bytes.len()) {
            return Ok(Key(bytes));
        }
        Err(KeyError::Length { origin: origin.into(), found: bytes.len() })
    }
}

/// Says nothing of the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Whose proof it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// The proof that `role` knows the key, for these two greetings.
pub(crate) fn proof(key: &Key, role: Role, client_hello: &[u8], server_hello: &[u8]) -> [u8; PROOF] {
    mac(key, role, client_hello, server_hello).finalize().into_bytes().into()
}

/// Whether `found` is the proof of `role`, in a time that does not depend on how far it is right.
pub(crate) fn is_proof(
    key: &Key,
    role: Role,
    client_hello: &[u8],
    server_hello: &[u8],
    found: &[u8],
) -> bool {
    proof(key, role, client_hello, server_hello).ct_eq(found).into()
}

fn mac(key: &Key, role: Role, client_hello: &[u8], server_hello: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of every length");
    mac.update(match role {
        Role::Client => b"procshare client proof\0",
        Role::Server => b"procshare server proof\0",
    });
    for greeting in [client_hello, server_hello] {
        // With lengths, so that no two pairs of greetings are the same bytes.
        mac.update(&(greeting.len() as u64).to_be_bytes());
        mac.update(greeting);
    }
    mac
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(vec![byte; 32]).unwrap()
    }

    #[test]
    fn the_right_proof_is_taken() {
        let made = proof(&key(1), Role::Client, b"c", b"s");
        assert!(is_proof(&key(1), Role::Client, b"c", b"s", &made));
    }

    #[test]
    fn every_other_proof_is_refused() {
        let made = proof(&key(1), Role::Client, b"c", b"s");
        assert!(!is_proof(&key(2), Role::Client, b"c", b"s", &made), "another key");
        assert!(!is_proof(&key(1), Role::Server, b"c", b"s", &made), "reflected");
        assert!(!is_proof(&key(1), Role::Client, b"c", b"S", &made), "replayed to another nonce");
        assert!(!is_proof(&key(1), Role::Client, b"C", b"s", &made), "another greeting of the client");
        assert!(!is_proof(&key(1), Role::Client, b"cs", b"", &made), "bytes moved between greetings");
        assert!(!is_proof(&key(1), Role::Client, b"c", b"s", b""), "none");
        for at in 0..PROOF {
            let mut changed = made;
            changed[at] ^= 1;
            assert!(!is_proof(&key(1), Role::Client, b"c", b"s", &changed), "byte {at}");
            assert!(!is_proof(&key(1), Role::Client, b"c", b"s", &made[..at]), "cut at {at}");
        }
    }

    /// The example in docs/protocol.md.
    #[test]
    fn the_documented_vector() {
        let key = Key::new(*b"0123456789abcdef").unwrap();
        let found: String =
            proof(&key, Role::Client, b"hello", b"world").iter().map(|byte| format!("{byte:02x}")).collect();
        let page = include_str!("../../docs/protocol.md");
        assert!(page.contains(&found), "docs/protocol.md does not have {found}");
    }

    #[test]
    fn weak_keys_are_refused() {
        assert!(matches!(Key::new([0; 15]), Err(KeyError::Length { found: 15, .. })));
        assert!(matches!(Key::new([0; 4097]), Err(KeyError::Length { found: 4097, .. })));
        assert!(!format!("{:?}", key(b'k')).contains("kk"));
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
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Key::from_file(&path), Err(KeyError::Io { .. })));
    }
}
