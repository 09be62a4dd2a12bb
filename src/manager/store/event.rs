//! Event: set or not, and who waits for it.

use super::arguments::Timeout;
use super::body::{Behaviour, Call};
use super::datum::Out;
use super::describe::About;
use super::fault::Fault;
use super::world::{WaiterId, World};
use crate::manager::wire::pack;

#[derive(Default)]
pub(crate) struct Event {
    set: bool,
    waiters: Vec<WaiterId>,
}

impl Behaviour for Event {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { world, who, method, arguments } = call;
        let who = *who;
        match *method {
            "set" => {
                arguments.end()?;
                self.set = true;
                for waiter in std::mem::take(&mut self.waiters) {
                    world.finish(waiter, Ok(Out::with(|out| pack::boolean(out, true))));
                }
            }
            "clear" => {
                arguments.end()?;
                self.set = false;
            }
            "is_set" => return Ok(Some(Out::with(|out| pack::boolean(out, self.set)))),
            "wait" => {
                let timeout = arguments.timeout()?;
                arguments.end()?;
                if self.set || timeout == Timeout::After(0) {
                    return Ok(Some(Out::with(|out| pack::boolean(out, self.set))));
                }
                self.waiters.push(world.park(who, timeout)?);
                return Ok(None);
            }
            _ => return Err(Fault::bad_call(format!("an event has no method '{method}'"))),
        }
        Ok(Some(Out::nil()))
    }

    fn expire(&mut self, world: &mut World, waiter: WaiterId, _object: u64) {
        self.waiters.retain(|&other| other != waiter);
        world.finish(waiter, Ok(Out::with(|out| pack::boolean(out, false))));
    }

    fn forsake(&mut self, _world: &mut World, waiter: WaiterId, _object: u64, _why: &'static str) {
        self.waiters.retain(|&other| other != waiter);
    }

    fn describe(&self, about: &mut About) {
        about.fact("set", self.set);
    }
}
