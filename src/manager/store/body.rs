//! One object of any kind.

use super::arguments::Arguments;
use super::barrier::Barrier;
use super::condition::Condition;
use super::datum::Out;
use super::describe::About;
use super::dict::Dict;
use super::event::Event;
use super::fault::Fault;
use super::list::List;
use super::lock::Lock;
use super::own::{Own, Types};
use super::queue::Queue;
use super::semaphore::Semaphore;
use super::world::{Caller, ClientId, Departure, WaiterId, World};

pub(crate) enum Body {
    Dict(Dict),
    List(List),
    Lock(Lock),
    Condition(Condition),
    Semaphore(Semaphore),
    Event(Event),
    Barrier(Barrier),
    Queue(Queue),
    Own(Own),
}

/// The kinds that every manager has, by the names they have on the wire.
pub(crate) const KINDS: &[&str] = &[
    "dict",
    "list",
    "namespace",
    "value",
    "array",
    "lock",
    "rlock",
    "semaphore",
    "bounded_semaphore",
    "condition",
    "event",
    "barrier",
    "queue",
    "joinable_queue",
];

impl Body {
    /// Makes an object from the arguments of its creation.
    pub(crate) fn make(
        world: &mut World,
        types: &Types,
        kind: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Self, Fault> {
        let body = match kind {
            "dict" | "namespace" => {
                let mut dict = Dict::new(kind == "namespace");
                if arguments.left() > 0 {
                    dict.call(world, "extend", arguments)?;
                }
                Body::Dict(dict)
            }
            "list" | "array" => {
                let items = if arguments.left() > 0 { arguments.data(world)? } else { Vec::new() };
                Body::List(List::new(kind == "array", items))
            }
            "value" => Body::List(List::new(true, vec![arguments.datum(world)?])),
            "lock" | "rlock" => Body::Lock(Lock::new(kind == "rlock")),
            "semaphore" | "bounded_semaphore" => {
                Body::Semaphore(Semaphore::new(arguments.uint()?, kind == "bounded_semaphore"))
            }
            "condition" => Body::Condition(Condition::new(Body::lock_of_condition(world, arguments)?)),
            "event" => Body::Event(Event::default()),
            "barrier" => match arguments.uint()? {
                0 => return Err(Fault::new(Fault::OUT_OF_RANGE, "a barrier has at least one party")),
                parties => Body::Barrier(Barrier::new(parties)),
            },
            "queue" | "joinable_queue" => {
                let most = if arguments.left() > 0 { arguments.optional_uint()? } else { None };
                Body::Queue(Queue::new(most.filter(|&most| most > 0), kind == "joinable_queue"))
            }
            _ => match types.make(kind, arguments)? {
                Some(own) => return Ok(Body::Own(own)),
                None => {
                    let message = format!("no type '{kind}' is registered with this manager");
                    return Err(Fault::new(Fault::NOT_FOUND, message));
                }
            },
        };
        arguments.end()?;
        Ok(body)
    }

    /// The lock that is named, or a new RLock.
    fn lock_of_condition(
        world: &mut World,
        arguments: &mut Arguments<'_>,
    ) -> Result<super::datum::Token, Fault> {
        if arguments.left() == 0 {
            return world.add("rlock", None, Body::Lock(Lock::new(true)));
        }
        let token = world.token(arguments.reference()?)?;
        let is_lock = world.with_body(token.object(), |body, _| matches!(body, Body::Lock(_)))?;
        if is_lock { Ok(token) } else { Err(Fault::new(Fault::WRONG_KIND, "a condition is over a lock")) }
    }

    /// Calls a method; `None` if the call waits.
    pub(crate) fn call(
        &mut self,
        world: &mut World,
        who: Caller,
        method: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Option<Out>, Fault> {
        match self {
            Body::Dict(dict) => dict.call(world, method, arguments).map(Some),
            Body::List(list) => list.call(world, method, arguments).map(Some),
            Body::Lock(lock) => lock.call(world, who, method, arguments),
            Body::Condition(condition) => condition.call(world, who, method, arguments),
            Body::Semaphore(semaphore) => semaphore.call(world, who, method, arguments),
            Body::Event(event) => event.call(world, who, method, arguments),
            Body::Barrier(barrier) => barrier.call(world, who, method, arguments),
            Body::Queue(queue) => queue.call(world, who, method, arguments),
            Body::Own(own) => own.call(method, arguments).map(Some),
        }
    }

    /// A parked call's timeout has passed.
    pub(crate) fn expire(&mut self, world: &mut World, waiter: WaiterId, object: u64) {
        match self {
            Body::Condition(condition) => return condition.expire(world, waiter),
            Body::Event(event) => return event.expire(world, waiter),
            Body::Barrier(barrier) => return barrier.expire(world),
            _ => self.forsake(world, waiter, object, "timed-out"),
        }
        world.finish(waiter, Err(Fault::timed_out()));
    }

    /// A parked call is not wanted any more; the world has forgotten it, or will.
    pub(crate) fn forsake(&mut self, world: &mut World, waiter: WaiterId, object: u64, why: &'static str) {
        match self {
            Body::Lock(lock) => lock.forsake(waiter),
            Body::Condition(condition) => condition.forsake(waiter),
            Body::Semaphore(semaphore) => semaphore.forsake(world, waiter, object),
            Body::Event(event) => event.forsake(waiter),
            Body::Barrier(barrier) => barrier.forsake(world, waiter, why),
            Body::Queue(queue) => queue.forsake(world, waiter, object),
            Body::Dict(_) | Body::List(_) | Body::Own(_) => {}
        }
    }

    /// A client is no longer there: what it held comes back.
    pub(crate) fn leave(&mut self, world: &mut World, client: ClientId, object: u64, why: Departure) {
        match self {
            Body::Lock(lock) => lock.leave(world, client, why),
            Body::Semaphore(semaphore) => semaphore.leave(world, client, object),
            Body::Barrier(barrier) => barrier.leave(world, client),
            Body::Queue(queue) => queue.leave(world, client, object),
            Body::Dict(_) | Body::List(_) | Body::Own(_) | Body::Event(_) | Body::Condition(_) => {}
        }
    }

    /// A number that differs whenever the object does; `None` for objects that take no part in transactions.
    pub(crate) fn version(&self) -> Option<u64> {
        match self {
            Body::Dict(dict) => Some(dict.version()),
            Body::List(list) => Some(list.version()),
            _ => None,
        }
    }

    /// How many elements it has, for display.
    pub(crate) fn len(&self) -> Option<usize> {
        match self {
            Body::Dict(dict) => Some(dict.len()),
            Body::List(list) => Some(list.len()),
            Body::Queue(queue) => Some(queue.len()),
            _ => None,
        }
    }

    /// Says what there is to know of it.
    pub(crate) fn describe(&self, about: &mut About) {
        match self {
            Body::Dict(dict) => dict.describe(about),
            Body::List(list) => list.describe(about),
            Body::Lock(lock) => lock.describe(about),
            Body::Condition(condition) => condition.describe(about),
            Body::Semaphore(semaphore) => semaphore.describe(about),
            Body::Event(event) => event.describe(about),
            Body::Barrier(barrier) => barrier.describe(about),
            Body::Queue(queue) => queue.describe(about),
            // Only its program knows it.
            Body::Own(_) => {}
        }
    }

    /// Begins to write down how to undo what comes.
    pub(crate) fn begin(&mut self) {
        match self {
            Body::Dict(dict) => dict.begin(),
            Body::List(list) => list.begin(),
            _ => {}
        }
    }

    /// Ends that, and undoes it if it shall not stay.
    pub(crate) fn settle(&mut self, stays: bool) {
        match (self, stays) {
            (Body::Dict(dict), true) => dict.commit(),
            (Body::Dict(dict), false) => dict.roll_back(),
            (Body::List(list), true) => list.commit(),
            (Body::List(list), false) => list.roll_back(),
            _ => {}
        }
    }
}
