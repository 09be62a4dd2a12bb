//! Models of the queues; see `crate::model`. What runs is the code of the queues themselves, on words and bytes of loom's.

mod broadcast;
mod frames;
mod ring;
mod spsc;

use std::rc::Rc;
use std::sync::Arc;

use crate::model::World;
use crate::participant::{Attached, Body, Object};
use crate::shm::segment::Segment;

/// A new object of a model, and how its participants attach.
struct Made {
    segment: Arc<Segment>,
}

impl Made {
    /// Makes an object whose words `place` places.
    fn new<O: Object>(init: O::Init, place: impl FnOnce(&Segment)) -> Self {
        let plan = O::plan(&init).expect("a size that an object can have");
        let segment = Segment::of_model(plan.body as usize);
        place(&segment);
        O::initialise(&Body { segment: &segment }, init).expect("a body of that size");
        Made { segment }
    }

    /// The object, as the participant `id` has it.
    fn attach<O: Object>(&self, world: &Arc<World>, id: u32) -> Rc<O> {
        let attached = Attached::of_model(&self.segment, world.participant(id));
        Rc::new(O::attach(attached).expect("it was made like that"))
    }
}

/// Whether `found` is one of these.
fn one_of<const N: usize>(found: &[u16], permitted: [&[u16]; N]) -> bool {
    permitted.contains(&found)
}
