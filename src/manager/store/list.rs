//! List, Array and Value: values in a row; an array's length is fixed, and a value is a row of one.

use std::collections::VecDeque;

use super::arguments::Arguments;
use super::body::{Behaviour, Call, Glance};
use super::datum::{Datum, Out};
use super::describe::About;
use super::fault::Fault;
use super::number;
use super::world::World;
use crate::manager::wire::order::{compare, equal};
use crate::manager::wire::pack;

/// What may change the length.
const RESIZING: &[&str] = &[
    "push",
    "push_front",
    "extend",
    "insert",
    "pop",
    "pop_front",
    "remove",
    "remove_value",
    "drain",
    "truncate",
    "clear",
];

/// A change: from `at`, `inserted` values took the place of `removed`.
struct Splice {
    at: usize,
    inserted: usize,
    removed: Vec<Datum>,
}

#[derive(Default)]
pub(crate) struct List {
    fixed: bool,
    items: VecDeque<Datum>,
    changes: u64,
    /// The changes of a transaction, newest last.
    journal: Option<Vec<Splice>>,
}

impl List {
    pub(crate) fn new(fixed: bool, items: Vec<Datum>) -> Self {
        List { fixed, items: items.into(), ..List::default() }
    }

    fn roll_back(&mut self) {
        for splice in self.journal.take().into_iter().flatten().rev() {
            self.splice(splice.at, splice.inserted, splice.removed);
        }
    }

    /// A change by a call: it may be too much for one step.
    fn change(&mut self, world: &World, at: usize, remove: usize, insert: Vec<Datum>) -> Result<(), Fault> {
        let behind = self.items.len() - at;
        // One place is moved by copying pointers of the shorter side; ranges move all that is behind them.
        let moved = if remove + insert.len() <= 1 { at.min(behind) / 8 } else { behind };
        world.work(moved.max(insert.len()))?;
        self.splice(at, remove, insert);
        Ok(())
    }

    /// The one way in which anything changes. The range is inside the list.
    fn splice(&mut self, at: usize, remove: usize, mut insert: Vec<Datum>) {
        self.changes += 1;
        let inserted = insert.len();
        let removed: Vec<Datum> = match (remove, inserted) {
            (1, 1) => vec![std::mem::replace(&mut self.items[at], insert.remove(0))],
            (1, 0) => self.items.remove(at).into_iter().collect(),
            (0, 1) => {
                self.items.insert(at, insert.remove(0));
                Vec::new()
            }
            (0, _) if at == self.items.len() => {
                self.items.extend(insert);
                Vec::new()
            }
            _ => {
                let mut tail = self.items.split_off(at);
                let removed = tail.drain(..remove).collect();
                self.items.extend(insert);
                self.items.append(&mut tail);
                removed
            }
        };
        if let Some(journal) = &mut self.journal {
            journal.push(Splice { at, inserted, removed });
        }
    }

    fn take(&mut self, world: &World, at: usize) -> Result<Datum, Fault> {
        let item = self.items[at].clone();
        self.change(world, at, 1, Vec::new())?;
        Ok(item)
    }

    /// Looks at all elements.
    fn visit(&self, world: &World) -> Result<impl Iterator<Item = &Datum>, Fault> {
        world.work(self.items.len())?;
        Ok(self.items.iter())
    }

    /// An index of an element; negative ones count from the end.
    fn index(&self, arguments: &mut Arguments<'_>) -> Result<usize, Fault> {
        let (given, len) = (arguments.int()?, self.items.len() as i128);
        let index = if given < 0 { given + len } else { given };
        if (0..len).contains(&index) {
            return Ok(index as usize);
        }
        Err(Fault::new(Fault::OUT_OF_RANGE, format!("index {given} of {len} elements")))
    }

    /// A range of elements, as two indices of which the second is behind the last; nil stands for the end, and nothing for all.
    fn range(&self, arguments: &mut Arguments<'_>) -> Result<(usize, usize), Fault> {
        let len = self.items.len() as u64;
        if arguments.left() == 0 {
            return Ok((0, self.items.len()));
        }
        let (start, end) = (arguments.uint()?, arguments.optional_uint()?.unwrap_or(len));
        if start > end || end > len {
            return Err(Fault::new(Fault::OUT_OF_RANGE, format!("{start}..{end} of {len} elements")));
        }
        Ok((start as usize, end as usize))
    }

