//! What starter and started write on their paper.
//!
//! | bytes | by | what |
//! |---|---|---|
//! | 0..8 | starter | length of the order, `n` |
//! | 8..16 | started, last of all | kind of the reply; 0 while there is none |
//! | 16..24 | started | length of the reply |
//! | 24..24 + n | starter | the order (postcard), and behind it the arguments |
//! | 24 + n.. | started | the reply |
//!
//! The paper is read by the starter once the other process has ended: a reply without its kind was not finished.

use std::io;

use serde::{Deserialize, Serialize};

use super::registry;
use super::task::Entry;
use crate::sys::children::Paper;

/// Of this file's table.
const VERSION: u32 = 2;
const FIXED: u64 = 24;

/// What to do.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
pub(super) struct Order {
    version: u32,
    build: u64,
    /// The task's place in the list of tasks: names need not differ.
    place: u32,
    pub(super) task: String,
    pub(super) signature: String,
    pub(super) name: String,
    pub(super) parent_name: String,
    pub(super) detached: bool,
}

impl Order {
    pub(super) fn new(entry: &'static Entry, name: String, parent_name: String, detached: bool) -> Self {
        Order {
            version: VERSION,
            build: registry::fingerprint(),
            place: registry::index_of(entry),
            task: entry.name.to_owned(),
            signature: entry.signature.to_owned(),
            name,
            parent_name,
            detached,
        }
    }

    /// The task, if this program is the one that was meant.
    pub(super) fn entry(&self) -> Result<&'static Entry, String> {
        if self.version != VERSION {
            return Err(format!(
                "the starter speaks version {} and this program version {VERSION}",
                self.version
            ));
        }
        let found = registry::TASKS.get(self.place as usize);
        if let Some(entry) = found.filter(|entry| self.means(entry))
            && self.build == registry::fingerprint()
        {
            return Ok(entry);
        }
        let program =
            std::env::current_exe().map_or("this program".into(), |path| path.display().to_string());
        if !registry::TASKS.iter().any(|entry| self.means(entry)) {
            return Err(format!("{program} has no task '{}' {}", self.task, self.signature));
        }
        Err(format!(
            "{program} is another build (fingerprint {:016x}, the starter has {:016x})",
            registry::fingerprint(),
            self.build
        ))
    }

    fn means(&self, entry: &Entry) -> bool {
        entry.name == self.task && entry.signature == self.signature
    }

    /// Writes the order and the arguments.
    pub(super) fn write(&self, args: &[u8], paper: &Paper) -> io::Result<()> {
        let mut bytes = postcard::to_allocvec(self).map_err(io::Error::other)?;
        bytes.extend_from_slice(args);
        let mut whole = Vec::with_capacity(bytes.len() + FIXED as usize);
        whole.extend((bytes.len() as u64).to_le_bytes());
        whole.extend([0; 16]);
        whole.extend(bytes);
        paper.write(0, &whole)
    }

    /// Reads the order and the arguments.
    pub(super) fn read(paper: &Paper) -> io::Result<(Order, Vec<u8>)> {
        let bytes = paper.read(FIXED, order_len(paper)? as usize)?;
        let (order, args) = postcard::take_from_bytes(&bytes).map_err(io::Error::other)?;
        Ok((order, args.to_vec()))
    }
}

fn order_len(paper: &Paper) -> io::Result<u64> {
    read_u64(paper, 0)
}

/// Where the reply begins: behind the order, however long that says it is.
fn reply_at(paper: &Paper) -> io::Result<u64> {
    order_len(paper)?.checked_add(FIXED).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn read_u64(paper: &Paper, at: u64) -> io::Result<u64> {
    let mut word = [0; 8];
    word.copy_from_slice(&paper.read(at, 8)?);
    Ok(u64::from_le_bytes(word))
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The output's bytes.
    Returned(Vec<u8>),
    /// What the panic said.
    Panicked(String),
    /// The output has no bytes, for this reason.
    Unfit(String),
}

impl Reply {
    pub(super) fn write(&self, paper: &Paper) -> io::Result<()> {
        let (kind, bytes) = match self {
            Reply::Returned(bytes) => (1u64, &bytes[..]),
            Reply::Panicked(text) => (2, text.as_bytes()),
            Reply::Unfit(text) => (3, text.as_bytes()),
        };
        paper.write(reply_at(paper)?, bytes)?;
        paper.write(16, &(bytes.len() as u64).to_le_bytes())?;
        paper.write(8, &kind.to_le_bytes())
    }

    /// The reply, if there is a whole one.
    pub(super) fn read(paper: &Paper) -> io::Result<Option<Reply>> {
        let kind = read_u64(paper, 8)?;
        if kind == 0 {
            return Ok(None);
        }
        let bytes = paper.read(reply_at(paper)?, read_u64(paper, 16)? as usize)?;
        Ok(match kind {
            1 => Some(Reply::Returned(bytes)),
            2 => Some(Reply::Panicked(String::from_utf8_lossy(&bytes).into_owned())),
            3 => Some(Reply::Unfit(String::from_utf8_lossy(&bytes).into_owned())),
            _ => None,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            version: VERSION,
            build: registry::fingerprint(),
            place: 0,
            task: "no::task".into(),
            signature: "()".into(),
            name: "a".into(),
            parent_name: "b".into(),
            detached: false,
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn order_and_reply_are_read_as_they_were_written() {
        let paper = Paper::new().unwrap();
        order().write(&[1, 2, 3], &paper).unwrap();
        assert_eq!(Order::read(&paper).unwrap(), (order(), vec![1, 2, 3]));
        assert_eq!(Reply::read(&paper).unwrap(), None);
        for reply in [Reply::Returned(vec![]), Reply::Returned(vec![7; 70_000]), Reply::Panicked("oh".into())]
        {
            reply.write(&paper).unwrap();
            assert_eq!(Reply::read(&paper).unwrap(), Some(reply));
        }
        assert_eq!(Order::read(&paper).unwrap(), (order(), vec![1, 2, 3]));
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_paper_full_of_nonsense_is_an_error() {
        for bytes in
            [vec![], vec![0xff; 24], vec![0xff; 100], [vec![8, 0, 0, 0, 0, 0, 0, 0], vec![0xff; 40]].concat()]
        {
            let paper = Paper::new().unwrap();
            paper.write(0, &bytes).unwrap();
            assert!(Order::read(&paper).is_err(), "{bytes:?}");
            assert!(!matches!(Reply::read(&paper), Ok(Some(_))), "{bytes:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn what_is_not_in_this_build_is_refused_by_name() {
        assert!(order().entry().unwrap_err().contains("no::task"));
        let other = Order { version: 9, ..order() };
        assert!(other.entry().unwrap_err().contains("version 9"));
    }
}
