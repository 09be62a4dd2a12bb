//! A handle's membership: the space it lives in and the calling process's id there.

use super::host::Host;
use super::id::ParticipantId;
use super::space::{Inner, Space};
use crate::error::{Error, Result};
use crate::sys::{Access, Identity};

/// What every handle carries beside its words.
#[derive(Clone)]
pub(crate) struct Member {
    /// The id's own copy: one load less on every fast path. Of a read-only handle it is nobody's, which leads all that would
    /// write into the slow path, where it is refused.
    me: Identity,
    space: Space,
    access: Access,
}

impl Member {
    /// The membership of a handle with so much access.
    pub(super) fn new(space: &Space, access: Access) -> Self {
        let me = match access {
            Access::ReadWrite => space.0.identity().clone(),
            Access::ReadOnly => Identity::nobody(),
        };
        Member { me, space: space.clone(), access }
    }

    /// The calling process's id; 0 if it has not joined yet or the handle is read-only.
    #[inline]
    pub(crate) fn me(&self) -> u32 {
        self.me.get()
    }

    /// The calling process's id; joins a forked child. `object` and `action` are for the refusal of read-only handles.
    pub(crate) fn join(&self, object: impl FnOnce() -> String, action: &'static str) -> Result<u32> {
        match self.access {
            Access::ReadWrite => self.space.0.join().map(ParticipantId::to_bits),
            Access::ReadOnly => Err(Error::ReadOnly { object: object(), action }),
        }
    }

    /// Whether the handle may write.
    pub(crate) fn may_write(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// The surroundings of the handle's words.
    pub(crate) fn host(&self) -> &impl Host {
        let inner: &Inner = &self.space.0;
        inner
    }
}
