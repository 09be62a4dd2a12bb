//! Segments whose registry was deleted: their words hold ids that a new registry knows nothing of.

use std::ffi::OsStr;
use std::sync::Arc;

use super::host::{Fate, Host};
use super::space::Space;
use crate::error::{Error, Result};
use crate::shm::segment::Segment;
use crate::sys;

/// Makes sure that whoever uses `segment`, which the calling process has just attached itself to, has its id from the space's
/// registry; takes the segment over from a registry whose participants have all left it.
pub(super) fn settle(space: &Space, segment: &Arc<Segment>) -> Result<()> {
    let (home, old) = (space.0.registry.home(), segment.home());
    if old == home {
        return Ok(());
    }
    refuse_strangers(space, segment)?;
    segment.move_to(home);
    // One of the old registry may have attached itself before it could see that: then it keeps the segment.
    refuse_strangers(space, segment).inspect_err(|_| segment.move_to(old))
}

/// Fails if somebody is attached whom the space's registry does not know to be alive.
fn refuse_strangers(space: &Space, segment: &Segment) -> Result<()> {
    let name = OsStr::new(segment.name().as_str());
    let attached = sys::attached(&space.0.site.directory, name)
        .map_err(|source| space.0.site.explain_about(segment.name(), "look who uses", source))?;
    // Readers have no id, and hold nothing.
    let strangers = attached.iter().filter(|&&id| id != 0 && space.0.fate(id) != Fate::Alive).count();
    if strangers == 0 {
        return Ok(());
    }
    Err(Error::RegistryReplaced { object: segment.object(), strangers })
}
