//! One object of any kind.

use super::arguments::Arguments;
use super::barrier::Barrier;
use super::condition::Condition;
use super::datum::{Datum, Out};
use super::describe::About;
use super::dict::Dict;
use super::event::Event;
use super::fault::Fault;
use super::list::List;
use super::lock::Lock;
use super::own::{Own, Types};
use super::queue::Queue;
use super::rwlock::RwLock;
use super::semaphore::Semaphore;
use super::world::{Caller, ClientId, Departure, WaiterId, World};
use crate::manager::wire::message::Request;

pub(crate) enum Body {
    Dict(Dict),
    List(List),
    Lock(Lock),
    RwLock(RwLock),
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
    "rwlock",
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
                    dict.fill(world, arguments)?;
                }
                Body::Dict(dict)
            }
            "list" | "array" => {
                let items = if arguments.left() > 0 { arguments.data(world)? } else { Vec::new() };
                Body::List(List::new(kind == "array", items))
            }
            "value" => Body::List(List::new(true, vec![arguments.datum(world)?])),
            "lock" | "rlock" => Body::Lock(Lock::new(kind == "rlock")),
            "rwlock" => Body::RwLock(RwLock::default()),
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

    /// What it is, whatever that is.
    pub(crate) fn inner(&self) -> &dyn Behaviour {
        match self {
            Body::Dict(dict) => dict,
            Body::List(list) => list,
            Body::Lock(lock) => lock,
            Body::RwLock(lock) => lock,
            Body::Condition(condition) => condition,
            Body::Semaphore(semaphore) => semaphore,
            Body::Event(event) => event,
            Body::Barrier(barrier) => barrier,
            Body::Queue(queue) => queue,
            Body::Own(own) => own,
        }
    }

    /// The same, to be changed.
    pub(crate) fn inner_mut(&mut self) -> &mut dyn Behaviour {
        match self {
            Body::Dict(dict) => dict,
            Body::List(list) => list,
            Body::Lock(lock) => lock,
            Body::RwLock(lock) => lock,
            Body::Condition(condition) => condition,
            Body::Semaphore(semaphore) => semaphore,
            Body::Event(event) => event,
            Body::Barrier(barrier) => barrier,
            Body::Queue(queue) => queue,
            Body::Own(own) => own,
        }
    }
}

/// A call, as an object sees it.
pub(crate) struct Call<'w, 'a> {
    pub(crate) world: &'w mut World,
    pub(crate) who: Caller,
    pub(crate) method: &'a str,
    pub(crate) arguments: Arguments<'a>,
}

/// The answer to a call that only looks.
#[derive(Clone, Copy)]
pub(crate) enum Glance<'a> {
    /// An array of none or one.
    Maybe(Option<&'a Datum>),
    Bool(bool),
    Number(u64),
}

/// An object that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a>(pub(super) &'a dyn Behaviour);

impl<'a> Look<'a> {
    /// The answer to a call, if it only looks and can be answered without any more ado.
    #[inline]
    pub(crate) fn answer(self, request: &Request<'_>) -> Option<Glance<'a>> {
        self.0.glance(request.method, &mut Arguments::new(request.arguments, request.count))
    }
}

/// What objects do.
pub(crate) trait Behaviour {
    /// Answers a call that only looks at the object, if it is one that can be answered without any more ado: the most frequent calls
    /// of all. What is `None` here goes to [`call`](Self::call), which must give the same answer otherwise.
    fn glance(&self, _method: &str, _arguments: &mut Arguments<'_>) -> Option<Glance<'_>> {
        None
    }

    /// Does a call in one step; `None` if it waits.
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault>;

    /// A parked call's timeout has passed.
    fn expire(&mut self, world: &mut World, waiter: WaiterId, object: u64) {
        self.forsake(world, waiter, object, "timed-out");
        world.finish(waiter, Err(Fault::timed_out()));
    }

    /// A parked call is not wanted any more; the world has forgotten it, or will.
    fn forsake(&mut self, _world: &mut World, _waiter: WaiterId, _object: u64, _why: &'static str) {}

    /// A client is no longer there: what it held comes back.
    fn leave(&mut self, _world: &mut World, _client: ClientId, _object: u64, _why: Departure) {}

    /// A number that differs whenever the object does; `None` for objects that take no part in transactions.
    fn version(&self) -> Option<u64> {
        None
    }

    /// How many elements it has, for display.
    fn len(&self) -> Option<usize> {
        None
    }

    /// Says what there is to know of it.
    fn describe(&self, _about: &mut About) {}

    /// Begins to write down how to undo what comes.
    fn begin(&mut self) {}

    /// Ends that, and undoes it if it shall not stay.
    fn settle(&mut self, _stays: bool) {}
}
