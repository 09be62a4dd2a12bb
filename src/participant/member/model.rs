//! A membership in a model: one of its participants, who has always joined.

use std::sync::Arc;

use super::host::Host;
use super::space::Space;
use crate::error::Result;
use crate::model::Participant;
use crate::sys::Access;

/// The participant.
#[derive(Clone)]
pub(crate) struct Member(Arc<Participant>);

impl Member {
    pub(super) fn new(_: &Space, _: Access) -> Self {
        panic!("a model has no spaces")
    }

    pub(crate) fn of_model(participant: Participant) -> Self {
        Member(Arc::new(participant))
    }

    pub(crate) fn me(&self) -> u32 {
        self.0.owner().id()
    }

    pub(crate) fn join(&self, _: impl FnOnce() -> String, _: &'static str) -> Result<u32> {
        Ok(self.me())
    }

    pub(crate) fn may_write(&self) -> bool {
        true
    }

    pub(crate) fn host(&self) -> &impl Host {
        &*self.0
    }
}
