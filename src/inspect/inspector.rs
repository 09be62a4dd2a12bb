//! One space, seen from outside.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::entry::{Content, Entry, Form};
use super::who::{self, Roster, Who};
use super::{Facts, kinds};
use crate::error::{Error, Result};
use crate::participant::{ParticipantId, Registry, Space, SpaceBuilder, map_facts};
use crate::shm::name::Name;
use crate::shm::segment::{Segment, Site};
use crate::sys::{self, Access, Trust};

/// A space, seen from outside: nothing is written, and nobody joins.
pub struct Inspector {
    site: Site,
    roster: Result<Roster>,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").field("directory", &self.site.directory).finish_non_exhaustive()
    }
}

impl Inspector {
    /// Looks at the space in `directory`.
    ///
    /// A registry that cannot be read is no reason to fail: objects are listed all the same, and of their users only the ids
    /// are known; [`registry_fault`](Self::registry_fault) tells.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such directory or no space in it; [`Error::UntrustedDirectory`],
    /// [`Error::PermissionDenied`].
    pub fn open(directory: impl AsRef<Path>, trust: Trust) -> Result<Self> {
        Self::of(&Space::at(directory).trust(trust))
    }

    /// Looks at the calling user's space `name`.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`], and as [`open`](Self::open).
    pub fn named(name: &str) -> Result<Self> {
        Self::of(&Space::named(name)?)
    }

    fn of(space: &SpaceBuilder) -> Result<Self> {
        let inspector = Self::lenient(space)?;
        match inspector.roster {
            Err(Error::NotFound { .. }) => {
                Err(Error::NotFound { object: format!("space {}", inspector.site.space) })
            }
            _ => Ok(inspector),
        }
    }

    /// A directory that may lack a registry.
    pub(super) fn lenient(space: &SpaceBuilder) -> Result<Self> {
        let site = space.site(false)?;
        Ok(Inspector { roster: Roster::open(&site), site })
    }

    /// The space's directory.
    pub fn directory(&self) -> &Path {
        &self.site.directory
    }

    /// The space's name; its directory if it has none.
    pub fn name(&self) -> &str {
        &self.site.space
    }

    /// Why the space's registry cannot be used, if so.
    pub fn registry_fault(&self) -> Option<&Error> {
        self.roster.as_ref().err()
    }

    /// How many participants the space can have at once; `None` if its registry cannot be read.
    pub fn capacity(&self) -> Option<u32> {
        self.roster.as_ref().ok().map(Roster::capacity)
    }

    /// The participants that live, by slot.
    ///
    /// # Errors
    ///
    /// The registry's fault, or that of asking who holds its bytes.
    pub fn participants(&self) -> Result<Vec<Who>> {
        let ask = |roster: &Roster| roster.living().map_err(|source| self.fault("ask who is in", source));
        match &self.roster {
            Ok(roster) => ask(roster),
            // Opening once more gives the same error again, or works by now.
            Err(_) => ask(&Roster::open(&self.site)?),
        }
    }

    /// Every file in the space except its registry, by name; damaged and foreign ones with the reason.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let names = sys::list(&self.site.directory).map_err(|source| self.fault("list", source))?;
        let registry = Registry::name();
        let objects = names.iter().filter(|file| *file != registry.as_str());
        // What vanishes meanwhile is left out.
        Ok(objects.filter_map(|file| self.look(file)).collect())
    }

    /// The object `name`, which may be an anonymous one's file name; a damaged one with the reason.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::BadName`].
    pub fn entry(&self, name: &str) -> Result<Entry> {
        let name = Name::existing(name)?;
        self.look(OsStr::new(name.as_str()))
            .ok_or_else(|| Error::NotFound { object: self.site.object(&name) })
    }

    /// The state of the object `name`; empty for kinds that have none beside their bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::BadName`]; [`Error::NotASegment`] and the other errors of opening for a damaged file.
    pub fn detail(&self, name: &str) -> Result<Facts<Who>> {
        let segment = self.segment(&Name::existing(name)?)?;
        match kinds::describer(segment.header().kind) {
            Some(describe) => Ok(map_facts(describe(&segment)?, &mut |id| who::named(&self.roster, id))),
            None => Ok(Facts::new()),
        }
    }

    /// Maps a segment for reading, without attaching to it.
    pub(super) fn segment(&self, name: &Name) -> Result<Arc<Segment>> {
        Segment::open(&self.site, name, Access::ReadOnly, None)
    }

    /// What the file is; `None` if there is none (any more).
    fn look(&self, file: &OsStr) -> Option<Entry> {
        let path = self.site.directory.join(file);
        let file_size = sys::file_facts(&path).ok()?.len;
        let mut entry = Entry {
            name: file.as_encoded_bytes().escape_ascii().to_string(),
            form: Form::Foreign,
            file_size,
            content: Err(self.unpublished(file)),
            attached: Vec::new(),
            readers: false,
        };
        if sys::is_remains(file) {
            entry.form = Form::Unpublished;
        } else {
            match Name::existing(&file.to_string_lossy()) {
                Err(error) => entry.content = Err(error),
                Ok(name) => {
                    entry.form = if name.is_anonymous() { Form::Anonymous } else { Form::Named };
                    entry.content = self.content(&name);
                    if matches!(entry.content, Err(Error::NotFound { .. })) {
                        return None;
                    }
                }
            }
        }
        if entry.form != Form::Foreign {
            // A file that cannot be asked has no attachments that we could show; its content says why.
            let ids = sys::attached(&self.site.directory, file).unwrap_or_default();
            entry.readers = ids.contains(&0);
            let ids = ids.into_iter().filter_map(ParticipantId::from_bits);
            entry.attached = ids.map(|id| who::attached(&self.roster, id)).collect();
        }
        Some(entry)
    }

    fn content(&self, name: &Name) -> Result<Content> {
        let segment = self.segment(name)?;
        let header = segment.header();
        let creator = ParticipantId::from_bits(header.creator).map(|id| who::named(&self.roster, id));
        Ok(Content::of(header, creator))
    }

    fn unpublished(&self, file: &OsStr) -> Error {
        Error::NotASegment {
            object: format!("{}/{}", self.site.space, file.as_encoded_bytes().escape_ascii()),
            what: "publication",
            expected: "a published object".into(),
            found: "one that is being made, or a dead creator's remains".into(),
        }
    }

    fn fault(&self, action: &'static str, source: std::io::Error) -> Error {
        let object = format!("space {}", self.site.space);
        self.site.explain(object, self.site.directory.to_path_buf(), action, source)
    }
}