    fn stays(&self, before: usize, after: usize) -> Result<(), Fault> {
        if self.fixed && before != after {
            return Err(Fault::bad_call("the length of an array, and of a value, is fixed"));
        }
        Ok(())
    }

    fn find(&self, world: &World, wanted: &[u8]) -> Result<Option<usize>, Fault> {
        Ok(self.visit(world)?.position(|item| equal(item.bytes(), wanted)))
    }

    fn done(&mut self, world: &World, method: &str, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        match method {
            "get" | "last" | "len" | "slice" | "page" | "index_of" | "count" => {
                self.read(world, method, arguments)
            }
            "set" | "swap" | "sort" | "reverse" | "add" | "compare_and_swap" | "set_slice" | "fill" => {
                self.rearrange(world, method, arguments)
            }
            _ => self.resize(world, method, arguments),
        }
    }

    fn read(&self, world: &World, method: &str, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        Ok(match method {
            "get" => match self.index(arguments) {
                Ok(index) => Out::maybe(Some(&self.items[index])),
                Err(fault) if fault.kind == Fault::OUT_OF_RANGE => Out::maybe(None),
                Err(fault) => return Err(fault),
            },
            "last" => {
                arguments.end()?;
                Out::maybe(self.items.back())
            }
            "len" => Out::with(|out| pack::uint(out, self.items.len() as u64)),
            "slice" => {
                let (start, end) = self.range(arguments)?;
                self.write(world, start, end)?
            }
            // Like a slice, but as much of it as one answer holds, and none beyond the end.
            "page" => {
                let len = self.items.len() as u64;
                let start = arguments.uint()?.min(len);
                let end = start.saturating_add(arguments.uint()?.clamp(1, 100_000)).min(len) as usize;
                let (mut bytes, start) = (0, start as usize);
                let fitting = self.items.range(start..end).take_while(|item| {
                    bytes += item.bytes().len();
                    bytes <= 256 << 10
                });
                let fitting = fitting.count().max(usize::from(start < end));
                self.write(world, start, start + fitting)?
            }
            "index_of" => match self.find(world, arguments.raw()?)? {
                Some(index) => Out::with(|out| pack::uint(out, index as u64)),
                None => Out::nil(),
            },
            _ => {
                let wanted = arguments.raw()?;
                let count = self.visit(world)?.filter(|item| equal(item.bytes(), wanted)).count();
                Out::with(|out| pack::uint(out, count as u64))
            }
        })
    }

    fn write(&self, world: &World, start: usize, end: usize) -> Result<Out, Fault> {
        world.work(end - start)?;
        let mut out = Out::with(|out| pack::array(out, end - start));
        for item in self.items.range(start..end) {
            out.push(item);
            world.fits(&out)?;
        }
        Ok(out)
    }

