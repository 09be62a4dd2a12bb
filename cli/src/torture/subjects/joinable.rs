//! `JoinableQueue`: every task is done at least once, and `join` says so no sooner.

use procshare::bytemuck::{Pod, Zeroable};
use procshare::{
    AtomicArray, Error, Handle, JoinableInit, JoinableQueue, Lifetime, Plain, PutError, Space, Task,
};

use super::line::{was_got, was_put};
use super::tickets::Tickets;
use crate::torture::actor::Actor;
use crate::torture::board::Board;
use crate::torture::subject::{Calm, Stage, Stop, Subject, Turn, broken};

const CAPACITY: usize = 16;

/// A task; the second field tells whether it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable, Plain)]
#[bytemuck(crate = "procshare::bytemuck")]
#[plain(name = "procshare.torture.task")]
#[repr(C)]
pub(in crate::torture) struct Work {
    ticket: u64,
    check: [u64; 2],
}

impl Work {
    fn new(ticket: u64) -> Self {
        Work { ticket, check: [ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15); 2] }
    }
}

/// A queue of tasks, and what became of them.
pub(in crate::torture) struct JoinableSubject {
    jobs: JoinableQueue<Work>,
    tickets: Tickets,
}

type Plan = (Handle<JoinableQueue<Work>>, Handle<AtomicArray<u64>>);

impl Stage for JoinableSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let init = JoinableInit::new(CAPACITY);
        let jobs = JoinableQueue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(init)?;
        Ok(JoinableSubject { jobs, tickets: Tickets::new(space)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (jobs, tickets): Plan = serde_json::from_str(plan)?;
        Ok(JoinableSubject { jobs: jobs.attach()?, tickets: Tickets::attach(&tickets)? })
    }
}

impl JoinableSubject {
    fn put(&self, put: impl FnOnce(Work) -> Result<(), PutError<Work>>) -> Turn {
        self.tickets.put(|ticket| was_put(put(Work::new(ticket))))
    }

    /// Does a task: the note comes first, so that who dies in between has it done once more, and never less.
    fn finish(&self, task: Task<'_, Work>) -> Turn {
        self.look(&task)?;
        self.tickets.came(task.ticket)?;
        task.done();
        Ok(())
    }

    fn look(&self, work: &Work) -> Turn {
        if *work != Work::new(work.ticket) {
            broken!("torn: {work:?}");
        }
        Ok(())
    }

    fn work(&self, actor: &mut Actor) -> Turn {
        let task = if actor.is_probe() {
            was_got(self.jobs.get())?
        } else {
            was_got(self.jobs.get_timeout(actor.patience()))?
        };
        actor.granted()?;
        self.look(&task)?;
        actor.inside()?;
        self.finish(task)
    }

    fn drain(&self) -> Turn {
        while let Ok(task) = self.jobs.try_get() {
            self.finish(task)?;
        }
        match self.jobs.try_join() {
            Ok(()) => Ok(()),
            Err(Error::WouldBlock) => broken!("drained, and {} unfinished", self.jobs.unfinished()),
            Err(other) => Err(other.into()),
        }
    }
}

impl Subject for JoinableSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.jobs, self.tickets.handle()))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        if actor.is_probe() {
            // The holder has the only task in its hands.
            if actor.is_holder() {
                self.put(|work| self.jobs.put(work))?;
            }
            self.work(actor)?;
            return self.put(|work| self.jobs.put(work));
        }
        let patience = actor.patience();
        match actor.choose(8) {
            0 | 1 => self.put(|work| self.jobs.put_timeout(work, patience)),
            2 => self.put(|work| self.jobs.try_put(work)),
            3 => {
                let task = was_got(self.jobs.try_get())?;
                actor.inside()?;
                task.give_back();
                Ok(())
            }
            4 => match self.jobs.join_timeout(patience) {
                Ok(()) | Err(Error::TimedOut) => Err(Stop::Again),
                Err(other) => Err(other.into()),
            },
            _ => self.work(actor),
        }
    }

    fn check(&self, _calm: &Calm<'_>) -> Turn {
        self.drain()?;
        match self.tickets.settle()? {
            0 => Ok(()),
            lost => broken!("{lost} tasks were put and never done"),
        }
    }

    fn prepare(&self, _board: &Board) -> Turn {
        self.drain()
    }
}
