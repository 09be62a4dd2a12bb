//! `ShareableList`: a fixed number of items of changing types.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::adopted_list::AdoptedList;
use super::item::Item;
use super::list_body::{ListBody, ListRecord, Place};
use super::value::{Held, timed_out};
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Expect, Fact, Object, Plan, PlanFault, RawFacts, constructors};
use crate::shm::Kind;
use crate::shm::header::TypeInfo;
use crate::shm::segment::Segment;
use crate::sync::{Entry, Parts};
use crate::time::Deadline;

/// How often a reader looks without the lock before it takes its turn.
const LOOKS: u32 = 32;

/// How many items a description shows, and how much of a text.
const SHOWN: usize = 16;

/// A list of items whose number is fixed and whose types may change, as Python's `ShareableList`.
///
/// Each item has the room it got at creation: 8 bytes, or for text and bytes the next multiple of 8 that is larger than they
/// were. Any value that fits may take its place; a longer one is [`Error::TooLong`]. To keep room, create the list with
/// longer placeholders. Unlike in Python, lengths are kept: trailing NULs and text beyond ASCII come back as they went in.
///
/// Each item is read and replaced as a whole, and reading takes no lock; the list as a whole has no snapshot.
/// [`update`](Self::update) reads and writes one item without anybody in between. For Python's own lists there is
/// [`adopt`](Self::adopt).
///
/// # When somebody dies
///
/// A writer that is killed, at whatever instruction, or panics in [`update`](Self::update), leaves its item as it was or whole
/// and new; whoever comes next notices nothing.
///
/// # Examples
///
/// ```
/// use procshare::{Item, ShareableList};
///
/// let name = format!("doc-shareable-list-{}", std::process::id());
/// let list = ShareableList::create(&name, &["howdy".into(), 42.into(), 273.154.into(), true.into()])?;
/// let same = ShareableList::open(&name)?; // in any process of the user
/// same.set(1, "integer")?; // 7 bytes fit into 8
/// assert_eq!(list.get(1)?.as_str(), Some("integer"));
/// assert!(list.set(1, "no integer").is_err());
/// list.update(2, |item| item.as_float().map_or(Item::None, |value| (value + 1.0).into()))?;
/// assert_eq!(list.index(&274.154.into())?, Some(2));
/// ShareableList::unlink(&name)?;
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone)]
pub struct ShareableList {
    body: ListBody,
    attached: Attached,
}

impl ShareableList {
    /// Maps a `ShareableList` that CPython (3.11 or newer) made; its name is Python's `list.shm.name`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::NotASegment`] if it is no such list; see
    /// [`SharedMemory::adopt`](crate::SharedMemory::adopt).
    pub fn adopt(os_id: &str) -> Result<AdoptedList> {
        AdoptedList::open(os_id)
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.body.records.len()
    }

    /// Whether it was made without items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An item. Waits for nobody, unless writers are so busy with it that it has to take its turn.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::InvalidBits`] if a foreign program wrote bytes that are no item;
    /// [`Error::NotASegment`] if it wrote where the items are.
    pub fn get(&self, index: usize) -> Result<Item> {
        let (record, place) = self.find(index)?;
        for _ in 0..LOOKS {
            if let Some(slot) = record.value.look_at(|slot| self.body.read(place, slot)) {
                return self.decode(index, slot);
            }
            crate::atomic::pause();
        }
        if self.attached.member.may_write() {
            let _held = self.hold(record, Deadline::Never, "read it")?;
            return self.read_held(index, record, place);
        }
        loop {
            if let Some(slot) = record.value.look_at(|slot| self.body.read(place, slot)) {
                return self.decode(index, slot);
            }
            crate::atomic::yield_now();
        }
    }

    /// Replaces an item, in one step; its type may change.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; [`Error::TooLong`] if the item has less room; [`Error::ReadOnly`]; [`Error::Deadlock`] inside an
    /// [`update`](Self::update) of the same item.
    pub fn set(&self, index: usize, item: impl Into<Item>) -> Result<()> {
        self.set_until(index, item.into(), Deadline::Never)
    }

