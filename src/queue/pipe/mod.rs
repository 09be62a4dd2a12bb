//! `Pipe`: two ends, each sends to the other.
//!
//! | file | holds |
//! |---|---|
//! | [`words`] | who has which end |
//! | [`end`] | sending and receiving |
//! | `message` | the same for serde types (feature `postcard`) |

mod end;
mod error;
#[cfg(feature = "postcard")]
mod message;
mod ready;
mod words;

use std::fmt;
use std::sync::Arc;

use super::frames::{FrameRing, body_bytes, glimpse_at};
use super::glimpse::Glimpse;
use crate::atomic::Ordering::*;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Fact, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::shm::view::Shared;

pub use end::{PipeEnd, PipeEndHandle};
pub use error::PipeError;
use words::{Claim, PipeHead};

/// Bytes of one direction of a pipe unless its maker says otherwise: 64 KiB.
pub const DEFAULT_PIPE_CAPACITY: usize = 64 << 10;

/// A line between two processes, made of two ends: what one sends the other receives, message by message.
///
/// [`pair`](Self::pair) makes both ends of a pipe without a name, for a child and its parent. Programs that do not know each other make or
/// [open](Self::open) one by name and take the [`left`](Self::left) or the [`right`](Self::right) end. See [`PipeEnd`].
///
/// # Examples
///
/// ```
/// use procshare::{Pipe, PipeError};
///
/// let (mine, theirs) = Pipe::pair(1 << 16)?;
/// let other = std::thread::spawn(move || -> Result<(), PipeError> {
///     let question = theirs.recv_bytes()?;
///     theirs.send_bytes(&question.repeat(2))
/// });
/// mine.send_bytes(b"ab")?;
/// assert_eq!(mine.recv_bytes()?, b"abab");
/// other.join().unwrap()?;
/// assert!(matches!(mine.recv_bytes(), Err(PipeError::Closed)), "the other end was dropped");
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct Pipe {
    head: Shared<PipeHead>,
    /// What goes to the right end, and to the left one.
    rings: [FrameRing; 2],
    attached: Attached,
}

/// One of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl Pipe {
    /// Both ends of a pipe without a name; each direction holds messages of up to `capacity` bytes.
    ///
    /// The ends are the calling process's until somebody else uses one: a forked child, or whoever receives one as data. A child that
    /// dies before it has used its end leaves that end open; whoever waits for its first message waits for the
    /// process, too ([`wait_any`](crate::wait_any)).
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    pub fn pair(capacity: usize) -> Result<(PipeEnd, PipeEnd)> {
        let pipe = Self::anonymous(capacity)?;
        let me = pipe.attached.member.join(|| pipe.attached.object(), "use its ends")?;
        pipe.head.ends.iter().for_each(|end| end.lend(me));
        Ok((PipeEnd::new(pipe.clone(), Side::Left), PipeEnd::new(pipe, Side::Right)))
    }

    /// Takes the left end, until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::EndTaken`] if somebody has it, the calling process included; [`Error::Closed`] if it was closed, or its last owner is
    /// gone: a pipe is used once; [`Error::ReadOnly`].
    pub fn left(&self) -> Result<PipeEnd> {
        self.take(Side::Left)
    }

    /// Takes the right end, until it is dropped.
    ///
    /// # Errors
    ///
    /// As [`left`](Self::left).
    pub fn right(&self) -> Result<PipeEnd> {
        self.take(Side::Right)
    }

    fn take(&self, side: Side) -> Result<PipeEnd> {
        let role = if side == Side::Left { "left end" } else { "right end" };
        let taken = |participant| Error::EndTaken { object: self.attached.object(), role, participant };
        let me = self.attached.member.join(|| self.attached.object(), "take an end of it")?;
        let end = &self.head.ends[side as usize];
        if end.is_of(me) {
            return Err(taken(me));
        }
        match end.claim(me) {
            Claim::Mine => Ok(PipeEnd::new(self.clone(), side)),
            Claim::Closed => Err(Error::Closed),
            Claim::Taken(_) if self.is_gone(side) => Err(Error::Closed),
            Claim::Taken(holder) => Err(taken(holder)),
        }
    }

    /// Whether nobody will ever use the end at `side` again; asks the oracle about whoever has it. Who finds out tells those who wait
    /// at the other end, who look for themselves rarely.
    fn is_gone(&self, side: Side) -> bool {
        let (end, host) = (&self.head.ends[side as usize], self.attached.member.host());
        if end.is_closed() {
            return true;
        }
        let gone = end.is_gone(host);
        if gone {
            self.tell(side.other());
        }
        gone
    }

    /// Wakes all who wait at the end at `side`.
    fn tell(&self, side: Side) {
        let host = self.attached.member.host();
        self.rings[side.other() as usize].waiting(true).events.notify_all(host);
        self.rings[side as usize].waiting(false).events.notify_all(host);
    }

    /// Bytes of the longest message.
    pub fn capacity(&self) -> usize {
        self.rings[0].capacity()
    }
}

