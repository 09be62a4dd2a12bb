//! How the pool's own thread is called, and how it sleeps. Apart from the state: who notices a worker's end must not wait for that.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long it dozes: somebody said to come back soon and hear the workers, and then did not, for so long.
const DOZE: Duration = Duration::from_millis(1);
/// After so many dozes in which nobody needed it, it sleeps: a wake-up costs those who call it as much as many small tasks.
const DOZES: u32 = 8;

const AWAKE: u8 = 0;
/// It dozes, or is about to.
const DOZES_NOW: u8 = 1;
/// It sleeps until it is called, or is about to.
const SLEEPS: u8 = 2;

/// The router as others see it.
#[derive(Default)]
pub(super) struct Router {
    rest: AtomicU8,
    is_called: Mutex<bool>,
    called: Condvar,
}

/// What the router shall do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Duty {
    /// Hear the workers.
    Hear,
    /// Rest: somebody else hears them, or there is nothing to hear.
    Rest,
    /// Let somebody come back who is about to: if nobody does, the answer is another one.
    Wait,
}

/// What the router remembers between its rests.
#[derive(Default)]
pub(super) struct Watch {
    /// Visits that it has seen.
    pub(super) visits: u64,
    /// Dozes in a row without anybody to wait for.
    dozes: u32,
}

impl Router {
    /// Wakes it, unless it wakes up soon and that is enough.
    pub(super) fn call(&self, is_urgent: bool) {
        // SeqCst: no less than in `rest_unless`, with which it is a pair: either this sees that the router rests, or the router sees
        // why it was to be called.
        let rest = self.rest.load(Ordering::SeqCst);
        if rest == SLEEPS || (is_urgent && rest == DOZES_NOW) {
            *self.is_called.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.called.notify_one();
        }
    }

    /// Rests as long as `duty` says that there is nothing to do.
    pub(super) fn rest_unless(&self, watch: &mut Watch, mut duty: impl FnMut(&mut Watch) -> Duty) {
        loop {
            // SeqCst: said before it is looked whether there is something to do, as in `call`.
            self.rest.store(SLEEPS, Ordering::SeqCst);
            match duty(watch) {
                Duty::Hear => break,
                Duty::Wait => watch.dozes = 0,
                Duty::Rest => watch.dozes = (watch.dozes + 1).min(DOZES),
            }
            let dozes = watch.dozes < DOZES;
            if dozes {
                // Who saw it sleep before has called it.
                self.rest.store(DOZES_NOW, Ordering::SeqCst);
            }
            self.sleep(dozes.then_some(DOZE));
        }
        self.rest.store(AWAKE, Ordering::SeqCst);
    }

    /// Sleeps until it is called, at most `most`.
    fn sleep(&self, most: Option<Duration>) {
        let is_called = self.is_called.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_called = match most {
            _ if *is_called => is_called,
            Some(most) => self.called.wait_timeout(is_called, most).unwrap_or_else(PoisonError::into_inner).0,
            None => self
                .called
                .wait_while(is_called, |is_called| !*is_called)
                .unwrap_or_else(PoisonError::into_inner),
        };
        *is_called = false;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use procshare_harness::watchdog;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Lets a router rest until it is called by `calls` once it does so in this way.
    fn called_while(rest: u8, dozes: u32, calls: impl Fn(&Router)) {
        watchdog(LIMIT, || {
            let (router, is_wanted) = (Router::default(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let duty = |_: &mut Watch| match is_wanted.load(Ordering::SeqCst) {
                        true => Duty::Hear,
                        false if rest == SLEEPS => Duty::Rest,
                        false => Duty::Wait,
                    };
                    router.rest_unless(&mut Watch { dozes, ..Watch::default() }, duty);
                });
                while router.rest.load(Ordering::SeqCst) != rest {
                    std::thread::yield_now();
                }
                is_wanted.store(true, Ordering::SeqCst);
                calls(&router);
            });
            assert_eq!(router.rest.load(Ordering::SeqCst), AWAKE);
        });
    }

    #[test]
    fn a_router_that_sleeps_is_woken_by_any_call() {
        for is_urgent in [false, true] {
            called_while(SLEEPS, DOZES, |router| router.call(is_urgent));
        }
    }

    #[test]
    fn a_router_that_dozes_wakes_up_by_itself() {
        called_while(DOZES_NOW, 0, |_| ());
        called_while(DOZES_NOW, 0, |router| router.call(false));
    }

    #[test]
    fn a_router_that_nobody_needs_goes_to_sleep() {
        let (router, mut watch, mut looks) = (Router::default(), Watch::default(), 0);
        router.rest_unless(&mut watch, |_| {
            looks += 1;
            if looks < DOZES { Duty::Rest } else { Duty::Hear }
        });
        assert_eq!((looks, watch.dozes), (DOZES, DOZES - 1));
        // Called before it rests: it must not sleep on that.
        *router.is_called.lock().unwrap() = true;
        router.sleep(None);
        assert!(!*router.is_called.lock().unwrap());
    }
}
