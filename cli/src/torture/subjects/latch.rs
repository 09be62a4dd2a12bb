//! `Latch`: each count arrives once, and nobody passes before the last.

use procshare::{Handle, Latch, Lifetime, Space};

use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

/// More than any storm counts.
const COUNT: u32 = 1 << 30;

pub(in crate::torture) struct LatchSubject {
    latch: Latch,
}

impl Stage for LatchSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        Ok(LatchSubject { latch: Latch::builder().space(space).lifetime(Lifetime::Scoped).anonymous(COUNT)? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let latch: Handle<Latch> = serde_json::from_str(plan)?;
        Ok(LatchSubject { latch: latch.attach()? })
    }
}

impl Subject for LatchSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.latch)
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let before = self.latch.count();
        let left = self.latch.count_down(1)?;
        actor.done()?;
        if left >= before {
            broken!("{left} are left after a count, of {before} before it");
        }
        actor.inside()?;
        let passed = match actor.choose(8) {
            0 => self.latch.wait_timeout(actor.patience())?,
            _ => self.latch.try_wait(),
        };
        if passed {
            broken!("passed a latch that waits for {} more", self.latch.count());
        }
        Ok(())
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        calm.count("counts", u64::from(COUNT - self.latch.count()))
    }

    fn waits(&self) -> bool {
        false
    }
}