/// Bytes of one ring with its head, so that the next one begins with a line.
fn ring_bytes(capacity: u64) -> Result<usize, PlanFault> {
    Ok(body_bytes(capacity)? as usize)
}

/// Where the rings begin, and where the second one ends.
fn places(capacity: u64) -> Result<[usize; 3], PlanFault> {
    let first = size_of::<PipeHead>();
    let bytes = ring_bytes(capacity)?.next_multiple_of(64);
    Ok([first, first + bytes, first + 2 * bytes])
}

/// The state of the pipe in `segment`, for whoever inspects it.
pub(super) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    let head = Shared::<PipeHead>::new(segment, 0)?;
    let mut facts = vec![("capacity", Fact::Number(head.capacity.load(Relaxed)))];
    let places = places(head.capacity.load(Relaxed)).unwrap_or_default();
    for (name, side) in [("left", Side::Left), ("right", Side::Right)] {
        let end = &head.ends[side as usize];
        let mut part =
            vec![("holder", Fact::participant(end.holder())), ("closed", Fact::Flag(end.is_closed()))];
        if let Ok(sent) = FrameRing::describe_at(segment, places[side as usize]) {
            part.push(("sent", Fact::Part(sent)));
        }
        facts.push((name, Fact::Part(part)));
    }
    Ok(facts)
}

/// What one end sent and the other has not received, from `next` on; `side` 0: the left end.
pub(super) fn glimpse(
    segment: &Arc<Segment>,
    side: usize,
    next: Option<u64>,
    most: usize,
) -> Result<Glimpse> {
    let head = Shared::<PipeHead>::new(segment, 0)?;
    let fault = |fault: PlanFault| Error::NotASegment {
        object: segment.object(),
        what: fault.what,
        expected: fault.expected,
        found: fault.found.to_string(),
    };
    let places = places(head.capacity.load(Relaxed)).map_err(fault)?;
    let (side, from) = if side == 0 { (Side::Left, "left") } else { (Side::Right, "right") };
    let mut glimpse = glimpse_at(segment, places[side as usize], next, most)?;
    glimpse.closed = head.ends[side as usize].is_closed();
    glimpse.items.iter_mut().for_each(|item| item.from = Some(from));
    Ok(glimpse)
}

constructors! {
    impl[] Pipe,
    noun: "pipe",
    made: " that holds messages of up to `capacity` bytes in each direction",
    errors: "[`BadSize`](crate::Error::BadSize) for no bytes or more than 2^32 - 32",
    (capacity: usize) => capacity
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("object", &self.attached.object())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl Object for Pipe {
    type Init = usize;

    fn plan(capacity: &usize) -> Result<Plan, PlanFault> {
        Ok(Plan::whole(places(*capacity as u64)?[2]))
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Pipe, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, capacity: usize) -> Result<()> {
        let fault = |fault: PlanFault| Error::BadSize {
            object: body.segment.object(),
            what: fault.what,
            found: fault.found,
            expected: fault.expected,
        };
        let [left, right, _] = places(capacity as u64).map_err(fault)?;
        // Relaxed: publication by `link` orders everything before it.
        Shared::<PipeHead>::new(body.segment, 0)?.capacity.store(capacity as u64, Relaxed);
        FrameRing::initialise_at(body.segment, left, capacity as u64)?;
        FrameRing::initialise_at(body.segment, right, capacity as u64)
    }

    fn attach(attached: Attached) -> Result<Self> {
        let segment = Arc::clone(&attached.segment);
        let head = Shared::<PipeHead>::new(&segment, 0)?;
        // Relaxed: written before publication, and checked like any hostile number.
        let capacity = head.capacity.load(Relaxed);
        let body = segment.body().1;
        let places =
            places(capacity).ok().filter(|places| places[2] == body).ok_or_else(|| Error::NotASegment {
                object: segment.object(),
                what: "pipe size",
                expected: format!("a capacity that makes a body of {body} bytes"),
                found: format!("a capacity of {capacity} bytes"),
            })?;
        let bytes = ring_bytes(capacity).unwrap_or_default();
        let ring = |at| FrameRing::attach_at(attached.clone(), at, bytes);
        Ok(Pipe { rings: [ring(places[0])?, ring(places[1])?], head, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
