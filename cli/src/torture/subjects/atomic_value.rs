//! `AtomicValue`: no step is lost, none is done twice.

use procshare::{AtomicValue, Handle, Lifetime, Space};

use crate::torture::actor::Actor;
use crate::torture::subject::{Calm, Stage, Subject, Turn, broken};

pub(in crate::torture) struct AtomicValueSubject {
    /// Counts steps.
    counter: AtomicValue<u64>,
    /// The highest number that the counter was seen to have.
    highest: AtomicValue<u64>,
}

type Plan = (Handle<AtomicValue<u64>>, Handle<AtomicValue<u64>>);

impl Stage for AtomicValueSubject {
    fn set(space: &Space, _contenders: usize) -> procshare::Result<Self> {
        let value = || AtomicValue::builder().space(space).lifetime(Lifetime::Scoped).anonymous(0);
        Ok(AtomicValueSubject { counter: value()?, highest: value()? })
    }

    fn attach(plan: &str) -> anyhow::Result<Self> {
        let (counter, highest): Plan = serde_json::from_str(plan)?;
        Ok(AtomicValueSubject { counter: counter.attach()?, highest: highest.attach()? })
    }
}

impl Subject for AtomicValueSubject {
    fn plan(&self) -> serde_json::Result<String> {
        serde_json::to_string(&(&self.counter, &self.highest))
    }

    fn turn(&self, actor: &mut Actor) -> Turn {
        let seen = self.counter.load();
        let before = match actor.choose(3) {
            0 => self.counter.fetch_add(1)?,
            1 => self.counter.fetch_update(|count| Some(count + 1))?.unwrap_or_default(),
            _ => {
                let mut current = seen;
                loop {
                    match self.counter.compare_exchange(current, current + 1)? {
                        Ok(before) => break before,
                        Err(other) => current = other,
                    }
                }
            }
        };
        actor.done()?;
        if before < seen {
            broken!("{before} was found after {seen}");
        }
        actor.inside()?;
        self.highest.fetch_max(before + 1)?;
        Ok(())
    }

    fn check(&self, calm: &Calm<'_>) -> Turn {
        let (count, highest) = (self.counter.load(), self.highest.load());
        if highest > count || count > highest + calm.deaths {
            broken!("the counter has {count}, {highest} was seen, {} died", calm.deaths);
        }
        calm.count("steps", count)
    }

    fn waits(&self) -> bool {
        false
    }
}
