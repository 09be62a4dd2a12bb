//! Dict and Namespace: keys in the order they came.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use super::arguments::Arguments;
use super::body::{Behaviour, Call, Glance};
use super::datum::{Datum, Out};
use super::describe::About;
use super::fault::Fault;
use super::number;
use super::world::World;
use crate::manager::wire::order::{canonical, equal};
use crate::manager::wire::pack;

/// One page holds about so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// A key in its canonical form.
#[derive(Clone)]
struct Canonical(Datum);

impl Borrow<[u8]> for Canonical {
    fn borrow(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Hash for Canonical {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().hash(state);
    }
}

impl PartialEq for Canonical {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

impl Eq for Canonical {}

#[derive(Clone)]
struct Row {
    key: Canonical,
    /// The key as it was first given, if that is not its canonical form.
    given: Option<Datum>,
    value: Datum,
}

impl Row {
    fn write_key(&self, out: &mut Out) {
        out.push(self.given.as_ref().unwrap_or(&self.key.0));
    }

    fn write(&self, out: &mut Out) {
        pack::array(&mut out.bytes, 2);
        self.write_key(out);
        out.push(&self.value);
    }
}

/// Where the row of a key is, and its value once more, so that who only asks for it is done here.
struct Place {
    at: u64,
    value: Datum,
}

#[derive(Default)]
pub(crate) struct Dict {
    /// Only texts are keys.
    names_only: bool,
    places: HashMap<Canonical, Place, RandomState>,
    /// By the order in which the keys came.
    rows: BTreeMap<u64, Row>,
    next: u64,
    changes: u64,
    /// What undoes the changes of a transaction: what each place held before, newest last.
    journal: Option<Vec<(u64, Option<Row>)>>,
}

impl Dict {
    pub(crate) fn new(names_only: bool) -> Self {
        Dict { names_only, ..Dict::default() }
    }

    /// Puts the pairs of its creation in.
    pub(crate) fn fill(&mut self, world: &World, arguments: &mut Arguments<'_>) -> Result<(), Fault> {
        self.extend(arguments, world).map(drop)
    }

    fn roll_back(&mut self) {
        for (place, before) in self.journal.take().into_iter().flatten().rev() {
            if let Some(row) = self.rows.remove(&place) {
                self.places.remove(&row.key);
            }
            if let Some(row) = before {
                self.places.insert(row.key.clone(), Place { at: place, value: row.value.clone() });
                self.rows.insert(place, row);
            }
        }
    }

    fn value(&self, key: &[u8]) -> Option<&Datum> {
        Some(&self.places.get(key)?.value)
    }

    /// One of the three ways in which anything changes.
    fn put(&mut self, key: Key, value: Datum) -> Option<Datum> {
        self.changes += 1;
        if let Some(place) = self.places.get_mut(&key.canonical) {
            let row = self.rows.get_mut(&place.at).expect("every place has its row");
            if let Some(journal) = &mut self.journal {
                journal.push((place.at, Some(row.clone())));
            }
            place.value = value.clone();
            return Some(std::mem::replace(&mut row.value, value));
        }
        let place = self.next;
        self.next += 1;
        if let Some(journal) = &mut self.journal {
            journal.push((place, None));
        }
        self.places.insert(key.canonical.clone(), Place { at: place, value: value.clone() });
        self.rows.insert(place, Row { key: key.canonical, given: key.given, value });
        None
    }

    /// Another way.
    fn take(&mut self, place: u64) -> Option<Row> {
        let row = self.rows.remove(&place)?;
        self.changes += 1;
        self.places.remove(&row.key);
        if let Some(journal) = &mut self.journal {
            journal.push((place, Some(row.clone())));
        }
        Some(row)
    }

    /// The third way in which anything changes, for all at once.
    fn clear(&mut self) {
        self.changes += 1;
        let rows = std::mem::take(&mut self.rows);
        self.places.clear();
        if let Some(journal) = &mut self.journal {
            journal.extend(rows.into_iter().map(|(place, row)| (place, Some(row))));
        }
    }

