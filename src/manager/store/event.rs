//! Event: set or not, and who waits for it.

use super::arguments::{Arguments, Timeout};
use super::datum::Out;
use super::describe::About;
use super::fault::Fault;
use super::world::{Caller, WaiterId, World};
use crate::manager::wire::pack;

#[derive(Default)]
pub(crate) struct Event {
    set: bool,
    waiters: Vec<WaiterId>,
}

impl Event {
    pub(crate) fn describe(&self, about: &mut About) {
        about.fact("set", self.set);
    }

    pub(crate) fn call(
        &mut self,
        world: &mut World,
        who: Caller,
        method: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Option<Out>, Fault> {
        match method {
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

    pub(crate) fn expire(&mut self, world: &mut World, waiter: WaiterId) {
        self.forsake(waiter);
        world.finish(waiter, Ok(Out::with(|out| pack::boolean(out, false))));
    }

    pub(crate) fn forsake(&mut self, waiter: WaiterId) {
        self.waiters.retain(|&other| other != waiter);
    }
}
