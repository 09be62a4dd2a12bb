//! The other side: what a started process does before `main`, and instead of it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::current;
use super::order::{Order, Reply};
use super::task::Unfit;
use crate::participant::{Kept, receiving};
use crate::sys::children::{self, Arrival, Line, Paper};

/// What the first sentence begins with.
pub(super) const YES: u8 = b'+';
pub(super) const NO: u8 = b'-';

/// Exit codes: the task returned, it panicked, and it was not taken over.
const RETURNED: i32 = 0;
const PANICKED: i32 = 101;
const REFUSED: i32 = 70;

/// The paper, for panics that end the process.
static PAPER: OnceLock<Paper> = OnceLock::new();

children::at_start!(run);

/// Runs the task that this process was started for; returns the exit code.
fn run(arrival: Arrival) -> i32 {
    // The frame below is C: nothing may unwind into it.
    catch_unwind(AssertUnwindSafe(|| obey(arrival))).unwrap_or(PANICKED)
}

fn obey(Arrival { paper, mut line, parent }: Arrival) -> i32 {
    let paper = PAPER.get_or_init(|| paper);
    if !line.may_go() {
        return REFUSED;
    }
    let (order, args) = match Order::read(paper) {
        Ok(read) => read,
        Err(error) => return refuse(&mut line, &format!("the order cannot be read: {error}")),
    };
    let entry = match order.entry() {
        Ok(entry) => entry,
        Err(reason) => return refuse(&mut line, &reason),
    };
    if order.detached {
        children::leave_session();
    } else if !children::die_with(parent) {
        // The starter is gone, and so is whoever wanted this.
        return REFUSED;
    }
    children::call_me(&order.name);
    current::enter(order.name, entry.name, parent, order.parent_name);
    watch_panics();
    // Objects that came as arguments stay until this process ends: the starter lets go of them once it is greeted.
    let mut kept: Vec<Kept> = Vec::new();
    let mut line = Some(line);
    let mut output = Vec::new();
    let outcome = receiving(|addresses| {
        catch_unwind(AssertUnwindSafe(|| {
            let mut ready = || {
                kept.extend(addresses().iter().filter_map(|address| address.keep().ok()));
                greet(&mut line, &[YES]);
            };
            (entry.run)(&args, &mut ready, &mut output)
        }))
    });
    let (reply, code) = match outcome {
        Ok(Ok(())) => (Reply::Returned(output), RETURNED),
        Ok(Err(Unfit::Arguments(error))) => {
            return match &mut line {
                Some(line) => refuse(line, &format!("the arguments cannot be decoded: {error}")),
                None => REFUSED,
            };
        }
        Ok(Err(Unfit::Output(error))) => (Reply::Unfit(error.to_string()), RETURNED),
        Err(panic) => (Reply::Panicked(message_of(&*panic)), PANICKED),
    };
    match reply.write(paper) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("the result of task '{}' cannot be handed over: {error}", entry.name);
            REFUSED
        }
    }
}

fn greet(line: &mut Option<Line>, text: &[u8]) {
    if let Some(mut line) = line.take() {
        line.say(text);
    }
}

fn refuse(line: &mut Line, reason: &str) -> i32 {
    line.say(&[&[NO], reason.as_bytes()].concat());
    REFUSED
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes what panics say before they are forgotten.
fn watch_panics() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = text_of(info.payload()).unwrap_or_else(|| "(no text)".to_owned());
        let text = match info.location() {
            Some(place) => format!("{text} (at {place})"),
            None => text,
        };
        if cfg!(panic = "abort")
            && let Some(paper) = PAPER.get()
        {
            // Nobody comes back from this one.
            let _ = Reply::Panicked(text.clone()).write(paper);
        }
        let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(text));
        previous(info);
    }));
}

/// What the panic that was just caught said.
pub(super) fn message_of(payload: &(dyn Any + Send)) -> String {
    let noted = LAST_PANIC.with(|last| last.borrow_mut().take());
    noted.or_else(|| text_of(payload)).unwrap_or_else(|| "(no text)".to_owned())
}

fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}