    fn key(&self, arguments: &mut Arguments<'_>, world: &World) -> Result<Key, Fault> {
        self.check(Key::new(arguments.datum(world)?, world)?)
    }

    fn check(&self, key: Key) -> Result<Key, Fault> {
        let is_text = matches!(key.bytes()[0], 0xa0..=0xbf | 0xd9..=0xdb);
        if self.names_only && !is_text {
            return Err(Fault::new(Fault::BAD_KEY, "a namespace's names are texts"));
        }
        Ok(key)
    }

    fn done(&mut self, world: &World, method: &str, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        Ok(match method {
            "get" => Out::maybe_in(world.buffer(), self.value(&arguments.key()?)),
            "contains" => {
                let found = self.value(&arguments.key()?).is_some();
                Out::with(|out| pack::boolean(out, found))
            }
            "len" => Out::with(|out| pack::uint(out, self.rows.len() as u64)),
            "insert" => {
                let (key, value) = (self.key(arguments, world)?, arguments.datum(world)?);
                arguments.end()?;
                Out::maybe(self.put(key, value).as_ref())
            }
            "set" => {
                let (key, value) = (self.key(arguments, world)?, arguments.datum(world)?);
                arguments.end()?;
                self.put(key, value);
                Out::nil()
            }
            "remove" => {
                let key = arguments.key()?;
                arguments.end()?;
                let row = self.places.get(&*key).map(|place| place.at).and_then(|at| self.take(at));
                Out::maybe(row.as_ref().map(|row| &row.value))
            }
            "extend" => self.extend(arguments, world)?,
            "clear" => {
                arguments.end()?;
                world.work(self.rows.len())?;
                self.clear();
                Out::nil()
            }
            "pop_first" | "pop_last" => self.pop(method == "pop_first", arguments)?,
            "get_or_insert" => self.get_or_insert(arguments, world)?,
            "add" => self.add(arguments, world)?,
            "compare_and_swap" => self.compare_and_swap(arguments, world)?,
            "page" => self.page(arguments)?,
            "snapshot" => self.all(world, arguments, Row::write)?,
            "keys" => self.all(world, arguments, Row::write_key)?,
            "values" => self.all(world, arguments, |row, out| out.push(&row.value))?,
            _ => return Err(Fault::bad_call(format!("a dict has no method '{method}'"))),
        })
    }

    /// What `write` makes of every row.
    fn all(
        &self,
        world: &World,
        arguments: &Arguments<'_>,
        write: impl Fn(&Row, &mut Out),
    ) -> Result<Out, Fault> {
        arguments.end()?;
        world.work(self.rows.len())?;
        let mut out = Out::with(|out| pack::array(out, self.rows.len()));
        for row in self.rows.values() {
            write(row, &mut out);
            world.fits(&out)?;
        }
        Ok(out)
    }

    fn extend(&mut self, arguments: &mut Arguments<'_>, world: &World) -> Result<Out, Fault> {
        let pairs = arguments.pairs(world)?;
        arguments.end()?;
        // All keys are checked before the first change.
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(key, value)| Ok((self.check(Key::new(key, world)?)?, value)))
            .collect::<Result<_, Fault>>()?;
        pairs.into_iter().for_each(|(key, value)| {
            self.put(key, value);
        });
        Ok(Out::nil())
    }

    fn pop(&mut self, first: bool, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        arguments.end()?;
        let row = if first { self.rows.first_key_value() } else { self.rows.last_key_value() };
        let row = row.map(|(&place, _)| place).and_then(|place| self.take(place));
        let mut out = Out::with(|out| pack::array(out, row.iter().len()));
        row.iter().for_each(|row| row.write(&mut out));
        Ok(out)
    }

