//! The other side: what a started process does before `main`, and instead of it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::current;
use super::order::{Order, Reply};
use super::task::{Entry, Unfit};
use crate::participant::{Kept, receiving};
use crate::sys::children::{self, Arrival, Line, Paper};

/// What the first sentence begins with.
pub(super) const YES: u8 = b'+';
pub(super) const NO: u8 = b'-';
/// As `NO`: it is the right program, but cannot read the arguments.
pub(super) const UNFIT: u8 = b'?';

/// Exit codes: the task returned, it panicked, and it was not taken over.
const RETURNED: i32 = 0;
const PANICKED: i32 = 101;
const REFUSED: i32 = 70;

/// The paper, for panics that end the process.
static PAPER: OnceLock<Paper> = OnceLock::new();

children::at_start!(run);

/// Runs the task that this process was started for; returns the exit code.
pub(super) fn run(arrival: Arrival) -> i32 {
    // The frame below is C: nothing may unwind into it.
    catch_unwind(AssertUnwindSafe(|| obey(arrival))).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        PANICKED
    })
}

fn obey(Arrival { paper, mut line, parent }: Arrival) -> i32 {
    let paper = PAPER.get_or_init(|| paper);
    if !line.may_go() {
        return REFUSED;
    }
    let (order, args) = match Order::read(paper) {
        Ok(read) => read,
        Err(error) => return refuse(&mut line, NO, &format!("the order cannot be read: {error}")),
    };
    let entry = match order.entry() {
        Ok(entry) => entry,
        Err(reason) => return refuse(&mut line, NO, &reason),
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
    let (mut kept, mut line) = (Vec::<Kept>::new(), Some(line));
    let me = std::process::id();
    let outcome = call(entry, &args, &mut kept, &mut line);
    if std::process::id() != me {
        // The task forked, and this is the other one: what came of the task is not its to say.
        return if matches!(outcome, Ok(Reply::Returned(_))) { RETURNED } else { PANICKED };
    }
    let reply = match (outcome, &mut line) {
        (Ok(reply), _) => reply,
        (Err(reason), Some(line)) => return refuse(line, UNFIT, &reason),
        (Err(_), None) => return REFUSED,
    };
    match reply.write(paper) {
        Ok(()) if matches!(reply, Reply::Panicked(_)) => PANICKED,
        Ok(()) => RETURNED,
        Err(error) => {
            eprintln!("the result of task '{}' cannot be handed over: {error}", entry.name);
            REFUSED
        }
    }
}

/// Calls the task, and greets the starter in between. An error: these are no arguments.
fn call(entry: &Entry, args: &[u8], kept: &mut Vec<Kept>, line: &mut Option<Line>) -> Result<Reply, String> {
    let mut output = Vec::new();
    let outcome = receiving(|addresses| {
        catch_unwind(AssertUnwindSafe(|| {
            let mut ready = || {
                kept.extend(addresses().iter().filter_map(|address| address.keep().ok()));
                if let Some(mut line) = line.take() {
                    line.say(&[YES]);
                }
            };
            (entry.run)(args, &mut ready, &mut output)
        }))
    });
    match outcome {
        Ok(Ok(())) => Ok(Reply::Returned(output)),
        Ok(Err(Unfit::Arguments(error))) => Err(error.to_string()),
        Ok(Err(Unfit::Output(error))) => Ok(Reply::Unfit(error.to_string())),
        Err(panic) if line.is_some() => Err(format!("reading them panicked: {}", message_of(panic))),
        Err(panic) => Ok(Reply::Panicked(message_of(panic))),
    }
}

fn refuse(line: &mut Line, how: u8, reason: &str) -> i32 {
    line.say(&[&[how], reason.as_bytes()].concat());
    REFUSED
}

/// What a panic said, and where.
struct Said {
    text: Option<String>,
    place: String,
}

impl Said {
    fn whole(&self) -> String {
        format!("{}{}", self.text.as_deref().unwrap_or(NO_TEXT), self.place)
    }
}

/// Of a panic whose payload is something else.
const NO_TEXT: &str = "(no text)";

thread_local! {
    /// The last panic of this thread.
    static LAST_PANIC: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Notes what panics say before they are forgotten.
fn watch_panics() {
    let (previous, me) = (std::panic::take_hook(), std::process::id());
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or(String::new(), |place| format!(" (at {place})"));
        let said = Said { text: text_of(info.payload()), place };
        if cfg!(panic = "abort")
            && let Some(paper) = PAPER.get()
            && std::process::id() == me
        {
            // Nobody comes back from this one.
            let _ = Reply::Panicked(said.whole()).write(paper);
        }
        let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(said));
        previous(info);
    }));
}

/// What the panic that was just caught said.
///
/// The payload is forgotten: its drop could panic in turn. A process that has got here ends soon.
pub(super) fn message_of(payload: Box<dyn Any + Send>) -> String {
    let text = text_of(&*payload);
    std::mem::forget(payload);
    match LAST_PANIC.take() {
        // Another one's, caught before, if this one was raised past the hook.
        Some(said) if said.text == text => said.whole(),
        _ => text.unwrap_or_else(|| NO_TEXT.to_owned()),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}