    /// As [`set`](Self::set), unless somebody alive is writing the item.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`set`](Self::set).
    pub fn try_set(&self, index: usize, item: impl Into<Item>) -> Result<()> {
        self.set_until(index, item.into(), Deadline::Now)
    }

    /// As [`set`](Self::set), waiting at most `timeout` for whoever is writing the item.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`set`](Self::set).
    pub fn set_timeout(&self, index: usize, item: impl Into<Item>, timeout: Duration) -> Result<()> {
        self.set_until(index, item.into(), Deadline::after(timeout)).map_err(timed_out)
    }

    /// Replaces an item by what `change` makes of it; nobody writes the item meanwhile. A panic in `change` leaves it as it was.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set) and [`get`](Self::get); [`Error::Inherited`] to a child that was forked within `change`, which
    /// writes nothing.
    pub fn update<R: Into<Item>>(&self, index: usize, change: impl FnOnce(Item) -> R) -> Result<()> {
        self.update_until(index, change, Deadline::Never)
    }

    /// As [`update`](Self::update), unless somebody alive is writing the item.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and as [`update`](Self::update).
    pub fn try_update<R: Into<Item>>(&self, index: usize, change: impl FnOnce(Item) -> R) -> Result<()> {
        self.update_until(index, change, Deadline::Now)
    }

    /// As [`update`](Self::update), waiting at most `timeout` for whoever is writing the item.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and as [`update`](Self::update).
    pub fn update_timeout<R: Into<Item>>(
        &self,
        index: usize,
        timeout: Duration,
        change: impl FnOnce(Item) -> R,
    ) -> Result<()> {
        self.update_until(index, change, Deadline::after(timeout)).map_err(timed_out)
    }

    /// How many bytes an item has room for.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn room(&self, index: usize) -> Result<usize> {
        Ok(self.find(index)?.1.room)
    }

    /// The index of the first item that equals this one; the others may change meanwhile.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn index(&self, item: &Item) -> Result<Option<usize>> {
        for index in 0..self.len() {
            if self.get(index)? == *item {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// How many items equal this one; they may change meanwhile.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn count(&self, item: &Item) -> Result<usize> {
        Ok(self.to_vec()?.iter().filter(|other| *other == item).count())
    }

    /// All items. Each is whole; together they are no snapshot.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn to_vec(&self) -> Result<Vec<Item>> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }

    /// The types of the items as Python's `struct` module writes them, such as `8sqd`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn format(&self) -> Result<String> {
        (0..self.len()).map(|index| Ok(self.get(index)?.format(self.room(index)?))).collect()
    }

    /// Writes the list's pages back to the device of a space on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&self) -> Result<()> {
        self.attached.segment.flush()
    }
}

impl ShareableList {
    /// The record of an item, and where its slots are.
    fn find(&self, index: usize) -> Result<(&ListRecord, Place)> {
        let Some(record) = self.body.records.get(index) else {
            return Err(Error::OutOfRange {
                object: self.attached.object(),
                start: index,
                end: index.saturating_add(1),
                len: self.len(),
            });
        };
        let place = self.body.place(record).ok_or_else(|| Error::NotASegment {
            object: self.attached.object(),
            what: "place of an item",
            expected: "two slots inside the body".into(),
            found: format!("something else for item {index}"),
        })?;
        Ok((record, place))
    }

    fn set_until(&self, index: usize, item: Item, deadline: Deadline) -> Result<()> {
        let (record, place) = self.find(index)?;
        let _held = self.hold(record, deadline, "set an item")?;
        self.commit(index, record, place, &item)
    }

    fn update_until<R: Into<Item>>(
        &self,
        index: usize,
        change: impl FnOnce(Item) -> R,
        deadline: Deadline,
    ) -> Result<()> {
        let (record, place) = self.find(index)?;
        let held = self.hold(record, deadline, "update an item")?;
        let item = change(self.read_held(index, record, place)?).into();
        held.require_mine()?;
        self.commit(index, record, place, &item)
    }

