//! The world of a model: threads that stand for processes, sleep in a parking lot, and are killed at any step.
//!
//! A model is a closure that loom runs once for every interleaving of its threads (up to a number of preemptions) and every
//! value their loads may see. Sleeping is real: a wake-up that gets lost leaves everybody blocked, which loom reports.
//!
//! A killed thread stops in front of one of its steps, which are its accesses to atomics and its calls of the [`Host`], and
//! runs no further until the model has checked everything. [`World::kill_at_every_step`] goes through them all.
//!
//! Slices of sleeps end only after a death: each thread then has one for each value that it sleeps on. Others are not modelled:
//! while everybody lives nothing may depend on them, and who wakes from one and finds nothing changed sleeps on.

use loom::sync::{Condvar, Mutex};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::park::Futex;
use crate::participant::{Fate, Host};
use crate::sync::Owner;
use crate::time::Deadline;

/// The most participants of a model; the ids are 1 to this.
const MOST: usize = 3;

/// One sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sleep {
    id: u32,
    address: usize,
    expected: u32,
}

/// What the kernel knows.
#[derive(Default)]
struct State {
    /// Who sleeps, in the order of their coming.
    sleepers: Vec<Sleep>,
    /// Sleeps of which a slice ended since the last death.
    slices: Vec<Sleep>,
    dead: Vec<u32>,
    /// Fated participants that were not killed in time.
    ended: Vec<u32>,
    /// Everything has been checked: the killed may unwind.
    over: bool,
}

/// Where the participants of one run live.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    /// One for each participant, and one for the ends of threads and of the model.
    alarms: [Condvar; MOST + 1],
}

/// One thread, which stands for a process of one thread.
pub(crate) struct Participant {
    world: Arc<World>,
    id: u32,
}

/// Where a thread is killed.
#[derive(Clone)]
struct Doom {
    world: Arc<World>,
    id: u32,
    steps: u32,
    /// Set when it happens.
    struck: Arc<AtomicBool>,
}

/// What a killed thread unwinds with.
struct Killed;

loom::thread_local! {
    static DOOM: RefCell<Option<Doom>> = RefCell::new(None);
}

/// One step of the calling thread: here it may be killed.
pub(crate) fn step() {
    let doomed = DOOM.with(|doom| {
        let mut doom = doom.borrow_mut();
        let remaining = doom.as_mut()?;
        if remaining.steps > 0 {
            remaining.steps -= 1;
            return None;
        }
        doom.take()
    });
    if let Some(doom) = doomed {
        doom.struck.store(true, Relaxed);
        doom.world.die(doom.id);
    }
}

/// Runs `model` for every interleaving with at most `preemptions` of them forced.
pub(crate) fn explore(preemptions: usize, model: impl Fn(&Arc<World>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(preemptions));
    builder.check(move || {
        let world = Arc::new(World::default());
        model(&world);
        world.end();
    });
}

/// Runs `model` once for each step at which the thread that it starts with the given [`Fated`] can be killed, and once for
/// none.
pub(crate) fn kill_at_every_step(
    preemptions: usize,
    model: impl Fn(&Arc<World>, Fated) + Send + Sync + 'static,
) {
    let model = Arc::new(model);
    for steps in 0.. {
        let struck = Arc::new(AtomicBool::new(false));
        let (fated, model) = (Fated { steps, struck: Arc::clone(&struck) }, Arc::clone(&model));
        explore(preemptions, move |world| model(world, fated.clone()));
        if !struck.load(Relaxed) {
            assert!(steps > 0, "the fated thread takes no step");
            return;
        }
    }
}

/// After how many steps a thread is killed.
#[derive(Clone)]
pub(crate) struct Fated {
    steps: u32,
    struck: Arc<AtomicBool>,
}

/// A thread of a model.
pub(crate) struct Running(loom::thread::JoinHandle<()>);

impl Running {
    /// Waits for a thread that is not killed.
    pub(crate) fn join(self) {
        self.0.join().expect("a thread of the model panicked");
    }
}

/// Waits for all of them.
pub(crate) fn join(all: impl IntoIterator<Item = Running>) {
    all.into_iter().for_each(Running::join);
}

/// Data that a protocol keeps for one thread at a time: loom reports every access that is not ordered behind the others.
pub(crate) type Guarded<T> = loom::cell::Cell<T>;

impl World {
    /// The participant `id`, for the calling thread.
    pub(crate) fn participant(self: &Arc<Self>, id: u32) -> Participant {
        assert!((1..=MOST as u32).contains(&id));
        Participant { world: Arc::clone(self), id }
    }

