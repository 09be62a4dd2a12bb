//! The thread that runs callbacks, so that a slow one delays no results and one that panics ends nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, PoisonError};

use super::batch::{Arrival, Callback};

type Call = Box<dyn FnOnce() + Send>;

/// Callbacks to be called, one after the other; there is no thread before the first.
#[derive(Default)]
pub(super) struct Callbacks(Mutex<Option<Sender<Call>>>);

impl Callbacks {
    pub(super) fn call(&self, callback: Callback, outcomes: Vec<Arrival>) {
        // The panic's message has been printed; there is nobody else to tell.
        let call: Call = Box::new(move || drop(catch_unwind(AssertUnwindSafe(|| callback(outcomes)))));
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
