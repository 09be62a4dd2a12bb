//! Who may come in: a proof that both ends know a key, without any input or output.
//!
//! Each end sends a greeting with a fresh nonce, then proves by HMAC-SHA-256 that it knows the key. The proof covers its
//! own role and both greetings to the last byte: a proof cannot be sent back (the role differs), used again (the nonces
//! differ), or made to count for another protocol, version or method (they stand in the greetings).

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::key::Key;

/// How many bytes a proof has.
pub(crate) const PROOF: usize = 32;

/// Random bytes that nobody has seen.
pub(crate) fn nonce<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // No other source will do: who knows the nonces in advance can use proofs again.
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
    Ok(bytes)
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
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("HMAC takes keys of every length");
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
}