    /// The value that is there now, and whether it was put there by this call.
    fn get_or_insert(&mut self, arguments: &mut Arguments<'_>, world: &World) -> Result<Out, Fault> {
        let (key, value) = (self.key(arguments, world)?, arguments.datum(world)?);
        arguments.end()?;
        let there = self.value(key.bytes()).cloned();
        let mut out = Out::with(|out| pack::array(out, 2));
        pack::boolean(&mut out.bytes, there.is_none());
        Ok(match there {
            Some(there) => out.datum(&there),
            None => {
                self.put(key, value.clone());
                out.datum(&value)
            }
        })
    }

    /// Adds a number to the one under a key, which counts as 0 if it is missing; the sum.
    fn add(&mut self, arguments: &mut Arguments<'_>, world: &World) -> Result<Out, Fault> {
        let (key, number) = (self.key(arguments, world)?, arguments.raw()?);
        arguments.end()?;
        let sum = number::add(self.value(key.bytes()).map_or(&[0], Datum::bytes), number)?;
        let sum = world.datum(&sum, &[])?;
        self.put(key, sum.clone());
        Ok(Out::default().datum(&sum))
    }

    /// Puts (or removes) a value if the present one (or none) is the expected one; whether it did, and what was there.
    fn compare_and_swap(&mut self, arguments: &mut Arguments<'_>, world: &World) -> Result<Out, Fault> {
        let key = self.key(arguments, world)?;
        let (expected, new) = (arguments.maybe(world)?, arguments.maybe(world)?);
        arguments.end()?;
        let there = self.value(key.bytes()).cloned();
        let same = match (&there, &expected) {
            (Some(there), Some(expected)) => equal(there.bytes(), expected.bytes()),
            (there, expected) => there.is_none() && expected.is_none(),
        };
        if same {
            let place = self.places.get(&key.canonical).map(|place| place.at);
            match (new, place) {
                (Some(new), _) => drop(self.put(key, new)),
                (None, Some(place)) => drop(self.take(place)),
                (None, None) => {}
            }
        }
        let mut out = Out::with(|out| pack::array(out, 2));
        pack::boolean(&mut out.bytes, same);
        let there = Out::maybe(there.as_ref());
        out.bytes.extend(there.bytes);
        out.references.extend(there.references);
        Ok(out)
    }

    /// Some pairs, and the cursor of the next page, or nil at the end. What is there all the time comes exactly once.
    fn page(&self, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        let (cursor, most) = (arguments.uint()?, arguments.uint()?.clamp(1, 100_000));
        arguments.end()?;
        let (mut pairs, mut count, mut next) = (Out::default(), 0, None);
        for (&place, row) in self.rows.range(cursor..) {
            if count == most || pairs.bytes.len() > PAGE_BYTES {
                next = Some(place);
                break;
            }
            row.write(&mut pairs);
            count += 1;
        }
        let mut out = Out::with(|out| pack::array(out, 2));
        match next {
            Some(next) => pack::uint(&mut out.bytes, next),
            None => pack::nil(&mut out.bytes),
        }
        pack::array(&mut out.bytes, count as usize);
        out.bytes.extend(pairs.bytes);
        out.references = pairs.references;
        Ok(out)
    }
}

impl Behaviour for Dict {
    fn glance(&self, method: &str, arguments: &mut Arguments<'_>) -> Option<Glance<'_>> {
        Some(match method {
            "get" => Glance::Maybe(self.value(&arguments.key().ok()?)),
            "contains" => Glance::Bool(self.value(&arguments.key().ok()?).is_some()),
            "len" => Glance::Number(self.rows.len() as u64),
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
        Some(self.rows.len())
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
        about.elements(self.rows.values(), |row, out| row.write(out));
    }
}

/// A key, canonical and as given.
struct Key {
    canonical: Canonical,
    given: Option<Datum>,
}

impl Key {
    fn new(given: Datum, world: &World) -> Result<Self, Fault> {
        let canonical = canonical(given.bytes())?;
        if canonical == given.bytes() {
            return Ok(Key { canonical: Canonical(given), given: None });
        }
        Ok(Key { canonical: Canonical(world.datum(&canonical, &[])?), given: Some(given) })
    }

    fn bytes(&self) -> &[u8] {
        self.canonical.0.bytes()
    }
}
