//! What the manager itself can be asked: objects by name and number, references, transactions.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::arguments::Arguments;
use super::body::{Body, KINDS};
use super::datum::{OVERHEAD, Out, Token};
use super::fault::Fault;
use super::world::{Caller, World};
use super::{Store, Ticket};
use crate::manager::wire::message::Request;
use crate::manager::wire::pack;
use crate::manager::wire::read::Reader;

/// How long a name is at most, in bytes.
const LONGEST_NAME: usize = 200;

/// How long a ticket is valid at most, in nanoseconds: a day.
const LONGEST_TICKET: u64 = 24 * 3600 * 1_000_000_000;

impl Store {
    /// A call of object 0.
    pub(super) fn root(
        &mut self,
        who: Caller,
        method: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Option<Out>, Fault> {
        let token = match method {
            "create" | "open_or_create" => self.create(method == "create", arguments)?,
            "open" => {
                let (kind, name) = (arguments.optional_text()?, arguments.text()?);
                arguments.end()?;
                self.open(kind, name)?
            }
            "claim" => {
                let ticket = arguments.uint()?;
                arguments.end()?;
                let unknown = || Fault::new(Fault::GONE, "the ticket was claimed already, or has expired");
                let claimed = self.tickets.remove(&ticket).ok_or_else(unknown)?;
                self.expiry.remove(&(claimed.until, ticket));
                claimed.token
            }
            _ => return self.other(who, method, arguments),
        };
        // With its kind, so that whoever got a reference knows what it has.
        let kind = self.world.objects.get(&token.object()).map_or("", |slot| &*slot.kind);
        let mut out = Out::with(|out| {
            pack::array(out, 2);
            pack::reference(out, token.object());
            pack::text(out, kind);
        });
        out.references.push(token);
        Ok(Some(out))
    }

    fn other(
        &mut self,
        who: Caller,
        method: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Option<Out>, Fault> {
        Ok(Some(match method {
            "ping" => Out::nil(),
            "release" => {
                let (object, count) = (arguments.uint()?, arguments.uint()?);
                arguments.end()?;
                self.release(who, object, count)
            }
            "cancel" => {
                let request = arguments.uint()?;
                arguments.end()?;
                self.cancel(who, request);
                Out::nil()
            }
            "unlink" => {
                let name = arguments.text()?;
                arguments.end()?;
                let token = self.world.names.remove(name).ok_or_else(|| not_found(name))?;
                if let Some(slot) = self.world.objects.get_mut(&token.object()) {
                    slot.name = None;
                }
                Out::nil()
            }
            "ticket" => {
                let (object, lasts) = (arguments.uint()?, arguments.uint()?);
                arguments.end()?;
                let token = self.world.token(object)?;
                let lasts = lasts.saturating_mul(1_000_000).min(LONGEST_TICKET);
                let (until, charge) = (self.world.now.saturating_add(lasts), self.world.room(OVERHEAD)?);
                let ticket = self.world.fence();
                self.tickets.insert(ticket, Ticket { token, until, _charge: charge });
                self.expiry.insert((until, ticket));
                Out::with(|out| pack::uint(out, ticket))
            }
            "list" => self.list(arguments)?,
            "describe" => self.describe(arguments)?,
            "stats" => self.stats(),
            "observe" => self.observe(who, arguments)?,
            "transaction" => self.transaction(who, arguments)?,
            _ => return Err(Fault::bad_call(format!("a manager has no method '{method}'"))),
        }))
    }

    fn create(&mut self, fresh: bool, arguments: &mut Arguments<'_>) -> Result<Token, Fault> {
        let (kind, name) = (arguments.text()?, arguments.optional_text()?);
        if let Some(name) = name {
            check_name(name)?;
            match (self.world.names.get(name), fresh) {
                (Some(_), true) => {
                    return Err(Fault::new(Fault::EXISTS, format!("'{name}' exists already")));
                }
                (Some(_), false) => return self.open(Some(kind), name),
                (None, _) => {}
            }
        }
        let body = Body::make(&mut self.world, &self.types, kind, arguments)?;
        self.world.add(kind, name, body)
    }

    fn open(&self, kind: Option<&str>, name: &str) -> Result<Token, Fault> {
        let token = self.world.names.get(name).ok_or_else(|| not_found(name))?;
        let found = &*self.world.objects[&token.object()].kind;
        match kind {
            Some(kind) if kind != found => {
                Err(Fault::new(Fault::WRONG_KIND, format!("'{name}' is a {found}, not a {kind}")))
            }
            _ => Ok(token.clone()),
        }
    }

    /// A client gives back references that were sent to it.
    fn release(&mut self, who: Caller, object: u64, count: u64) -> Out {
        if let Some(client) = self.world.clients.get_mut(&who.client)
            && let Some(reference) = client.references.get_mut(&object)
        {
            reference.count = reference.count.saturating_sub(count);
            if reference.count == 0 {
                client.references.remove(&object);
            }
        }
        Out::nil()
    }

    /// A page of `[number, kind, name or nil, references, elements or nil]`, of objects after a number.
    fn list(&self, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        let (after, most) = (arguments.uint()?, arguments.uint()?.clamp(1, 1000) as usize);
        arguments.end()?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let numbers: Vec<u64> = self.world.numbers.range(behind).take(most).copied().collect();
        Ok(Out::with(|out| {
            pack::array(out, numbers.len());
            for number in numbers {
                let slot = &self.world.objects[&number];
                pack::array(out, 5);
                pack::uint(out, number);
                pack::text(out, &slot.kind);
                optional_text(out, slot.name.as_deref());
                pack::uint(out, slot.token.count() as u64);
                match slot.body.as_deref().and_then(|body| body.inner().len()) {
                    Some(len) => pack::uint(out, len as u64),
                    None => pack::nil(out),
                }
            }
        }))
    }

    /// `{clients, rings, objects, waiting, bytes, kinds}`
    fn stats(&self) -> Out {
        Out::with(|out| {
            pack::map(out, 6);
            for (name, figure) in [
                ("clients", self.world.clients.len()),
                ("rings", self.world.clients.values().filter(|client| client.has_rings).count()),
                ("objects", self.world.objects.len()),
                ("waiting", self.world.waiters.len()),
                ("bytes", self.world.meter.used()),
            ] {
                pack::text(out, name);
                pack::uint(out, figure as u64);
            }
            pack::text(out, "kinds");
            let mut kinds: Vec<&str> = KINDS.to_vec();
            kinds.extend(self.types.0.keys().map(String::as_str));
            kinds.sort_unstable();
            pack::array(out, kinds.len());
            kinds.into_iter().for_each(|kind| pack::text(out, kind));
        })
    }

    /// Calls a method of an object that takes part in transactions; `[version before, result]`.
    fn observe(&mut self, who: Caller, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        let mut reader = Reader::new(arguments.raw()?);
        arguments.end()?;
        if reader.array()? != 3 {
            return Err(Fault::bad_call("a call is [object, method, arguments]"));
        }
        let call = Request::read_call(&mut reader)?;
        let version = version(&mut self.world, call.object)?;
        let mut out = Out::with(|out| pack::array(out, 2));
        pack::uint(&mut out.bytes, version);
        let result = apply(&mut self.world, who, &call)?;
        out.bytes.extend(result.bytes);
        out.references.extend(result.references);
        Ok(out)
    }

    /// `[[object, version]..], [[object, method, arguments]..]`: if all versions are as stated, all calls, or none if one fails;
    /// their results.
    fn transaction(&mut self, who: Caller, arguments: &mut Arguments<'_>) -> Result<Out, Fault> {
        let mut checks = Reader::new(arguments.raw()?);
        let mut calls = Reader::new(arguments.raw()?);
        arguments.end()?;
        for _ in 0..checks.array()? {
            if checks.array()? != 2 {
                return Err(Fault::bad_call("a check is [object, version]"));
            }
            let (object, stated) = (checks.uint()?, checks.uint()?);
            let found = version(&mut self.world, object)?;
            if found != stated {
                let message = format!("object {object} has version {found}, not {stated}");
                return Err(Fault::new(Fault::CONFLICT, message));
            }
        }
        let count = calls.array()?;
        let mut touched = BTreeSet::new();
        let mut out = Out::with(|out| pack::array(out, count as usize));
        let mut run = |world: &mut World| -> Result<(), Fault> {
            for _ in 0..count {
                if calls.array()? != 3 {
                    return Err(Fault::bad_call("a call is [object, method, arguments]"));
                }
                let call = Request::read_call(&mut calls)?;
                version(world, call.object)?;
                if touched.insert(call.object) {
                    world.with_body(call.object, |body, _| body.inner_mut().begin())?;
                }
                let result = apply(world, who, &call)?;
                out.bytes.extend(result.bytes);
                out.references.extend(result.references);
                world.fits(&out)?;
            }
            Ok(())
        };
        let done = run(&mut self.world);
        for object in touched {
            self.world.with_body(object, |body, _| body.inner_mut().settle(done.is_ok()))?;
        }
        done.map(|()| out)
    }
}

/// The version of an object that takes part in transactions.
fn version(world: &mut World, object: u64) -> Result<u64, Fault> {
    world.with_body(object, |body, _| body.inner().version())?.ok_or_else(|| {
        Fault::bad_call("only dicts, lists, namespaces, values and arrays take part in transactions")
    })
}

/// A call that cannot wait.
fn apply(world: &mut World, who: Caller, call: &Request<'_>) -> Result<Out, Fault> {
    let who = Caller { object: call.object, ..who };
    world.call(who, call)?.ok_or_else(|| Fault::bad_call("a transaction cannot wait"))
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        let message = format!("a name has 1 to {LONGEST_NAME} bytes and no control characters");
        return Err(Fault::bad_call(message));
    }
    Ok(())
}

/// A text, or nil.
pub(super) fn optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => pack::text(out, text),
        None => pack::nil(out),
    }
}

pub(super) fn not_found(name: &str) -> Fault {
    Fault::new(Fault::NOT_FOUND, format!("no object '{name}': create it first, or use open_or_create"))
}