    /// Takes an item's lock. A dead holder left nothing to repair: it committed, or it did not.
    fn hold<'a>(
        &'a self,
        record: &'a ListRecord,
        deadline: Deadline,
        action: &'static str,
    ) -> Result<Held<'a>> {
        let parts = Parts { word: &record.value.lock, attached: &self.attached };
        let (owner, entry) = parts.own(deadline, action)?;
        if let Entry::Inconsistent(_) = entry {
            parts.word.make_consistent();
        }
        Ok(Held { parts, owner })
    }

    /// The item; the caller holds its lock.
    fn read_held(&self, index: usize, record: &ListRecord, place: Place) -> Result<Item> {
        self.decode(index, self.body.read(place, record.value.version().slot()))
    }

    /// Replaces the item; the caller holds its lock.
    fn commit(&self, index: usize, record: &ListRecord, place: Place, item: &Item) -> Result<()> {
        let len = item.encode(|_, bytes| bytes.len());
        if len > place.room {
            return Err(Error::TooLong {
                object: self.attached.object(),
                at: format!("item {index}"),
                room: place.room,
                found: len,
            });
        }
        let version = record.value.version();
        record.value.begin();
        self.body.write(place, version.spare(), item);
        record.value.commit(version, true);
        Ok(())
    }

    fn decode(&self, index: usize, slot: Option<(u8, Vec<u8>)>) -> Result<Item> {
        slot.and_then(|(tag, bytes)| Item::decode(tag, bytes)).ok_or_else(|| Error::InvalidBits {
            object: self.attached.object(),
            type_name: "Item",
            at: format!("item {index}"),
        })
    }
}

/// The state of the list in `segment`, for whoever inspects it.
pub(crate) fn describe(segment: &Arc<Segment>) -> Result<RawFacts> {
    let body = ListBody::open(segment)?;
    let show = |record: &ListRecord| {
        let place = body.place(record)?;
        let (tag, bytes) = record.value.look_at(|slot| body.read(place, slot))??;
        Some(match Item::decode(tag, bytes)? {
            Item::None => Fact::Nothing,
            Item::Bool(value) => Fact::Flag(value),
            Item::Int(value) => Fact::Signed(value),
            Item::Float(value) => Fact::Real(value),
            Item::Str(value) => Fact::Text(format!("{:?}", value.chars().take(SHOWN).collect::<String>())),
            Item::Bytes(value) => {
                Fact::Text(format!("b\"{}\"", value[..value.len().min(SHOWN)].escape_ascii()))
            }
        })
    };
    let unreadable = || Fact::Text("(being written, or damaged)".into());
    let first = body.records.iter().take(SHOWN).map(|record| show(record).unwrap_or_else(unreadable));
    Ok(vec![("length", Fact::Number(body.records.len() as u64)), ("first", Fact::List(first.collect()))])
}

constructors! {
    impl[] ShareableList,
    noun: "list",
    made: " of these items (there may be none)",
    (items: &[Item]) => items.to_vec()
}

impl fmt::Debug for ShareableList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareableList")
            .field("object", &self.attached.object())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Object for ShareableList {
    type Init = Vec<Item>;

    fn plan(items: &Vec<Item>) -> Result<Plan, PlanFault> {
        ListBody::size(items).map(Plan::whole).ok_or_else(|| PlanFault {
            what: "items",
            found: items.len() as u64,
            expected: "together they are larger than any memory".into(),
        })
    }

    fn expect() -> Expect {
        Expect { kind: Kind::ShareableList, type_info: TypeInfo::NONE }
    }

    fn initialise(body: &Body<'_>, items: Vec<Item>) -> Result<()> {
        ListBody::initialise(body.segment, &items)
    }

    fn attach(attached: Attached) -> Result<Self> {
        Ok(ShareableList { body: ListBody::open(&attached.segment)?, attached })
    }

    fn attached(&self) -> &Attached {
        &self.attached
    }
}
