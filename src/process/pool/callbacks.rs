//! The thread that runs callbacks, so that a slow one delays no results and one that panics ends nothing.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::batch::{Arrival, Callback};

type Call = Box<dyn FnOnce() + Send>;

/// Callbacks to be called, one after the other; there is no thread before the first.
#[derive(Default)]
pub(super) struct Callbacks {
    thread: Mutex<Option<Sender<Call>>>,
    due: Arc<Due>,
}

/// How many were handed in and have not been called.
#[derive(Default)]
struct Due {
    count: Mutex<u64>,
    none: Condvar,
}

thread_local! {
    /// Whose callback the thread is in.
    static WITHIN: Cell<*const Due> = const { Cell::new(std::ptr::null()) };
}

/// One that is due: until it was called, or dropped uncalled.
struct Ticket(Arc<Due>);

impl Ticket {
    fn new(due: &Arc<Due>) -> Self {
        *due.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ticket(Arc::clone(due))
    }

    fn call(&self, callback: impl FnOnce()) {
        /// Also behind a panic.
        struct Back(*const Due);
        impl Drop for Back {
            fn drop(&mut self) {
                WITHIN.set(self.0);
            }
        }
        let _back = Back(WITHIN.replace(Arc::as_ptr(&self.0)));
        callback();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.0.none.notify_all();
        }
    }
}

impl Callbacks {
    /// Takes a callback in: it is waited for.
    pub(super) fn take(&self, callback: impl FnOnce(Vec<Arrival>) + Send + 'static) -> Callback {
        let ticket = Ticket::new(&self.due);
        Box::new(move |outcomes| ticket.call(|| callback(outcomes)))
    }

    /// Waits until all that were taken in have been called. Within one of them not at all.
    pub(super) fn wait(&self) {
        if std::ptr::eq(WITHIN.get(), &*self.due) {
            return;
        }
        let mut count = self.due.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            count = self.due.none.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn call(&self, callback: Callback, outcomes: Vec<Arrival>) {
        // The panic's message has been printed; there is nobody else to tell.
        let call: Call = Box::new(move || drop(catch_unwind(AssertUnwindSafe(|| callback(outcomes)))));
        let mut sender = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.is_none() {
            let (made, calls) = mpsc::channel::<Call>();
            let thread = std::thread::Builder::new().name("procshare callbacks".into());
            if thread.spawn(move || calls.iter().for_each(|call| call())).is_ok() {
                *sender = Some(made);
            }
        }
        match &*sender {
            Some(sender) => drop(sender.send(call)),
            // No thread to be had: late is better than never.
            None => call(),
        }
    }
}
