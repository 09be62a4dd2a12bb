//! Options of an object: where it lives, how long, who may use it.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use super::object::{self, Object, Publish};
use super::space::{Space, SpaceBuilder};
use crate::error::{Error, Result};
use crate::shm::Lifetime;
use crate::shm::name::{self, DEFAULT_SPACE, Name, Place};
use crate::sys::{self, Access};

/// How often `open_or_create` finds a name neither taken nor free before it gives up, and before it begins to pause.
const ROUNDS: u32 = 2_000;
const EAGER_ROUNDS: u32 = 16;

const REMOVER_IS_STOPPED: &str =
    "its last user is removing it, and does not proceed: continue or end that process";

/// Options of an object, from its `builder()`.
///
/// A name is `name` (in the builder's space, else in the space `default`), `space/name`, or `/directory/name`; the latter two
/// say their space themselves, whatever the builder's is, and trust the calling user only. Each part is 1 to 200 of the
/// characters `A-Z a-z 0-9 . _ -` and begins with no dot.
///
/// ```
/// use procshare::{Lifetime, Lock};
///
/// let name = format!("doc-builder-{}", std::process::id());
/// let lock = Lock::builder().lifetime(Lifetime::Scoped).create(&name)?;
/// assert!(Lock::open(&name).is_ok());
/// drop(lock);
/// assert!(Lock::open(&name).is_err(), "a scoped object goes with its last user");
/// # Ok::<(), procshare::Error>(())
/// ```
#[must_use = "options do nothing until `create`, `open`, `open_or_create` or `anonymous` is called"]
pub struct Builder<O> {
    space: Option<Space>,
    lifetime: Option<Lifetime>,
    mode: Option<u32>,
    access: Access,
    object: PhantomData<fn() -> O>,
}

impl<O> fmt::Debug for Builder<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("space", &self.space)
            .field("lifetime", &self.lifetime)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl<O: Object> Builder<O> {
    /// Options as they are unless said.
    pub(crate) fn new() -> Self {
        Builder { space: None, lifetime: None, mode: None, access: Access::ReadWrite, object: PhantomData }
    }

    /// Puts the object into `space`.
    pub fn space(mut self, space: &Space) -> Self {
        self.space = Some(space.clone());
        self
    }

    /// Says how long a new object lives: named ones until they are unlinked, anonymous ones until their last user leaves.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Gives a new object's file these permission bits, such as `0o640`, instead of those that the [trust](crate::Trust) of its space
    /// implies.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o777);
        self
    }

    /// Opens for reading only: the memory is mapped without write access, and whatever would write is refused.
    pub fn read_only(mut self, yes: bool) -> Self {
        self.access = if yes { Access::ReadOnly } else { Access::ReadWrite };
        self
    }

    /// Makes the object.
    ///
    /// It appears under its name complete or not at all, whoever dies meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] if the name is taken; [`Error::BadName`]; [`Error::BadSize`]; [`Error::NoSpace`]; those of
    /// [`SpaceBuilder::open_or_create`](crate::SpaceBuilder::open_or_create) and [`Space::join`].
    pub fn create_with(self, name: &str, init: O::Init) -> Result<O> {
        let (space, name) = self.find(name, SpaceBuilder::open_or_create)?;
        object::create(&space, &name, self.publish(Lifetime::Named), init)
    }

    /// Opens the object, which must exist.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::WrongKind`], [`Error::WrongType`], [`Error::WrongVersion`], [`Error::WrongBackend`],
    /// [`Error::NotASegment`] if something else has the name; [`Error::PermissionDenied`].
    pub fn open(self, name: &str) -> Result<O> {
        let (space, name) = self.find(name, SpaceBuilder::open)?;
        object::open(&space, &name, self.access, None)
    }

    /// Opens the object, or makes it if there is none; under any race exactly one caller makes it.
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with) and [`open`](Self::open); [`Error::Io`] after some seconds if a stopped process is in the
    /// middle of removing what has the name.
    pub fn open_or_create_with(self, name: &str, init: O::Init) -> Result<O>
    where
        O::Init: Clone,
    {
        let (space, name) = self.find(name, SpaceBuilder::open_or_create)?;
        for round in 0..ROUNDS {
            match object::open(&space, &name, self.access, None) {
                Err(Error::NotFound { .. }) => {}
                other => return other,
            }
            match object::create(&space, &name, self.publish(Lifetime::Named), init.clone()) {
                Err(Error::AlreadyExists { .. }) => {}
                other => return other,
            }
            // Its last user is removing what has the name, which takes some microseconds.
            if round >= EAGER_ROUNDS {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let site = &space.0.site;
        Err(site.explain_about(&name, "open", io::Error::new(io::ErrorKind::TimedOut, REMOVER_IS_STOPPED)))
    }

    /// Makes an object without a name, for threads, forked children, and whoever receives its handle.
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn anonymous_with(self, init: O::Init) -> Result<O> {
        let space = match &self.space {
            Some(space) => space.clone(),
            None => Space::default_space()?,
        };
        let name = Name::anonymous(sys::random_u128());
        object::create(&space, &name, self.publish(Lifetime::Scoped), init)
    }

    /// Removes the name; whoever is attached keeps using the object.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::PermissionDenied`].
    pub fn unlink(self, name: &str) -> Result<()> {
        let known = |space: &SpaceBuilder| space.known().map_or_else(|| space.open(), Ok);
        let (space, name) = self.find(name, known)?;
        space.remove(&name)
    }

    fn publish(&self, default: Lifetime) -> Publish {
        Publish { lifetime: self.lifetime.unwrap_or(default), mode: self.mode }
    }

    fn find(&self, text: &str, enter: impl FnOnce(&SpaceBuilder) -> Result<Space>) -> Result<(Space, Name)> {
        let (place, name) = name::parse(text)?;
        let builder = match (place, &self.space) {
            (Place::Unsaid, Some(space)) => return Ok((space.clone(), name)),
            (Place::Unsaid, None) => Space::named(DEFAULT_SPACE)?,
            (Place::Named(space), _) => Space::named(space.as_str())?,
            (Place::Directory(directory), _) => Space::at(directory),
        };
        match enter(&builder) {
            // Without its space there is no object either.
            Err(Error::NotFound { .. }) => Err(Error::NotFound { object: text.to_owned() }),
            other => Ok((other?, name)),
        }
    }
}