    /// Starts a thread that lives.
    pub(crate) fn spawn(self: &Arc<Self>, id: u32, life: impl FnOnce(&Participant) + 'static) -> Running {
        let world = Arc::clone(self);
        Running(loom::thread::spawn(move || life(&world.participant(id))))
    }

    /// Starts a thread that is killed when its time has come. Nobody waits for it.
    pub(crate) fn spawn_fated(
        self: &Arc<Self>,
        id: u32,
        fated: Fated,
        life: impl FnOnce(&Participant) + 'static,
    ) {
        let world = Arc::clone(self);
        loom::thread::spawn(move || {
            let doom = Doom { world: Arc::clone(&world), id, steps: fated.steps, struck: fated.struck };
            DOOM.with(|own| *own.borrow_mut() = Some(doom));
            let lived = catch_unwind(AssertUnwindSafe(|| life(&world.participant(id))));
            DOOM.with(|own| *own.borrow_mut() = None);
            match lived {
                Ok(()) => {
                    world.state.lock().expect("no panic under it").ended.push(id);
                    world.alarms[MOST].notify_all();
                }
                Err(reason) if reason.is::<Killed>() => {}
                Err(reason) => resume_unwind(reason),
            }
        });
    }

    /// Declares a participant without a thread dead.
    pub(crate) fn kill(&self, id: u32) {
        self.bury(&mut self.state.lock().expect("no panic under it"), id);
    }

    /// Waits until the fated thread `id` has been killed or has ended.
    pub(crate) fn await_end(&self, id: u32) {
        let mut state = self.state.lock().expect("no panic under it");
        while !state.dead.contains(&id) && !state.ended.contains(&id) {
            state = self.alarms[MOST].wait(state).expect("no panic under it");
        }
    }

    fn bury(&self, state: &mut State, id: u32) {
        state.dead.push(id);
        state.slices = std::mem::take(&mut state.sleepers);
        for sleep in &state.slices {
            self.alarms[sleep.id as usize - 1].notify_all();
        }
        self.alarms[MOST].notify_all();
    }

    /// The end of the calling thread, until the model is over.
    fn die(&self, id: u32) {
        let mut state = self.state.lock().expect("no panic under it");
        self.bury(&mut state, id);
        while !state.over {
            state = self.alarms[MOST].wait(state).expect("no panic under it");
        }
        drop(state);
        resume_unwind(Box::new(Killed));
    }

    /// Lets the killed unwind.
    fn end(&self) {
        self.state.lock().expect("no panic under it").over = true;
        self.alarms[MOST].notify_all();
    }
}

impl Participant {
    /// The participant's only thread, as lock words name it.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(self.id, 1)
    }
}

impl Host for Participant {
    fn fate(&self, id: u32) -> Fate {
        step();
        let state = self.world.state.lock().expect("no panic under it");
        if state.dead.contains(&id) { Fate::Gone } else { Fate::Alive }
    }

    fn wait(&self, word: &impl Futex, expected: u32, deadline: Deadline, _: u64) {
        step();
        // The kernel compares the word; a thread is killed before that, or after it was woken.
        let doom = DOOM.with(|own| own.borrow_mut().take());
        self.sleep(word, expected, deadline);
        DOOM.with(|own| *own.borrow_mut() = doom);
        step();
    }

    fn wake(&self, word: &impl Futex, count: u32) -> u32 {
        step();
        let mut state = self.world.state.lock().expect("no panic under it");
        let address = word.address().addr();
        let mut woken = 0;
        state.sleepers.retain(|sleep| {
            let wakes = sleep.address == address && woken < count;
            if wakes {
                woken += 1;
                self.world.alarms[sleep.id as usize - 1].notify_all();
            }
            !wakes
        });
        woken
    }
}

impl Participant {
    fn sleep(&self, word: &impl Futex, expected: u32, deadline: Deadline) {
        let mut state = self.world.state.lock().expect("no panic under it");
        if word.bits() != expected || deadline != Deadline::Never {
            // A sleep with a deadline is over at once, which is the shortest it can be.
            if let Deadline::At(ns) = deadline {
                crate::sys::sleep_until(ns);
            }
            return;
        }
        let sleep = Sleep { id: self.id, address: word.address().addr(), expected };
        if !state.dead.is_empty() && !state.slices.contains(&sleep) {
            state.slices.push(sleep);
            return;
        }
        state.sleepers.push(sleep);
        while state.sleepers.contains(&sleep) {
            state = self.world.alarms[self.id as usize - 1].wait(state).expect("no panic under it");
        }
    }
}
