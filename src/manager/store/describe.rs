//! What there is to know of one object, for whoever looks at it from outside: who refers to it, waits for it and holds it.

use std::collections::BTreeMap;

use super::Store;
use super::arguments::Arguments;
use super::datum::Out;
use super::fault::Fault;
use super::root::{not_found, optional_text};
use super::world::{ClientId, World};
use crate::manager::wire::pack;

/// Elements are shown as long as they have no more bytes together.
const SHOWN_BYTES: usize = 64 << 10;

/// So many holdings are shown.
pub(crate) const HOLDERS: usize = 1000;

/// What an object says of itself.
#[derive(Default)]
pub(crate) struct About {
    state: Vec<(&'static str, Fact)>,
    holders: Vec<(ClientId, Vec<(&'static str, u64)>)>,
    first: Out,
    shown: usize,
    most: usize,
}

/// One figure of an object's state.
#[derive(Clone, Copy)]
pub(crate) enum Fact {
    Flag(bool),
    Number(u64),
    Text(&'static str),
    Nothing,
}

impl About {
    pub(crate) fn fact(&mut self, name: &'static str, fact: impl Into<Fact>) {
        self.state.push((name, fact.into()));
    }

    /// Says who holds something, and the figures of the holding.
    pub(crate) fn holder(&mut self, client: ClientId, figures: Vec<(&'static str, u64)>) {
        self.holders.push((client, figures));
    }

    /// Shows the first elements, each by what `write` makes of it.
    pub(crate) fn elements<T>(
        &mut self,
        elements: impl Iterator<Item = T>,
        mut write: impl FnMut(T, &mut Out),
    ) {
        for element in elements.take(self.most) {
            let mut out = Out::default();
            write(element, &mut out);
            if self.first.bytes.len() + out.bytes.len() > SHOWN_BYTES {
                break;
            }
            self.first.bytes.extend(out.bytes);
            self.first.references.extend(out.references);
            self.shown += 1;
        }
    }
}

impl Store {
    /// `name or nil, number or nil, how many elements`: a map of what `docs/protocol.md` tells.
    pub(super) fn describe(&mut self, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        let (name, number) = (arguments.optional_text()?, arguments.optional_uint()?);
        let most = arguments.uint()?.min(1000) as usize;
        arguments.end()?;
        let number = match (name, number) {
            (Some(name), None) => self.world.names.get(name).ok_or_else(|| not_found(name))?.object(),
            (None, Some(number)) => number,
            _ => return Err(Fault::bad_call("say the object's name or its number, and not both")),
        };
        let (about, len) = self.world.with_body(number, |body, _| {
            let mut about = About { most, ..About::default() };
            body.inner().describe(&mut about);
            (about, body.inner().len())
        })?;
        Ok(write(&self.world, number, len, about))
    }
}

fn write(world: &World, number: u64, len: Option<usize>, about: About) -> Out {
    let slot = &world.objects[&number];
    // In the order in which they came: numbers of waiters grow.
    let waiters: Vec<ClientId> = slot
        .waiters
        .iter()
        .filter_map(|waiter| world.waiters.get(waiter))
        .map(|waiter| waiter.client)
        .collect();
    // Clients that have to do with the object, and their references.
    let mut parties: BTreeMap<ClientId, u64> = BTreeMap::new();
    for (&client, known) in &world.clients {
        if let Some(reference) = known.references.get(&number) {
            parties.insert(client, reference.count);
        }
    }
    let others = waiters.iter().copied().chain(about.holders.iter().map(|&(id, _)| id));
    others.for_each(|client| _ = parties.entry(client).or_default());
    let mut out = Out::with(|out| {
        pack::map(out, 9);
        pack::text(out, "number");
        pack::uint(out, number);
        pack::text(out, "kind");
        pack::text(out, &slot.kind);
        pack::text(out, "name");
        optional_text(out, slot.name.as_deref());
        pack::text(out, "references");
        pack::uint(out, slot.token.count() as u64);
        pack::text(out, "clients");
        pack::array(out, parties.len());
        for (&client, &references) in &parties {
            pack::array(out, 3);
            pack::uint(out, client);
            // Whose connection was cut has left its name with it.
            pack::text(out, world.clients.get(&client).map_or("", |known| &known.who));
            pack::uint(out, references);
        }
        pack::text(out, "waiting");
        pack::array(out, waiters.len());
        waiters.iter().for_each(|&client| pack::uint(out, client));
        pack::text(out, "holders");
        pack::array(out, about.holders.len());
        for (client, figures) in &about.holders {
            pack::array(out, 2);
            pack::uint(out, *client);
            pack::map(out, figures.len());
            for &(name, figure) in figures {
                pack::text(out, name);
                pack::uint(out, figure);
            }
        }
        pack::text(out, "state");
        write_state(out, &about.state, len);
        pack::text(out, "first");
        pack::array(out, about.shown);
    });
    out.bytes.extend(about.first.bytes);
    out.references.extend(about.first.references);
    out
}

fn write_state(out: &mut Vec<u8>, state: &[(&'static str, Fact)], len: Option<usize>) {
    pack::map(out, state.len() + len.iter().len());
    if let Some(len) = len {
        pack::text(out, "elements");
        pack::uint(out, len as u64);
    }
    for &(name, fact) in state {
        pack::text(out, name);
        match fact {
            Fact::Flag(flag) => pack::boolean(out, flag),
            Fact::Number(number) => pack::uint(out, number),
            Fact::Text(text) => pack::text(out, text),
            Fact::Nothing => pack::nil(out),
        }
    }
}

impl<T: Into<Fact>> From<Option<T>> for Fact {
    fn from(fact: Option<T>) -> Self {
        fact.map_or(Fact::Nothing, Into::into)
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Self {
        Fact::Number(number)
    }
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Fact::Flag(flag)
    }
}

impl From<&'static str> for Fact {
    fn from(text: &'static str) -> Self {
        Fact::Text(text)
    }
}