    /// What keeps the length.
    fn rearrange(
        &mut self,
        world: &World,
        method: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Out, Fault> {
        Ok(match method {
            "set" => {
                let (index, item) = (self.index(arguments)?, arguments.datum(world)?);
                arguments.end()?;
                let before = self.items[index].clone();
                self.change(world, index, 1, vec![item])?;
                Out::default().datum(&before)
            }
            "swap" => {
                let (a, b) = (self.index(arguments)?, self.index(arguments)?);
                arguments.end()?;
                let (item_a, item_b) = (self.items[a].clone(), self.items[b].clone());
                world.work(2)?;
                self.splice(a, 1, vec![item_b]);
                self.splice(b, 1, vec![item_a]);
                Out::nil()
            }
            "sort" | "reverse" => {
                let descending = method == "sort" && arguments.flag()?;
                arguments.end()?;
                // So many comparisons a sort makes at most, about; and all are taken out and put back. Counted before anything is done.
                let turns = if method == "sort" { self.items.len().max(2).ilog2() as usize } else { 0 };
                world.work(self.items.len().saturating_mul(turns + 2))?;
                let mut items: Vec<Datum> = self.items.iter().cloned().collect();
                match (method, descending) {
                    ("reverse", _) => items.reverse(),
                    (_, false) => items.sort_by(|a, b| compare(a.bytes(), b.bytes())),
                    (_, true) => items.sort_by(|a, b| compare(b.bytes(), a.bytes())),
                }
                self.splice(0, items.len(), items);
                Out::nil()
            }
            "add" => {
                let (index, number) = (self.index(arguments)?, arguments.raw()?);
                arguments.end()?;
                let sum = world.datum(&number::add(self.items[index].bytes(), number)?, &[])?;
                self.change(world, index, 1, vec![sum.clone()])?;
                Out::default().datum(&sum)
            }
            "compare_and_swap" => {
                let index = self.index(arguments)?;
                let (expected, new) = (arguments.raw()?, arguments.datum(world)?);
                arguments.end()?;
                let there = self.items[index].clone();
                let same = equal(there.bytes(), expected);
                if same {
                    self.change(world, index, 1, vec![new])?;
                }
                let mut out = Out::with(|out| pack::array(out, 2));
                pack::boolean(&mut out.bytes, same);
                out.datum(&there)
            }
            "fill" => {
                let item = arguments.datum(world)?;
                arguments.end()?;
                let len = self.items.len();
                self.change(world, 0, len, vec![item; len])?;
                Out::nil()
            }
            _ => {
                let ((start, end), items) = (self.range(arguments)?, arguments.data(world)?);
                arguments.end()?;
                self.stays(end - start, items.len())?;
                self.change(world, start, end - start, items)?;
                Out::nil()
            }
        })
    }

    /// What may change the length.
    fn resize(&mut self, world: &World, method: &str, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        if !RESIZING.contains(&method) {
            return Err(Fault::bad_call(format!("a list has no method '{method}'")));
        }
        self.stays(0, 1)?;
        let len = self.items.len();
        match method {
            "push" | "push_front" => {
                let item = arguments.datum(world)?;
                arguments.end()?;
                self.change(world, if method == "push" { len } else { 0 }, 0, vec![item])?;
            }
            "extend" => {
                let items = arguments.data(world)?;
                arguments.end()?;
                self.change(world, len, 0, items)?;
            }
            "insert" => {
                let (at, item) = (arguments.uint()?, arguments.datum(world)?);
                arguments.end()?;
                if at > len as u64 {
                    return Err(Fault::new(Fault::OUT_OF_RANGE, format!("place {at} of {len} elements")));
                }
                self.change(world, at as usize, 0, vec![item])?;
            }
            "pop" | "pop_front" => {
                arguments.end()?;
                let at = if method == "pop" { len.checked_sub(1) } else { (len > 0).then_some(0) };
                let taken = at.map(|at| self.take(world, at)).transpose()?;
                return Ok(Out::maybe(taken.as_ref()));
            }
            "remove" => {
                let at = self.index(arguments)?;
                arguments.end()?;
                return Ok(Out::default().datum(&self.take(world, at)?));
            }
            "remove_value" => {
                let found = self.find(world, arguments.raw()?)?;
                arguments.end()?;
                found.map(|at| self.take(world, at)).transpose()?;
                return Ok(Out::with(|out| pack::boolean(out, found.is_some())));
            }
            "drain" => {
                let (start, end) = self.range(arguments)?;
                arguments.end()?;
                let taken = self.write(world, start, end)?;
                self.change(world, start, end - start, Vec::new())?;
                return Ok(taken);
            }
            _ => {
                let keep = if method == "clear" { 0 } else { arguments.uint()?.min(len as u64) as usize };
                arguments.end()?;
                self.change(world, keep, len - keep, Vec::new())?;
            }
        }
        Ok(Out::nil())
    }
}

impl Behaviour for List {
    fn glance(&self, method: &str, arguments: &mut Arguments<'_>) -> Option<Glance<'_>> {
        Some(match method {
            "get" => Glance::Maybe(Some(&self.items[self.index(arguments).ok()?])),
            "len" => Glance::Number(self.items.len() as u64),
            _ => return None,
        })
    }

    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        self.done(call.world, call.method, &mut call.arguments).map(Some)
    }

    fn version(&self) -> Option<u64> {
        Some(self.changes)
    }

    fn len(&self) -> Option<usize> {
        Some(self.items.len())
    }

    fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    fn settle(&mut self, stays: bool) {
        if !stays {
            self.roll_back();
        }
        self.journal = None;
    }

    fn describe(&self, about: &mut About) {
        about.elements(self.items.iter(), |item, out| out.push(item));
    }
}
