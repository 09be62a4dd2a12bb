//! Removing what the dead left.

use std::ffi::OsStr;

use super::space::Space;
use crate::error::{Error, Result};
use crate::shm::name::Name;
use crate::shm::segment;
use crate::sys;

/// What [`Space::collect`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// Scoped objects without a live user, by name.
    pub objects: Vec<String>,
    /// Unpublished remains of dead creators, by file name.
    pub remains: Vec<String>,
}

impl Space {
    /// Removes scoped objects without live users and unpublished remains; never a named object, never what somebody uses.
    ///
    /// Runs by itself whenever a process enters the space.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or a file that is to be removed cannot.
    pub fn collect(&self) -> Result<Collected> {
        let site = &self.0.site;
        let fail = |source| {
            site.explain(format!("space {}", site.space), site.directory.to_path_buf(), "list", source)
        };
        let mut collected = Collected {
            remains: sys::collect_remains(&site.directory).map_err(fail)?,
            ..Collected::default()
        };
        for file in sys::list(&site.directory).map_err(fail)? {
            let Some(text) = file.to_str() else { continue };
            if let Ok(name) = Name::existing(text)
                && segment::remove_unattached(site, &name, None).unwrap_or(false)
            {
                collected.objects.push(text.to_owned());
            }
        }
        Ok(collected)
    }

    /// Removes the name of an object of any kind, even a damaged one; `name` may be an anonymous object's file name. Whoever is
    /// attached keeps using the object.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`], [`Error::NotFound`], [`Error::PermissionDenied`]; [`Error::NotASegment`] if a directory has the name.
    ///
    /// ```
    /// use procshare::{Lock, Space};
    ///
    /// # let directory = std::env::temp_dir().join(format!("procshare-doc-unlink-{}", std::process::id()));
    /// let space = Space::at(&directory).open_or_create()?;
    /// let lock = Lock::builder().space(&space).create("jobs")?;
    /// space.unlink("jobs")?;
    /// assert!(lock.try_lock().is_ok());
    /// # std::fs::remove_dir_all(&directory).ok();
    /// # Ok::<(), procshare::Error>(())
    /// ```
    pub fn unlink(&self, name: &str) -> Result<()> {
        self.remove(&Name::existing(name)?)
    }

    /// Removes an object's name.
    pub(crate) fn remove(&self, name: &Name) -> Result<()> {
        let site = &self.0.site;
        sys::remove(&site.directory, OsStr::new(name.as_str())).map_err(|source| {
            match site.explain(site.object(name), site.path(name), "remove", source) {
                // A directory may stand where an object should.
                Error::Io { object, path, .. } if path.is_dir() => Error::NotASegment {
                    object,
                    what: "file type",
                    expected: "a regular file".into(),
                    found: "a directory".into(),
                },
                other => other,
            }
        })
    }
}
