//! Who both ends are: a challenge each way, which only who has the key can answer.
//!
//! | from | bytes |
//! |---|---|
//! | listener | `procshare-conn1\0`, 1 if it has a key, 32 random bytes L |
//! | client | the same words, 1 if it has a key, 32 random bytes C, the tag of `client`, L, C |
//! | listener | 1 if it agrees, the tag of `listener`, C, L |
//!
//! Tags are HMAC-SHA256 (zeros where there is no key). The roles are in them, so that none can be sent back as the other's. Both
//! ends know, before the first message, that the other has the key. Traffic is neither encrypted nor signed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::sys;

const WORDS: &[u8; 16] = b"procshare-conn1\0";
const RANDOM: usize = 32;
const TAG: usize = 32;
pub(super) const HELLO: usize = WORDS.len() + 1 + RANDOM;
pub(super) const ANSWER: usize = HELLO + TAG;
pub(super) const VERDICT: usize = 1 + TAG;

/// A secret that both ends have.
///
/// ```
/// use procshare::process::Key;
///
/// assert!(Key::new(b"correct horse battery staple").is_some());
/// assert!(Key::new(b"").is_none(), "an empty key protects nothing");
/// ```
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of these bytes; `None` if there are none. Take 32 random bytes, or a long text.
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = bytes.as_ref();
        (!bytes.is_empty()).then(|| Key(bytes.to_vec()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why the other end is not talked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doubt {
    /// It says something else at the beginning.
    Stranger,
    /// One has a key and the other has none.
    OneKey,
    /// Its key is another one.
    OtherKey,
}

/// One end of the exchange.
pub(super) struct Exchange<'a> {
    key: Option<&'a Key>,
    random: [u8; RANDOM],
}

impl<'a> Exchange<'a> {
    pub(super) fn new(key: Option<&'a Key>) -> Self {
        let mut random = [0; RANDOM];
        random[..16].copy_from_slice(&sys::random_u128().to_le_bytes());
        random[16..].copy_from_slice(&sys::random_u128().to_le_bytes());
        Exchange { key, random }
    }

    /// What each end says first.
    pub(super) fn hello(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[..16].copy_from_slice(WORDS);
        bytes[16] = u8::from(self.key.is_some());
        bytes[17..].copy_from_slice(&self.random);
        bytes
    }

    /// The random bytes of a hello.
    fn heard(&self, hello: &[u8; HELLO]) -> Result<[u8; RANDOM], Doubt> {
        if hello[..16] != WORDS[..] || hello[16] > 1 {
            return Err(Doubt::Stranger);
        }
        if hello[16] != u8::from(self.key.is_some()) {
            return Err(Doubt::OneKey);
        }
        let mut random = [0; RANDOM];
        random.copy_from_slice(&hello[17..]);
        Ok(random)
    }

    fn tag(&self, role: &[u8], first: &[u8], second: &[u8]) -> [u8; TAG] {
        let Some(key) = self.key else { return [0; TAG] };
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return [0; TAG] };
        for part in [role, first, second] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The client's answer to the listener's hello.
    pub(super) fn answer(&self, hello: &[u8; HELLO]) -> Result<[u8; ANSWER], Doubt> {
        let theirs = self.heard(hello)?;
        let mut bytes = [0; ANSWER];
        bytes[..HELLO].copy_from_slice(&self.hello());
        bytes[HELLO..].copy_from_slice(&self.tag(b"client", &theirs, &self.random));
        Ok(bytes)
    }

    /// The listener's verdict on the client's answer.
    pub(super) fn verdict(&self, answer: &[u8; ANSWER]) -> Result<[u8; VERDICT], Doubt> {
        let (hello, tag) = answer.split_first_chunk::<HELLO>().ok_or(Doubt::Stranger)?;
        let theirs = self.heard(hello)?;
        if !bool::from(self.tag(b"client", &self.random, &theirs).ct_eq(tag)) {
            return Err(Doubt::OtherKey);
        }
        let mut bytes = [0; VERDICT];
        bytes[0] = 1;
        bytes[1..].copy_from_slice(&self.tag(b"listener", &theirs, &self.random));
        Ok(bytes)
    }

    /// The client's look at the verdict.
    pub(super) fn accept(&self, hello: &[u8; HELLO], verdict: &[u8; VERDICT]) -> Result<(), Doubt> {
        let theirs = self.heard(hello)?;
        let right = self.tag(b"listener", &self.random, &theirs).ct_eq(&verdict[1..]);
        if verdict[0] == 1 && bool::from(right) { Ok(()) } else { Err(Doubt::OtherKey) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn meet(listener: Option<&Key>, client: Option<&Key>) -> Result<(), Doubt> {
        let (listener, client) = (Exchange::new(listener), Exchange::new(client));
        let hello = listener.hello();
        let verdict = listener.verdict(&client.answer(&hello)?)?;
        client.accept(&hello, &verdict)
    }

    #[test]
    fn only_equal_keys_agree() {
        let (one, other) = (Key::new(b"one").unwrap(), Key::new(b"other").unwrap());
        assert_eq!(meet(Some(&one), Some(&one)), Ok(()));
        assert_eq!(meet(None, None), Ok(()));
        assert_eq!(meet(Some(&one), Some(&other)), Err(Doubt::OtherKey));
        assert_eq!(meet(Some(&one), None), Err(Doubt::OneKey));
        assert_eq!(meet(None, Some(&one)), Err(Doubt::OneKey));
    }

    #[test]
    fn neither_old_answers_nor_ones_own_are_taken() {
        let key = Key::new(b"key").unwrap();
        let (listener, client) = (Exchange::new(Some(&key)), Exchange::new(Some(&key)));
        let answer = client.answer(&listener.hello()).unwrap();
        assert_eq!(Exchange::new(Some(&key)).verdict(&answer), Err(Doubt::OtherKey), "a recorded answer");
        // A listener that has no key asks another one for the answer to its own challenge.
        let reflected = listener.verdict(&answer).unwrap();
        let mut forged = [0; ANSWER];
        forged[..HELLO].copy_from_slice(&client.hello());
        forged[HELLO..].copy_from_slice(&reflected[1..]);
        assert_eq!(listener.verdict(&forged), Err(Doubt::OtherKey));
        for at in 0..ANSWER {
            let mut bent = answer;
            bent[at] ^= 1;
            assert!(listener.verdict(&bent).is_err(), "byte {at}");
        }
    }
}
