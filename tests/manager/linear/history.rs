//! What clients asked and what they were told, each with its moments.

use serde::{Deserialize, Serialize};

/// A process, and a thread of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) process: u32,
    pub(crate) thread: u32,
}

/// What happened to a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Mishap {
    Died,
    Lost,
}

/// What is asked of an object; indices and keys first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    Get(u64),
    Set(u64, u64),
    Insert(u64, u64),
    Remove(u64),
    Contains(u64),
    Add(u64, u64),
    GetOrInsert(u64, u64),
    Swap(u64, Option<u64>, Option<u64>),
    Len,
    Clear,
    Snapshot,
    ExtendPairs(Vec<(u64, u64)>),
    Extend(Vec<u64>),
    Push(u64),
    PushFront(u64),
    PopFirst,
    PopLast,
    Sort,
    Reverse,
    /// Of locks and semaphores.
    Acquire,
    /// Of a lock that others may read, too.
    Read,
    Downgrade(u64),
    Release(u64),
    Forget(u64),
    /// Ends what was forgotten.
    ReleaseForgotten,
    MakeConsistent(u64),
    /// Of queues.
    Put(u64),
    Take,
    /// Of what the thread took last, whatever that was.
    DoneLast,
    Done(u64),
    GiveBack(u64),
    Join,
    /// Moves an amount between two accounts, and notes its own number in the log: a transaction.
    Transfer {
        from: u64,
        to: u64,
        amount: u64,
        number: u64,
    },
    /// Reads the accounts, the length of the log and the count of transfers: a transaction.
    Audit,
    /// A transaction that changes everything and then fails.
    Spoil,
    /// The end of a process, however it held what.
    Death(Mishap),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Nothing,
    Maybe(Option<u64>),
    Number(u64),
    Flag(bool),
    Swapped(Result<(), Option<u64>>),
    Pair(Option<(u64, u64)>),
    Pairs(Vec<(u64, u64)>),
    Items(Vec<u64>),
    Held {
        fence: u64,
        mishap: Option<Mishap>,
    },
    /// It would have had to wait, or waited in vain.
    Blocked,
    NotHeld,
    OutOfRange,
    /// A transaction that met others too often.
    Conflict,
}

/// One operation on one object.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) who: Who,
    pub(crate) call: Call,
    /// A moment before it was sent.
    pub(crate) began: u64,
    /// A moment after its answer had come; without one it may have happened or not.
    pub(crate) came: Option<u64>,
    pub(crate) outcome: Option<Outcome>,
    /// Of an operation without an answer: nothing that began after this moment is before it.
    pub(crate) until: u64,
    /// Operations that happened before, by their places in the history.
    pub(crate) after: Vec<usize>,
    /// The end of its process, behind which it cannot happen.
    pub(crate) before: Option<usize>,
}

impl Op {
    /// One that was answered.
    pub(crate) fn done(process: u32, (began, came): (u64, u64), call: Call, outcome: Outcome) -> Op {
        Op { came: Some(came), outcome: Some(outcome), ..Op::pending(process, began, call) }
    }

    /// One that was not.
    pub(crate) fn pending(process: u32, began: u64, call: Call) -> Op {
        let who = Who { process, thread: 0 };
        Op { who, call, began, came: None, outcome: None, until: u64::MAX, after: Vec::new(), before: None }
    }
}
