//! Segments: published complete or not at all, checked before they are believed, removed by whoever leaves last.

#[cfg(all(loom, test))]
mod model;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::ffi::OsStr;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::{Birth, HEADER_LEN, Header, Home, Lifetime, NewHeader, offset};
use super::name::Name;
use crate::error::{Error, Result};
use crate::sys::{self, Access, Draft, FileId, Region, Trust};

/// Objects whose size makes asking for free memory cheap in comparison: filling so many bytes takes longer than asking.
const ASK_BEFORE: u64 = 256 * 1024;

/// A directory of segments, as the callers of this module name it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) directory: Arc<Path>,
    /// How messages call it.
    pub(crate) space: Arc<str>,
    pub(crate) trust: Trust,
}

impl Site {
    /// How messages call the object `name`.
    pub(crate) fn object(&self, name: &Name) -> String {
        match name.as_str().strip_prefix(".anon-") {
            Some(random) => format!("{}/(anonymous {})", self.space, random.get(..8).unwrap_or(random)),
            None => format!("{}/{name}", self.space),
        }
    }

    /// The object's file.
    pub(crate) fn path(&self, name: &Name) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// Says what an I/O error means for `object`.
    pub(crate) fn explain(
        &self,
        object: String,
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    ) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { object },
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { object },
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { object, action, path },
            // Errors of the system itself have a number: this one is of the backend's making.
            io::ErrorKind::Unsupported if source.raw_os_error().is_none() => {
                Error::LocksUnsupported { path: self.directory.to_path_buf(), detail: source.to_string() }
            }
            io::ErrorKind::InvalidData => Error::NotASegment {
                object,
                what: "file type",
                expected: "a regular file".into(),
                found: source.to_string(),
            },
            _ => Error::Io { object, action, path, source },
        }
    }

    /// Says what an I/O error means for the object `name`.
    pub(crate) fn explain_about(&self, name: &Name, action: &'static str, source: io::Error) -> Error {
        self.explain(self.object(name), self.path(name), action, source)
    }
}

/// How many bytes a new segment has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Bytes of the body.
    pub(crate) body: u64,
    /// How many of them are backed by memory from the start; the rest when the object grows.
    pub(crate) backed: u64,
}

/// A mapped segment.
pub(crate) struct Segment {
    region: ManuallyDrop<Region>,
    header: Header,
    site: Site,
    name: Name,
    /// Whether it has its name: what fails before that leaves nothing to remove.
    published: AtomicBool,
    #[cfg(all(loom, test))]
    placed: model::Placed,
}

impl Segment {
    /// Makes a segment, lets `initialise` fill its body, and publishes it under `name`.
    ///
    /// Dead or failed creators leave nothing; a taken name is `AlreadyExists`.
    pub(crate) fn create(
        site: &Site,
        name: &Name,
        header: &NewHeader,
        extent: Extent,
        mode: Option<u32>,
        initialise: impl FnOnce(&Arc<Segment>) -> Result<()>,
    ) -> Result<Arc<Self>> {
        let total = extent.body + HEADER_LEN as u64;
        let backed = extent.backed.min(extent.body) + HEADER_LEN as u64;
        if backed >= ASK_BEFORE {
            ask_for_memory(site, name, backed)?;
        }
        let wanted = sys::NewFile { len: total, backed, trust: site.trust, mode, id: header.creator };
        let (draft, region) =
            Draft::create(&site.directory, &wanted).map_err(|source| no_space(site, name, backed, source))?;
        let bytes = header.encode(extent.body);
        // SAFETY: (S7) nobody else sees the draft; it has at least `HEADER_LEN` bytes, all backed by memory.
        unsafe { region.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), HEADER_LEN) };
        let header = Header::check(&bytes, total, &|| site.object(name))?;
        let segment = Arc::new(Self::new(region, header, site, name, false));
        initialise(&segment)?;
        draft.publish(name.as_str()).map_err(|source| site.explain_about(name, "create", source))?;
        // Relaxed: read only when the last reference is dropped, which is ordered by the reference count.
        segment.published.store(true, Ordering::Relaxed);
        Ok(segment)
    }

    /// Maps the segment `name` and checks it; `id` is the participant to be recorded as attached.
    pub(crate) fn open(site: &Site, name: &Name, access: Access, id: Option<u32>) -> Result<Arc<Self>> {
        let region = sys::open(&site.directory, OsStr::new(name.as_str()), access, id)
            .map_err(|source| site.explain_about(name, "open", source))?;
        let header = read_header(&region, &|| site.object(name))?;
        Ok(Arc::new(Self::new(region, header, site, name, true)))
    }

    fn new(region: Region, header: Header, site: &Site, name: &Name, published: bool) -> Self {
        Segment {
            region: ManuallyDrop::new(region),
            header,
            site: site.clone(),
            name: name.clone(),
            published: AtomicBool::new(published),
            #[cfg(all(loom, test))]
            placed: model::Placed::default(),
        }
    }

    /// The checked header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The registry whose ids its words hold.
    pub(crate) fn home(&self) -> Home {
        // Acquire: whoever finds its own registry here also finds what was done before it was written.
        Home(self.home_word().load(Ordering::Acquire))
    }

    /// Says that its words hold ids of the registry `home` from now on; the segment must be writable.
    pub(crate) fn move_to(&self, home: Home) {
        // Release: pairs with `home`.
        self.home_word().store(home.0, Ordering::Release);
    }

    fn home_word(&self) -> &AtomicU64 {
        // SAFETY: (S8) the mapping has at least `HEADER_LEN` bytes, is aligned to a page, and this field is only used as an atomic.
        unsafe { AtomicU64::from_ptr(self.region.as_ptr().add(offset::HOME).cast()) }
    }

    /// First byte and length of the body.
    pub(crate) fn body(&self) -> (NonNull<u8>, usize) {
        let base = NonNull::new(self.region.as_ptr()).unwrap_or(NonNull::dangling());
        // SAFETY: (S5) `Header::check` proved that header and body lie within the mapping.
        (unsafe { base.add(HEADER_LEN) }, self.header.body as usize)
    }

    /// Whether the mapping may be written.
    #[inline]
    pub(crate) fn is_writable(&self) -> bool {
        self.region.access() == Access::ReadWrite
    }

    /// How messages call it.
    pub(crate) fn object(&self) -> String {
        self.site.object(&self.name)
    }

    /// Its name within its space.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Its space's directory.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The file behind it.
    pub(crate) fn file_id(&self) -> FileId {
        self.region.id()
    }

    /// Writes its pages back to the device; has an effect on disks only.
    pub(crate) fn flush(&self) -> Result<()> {
        self.region.flush().map_err(|source| self.site.explain_about(&self.name, "flush", source))
    }

    /// Backs the first `wanted` bytes of the body with memory, of which `backed` are; `NoSpace` if there is none, `Gone` if the
    /// segment has lost its name.
    pub(crate) fn back(&self, backed: u64, wanted: u64) -> Result<()> {
        let wanted = wanted.min(self.header.body);
        let more = wanted.saturating_sub(backed);
        ask_for_memory(&self.site, &self.name, more)?;
        let end = HEADER_LEN as u64 + wanted;
        sys::back(&self.site.directory, OsStr::new(self.name.as_str()), self.region.id(), end).map_err(
            |source| match no_space(&self.site, &self.name, more, source) {
                Error::NotFound { object } => Error::Gone { object },
                other => other,
            },
        )
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let writable = self.is_writable();
        // SAFETY: (S5) `drop` runs once and nothing uses the region after this line.
        unsafe { ManuallyDrop::drop(&mut self.region) };
        let published = *self.published.get_mut();
        if published && writable && self.header.lifetime == Lifetime::Scoped {
            // Whoever is the last removes the file; a failure leaves it to gc.
            let _ = remove_unattached(&self.site, &self.name, Some(self.header.birth));
        }
    }
}

/// Removes a segment that nobody is attached to; tells whether it did.
///
/// With a birth id only that very segment is removed, never a successor of the same name; without one, whatever is a scoped
/// segment or the remains of a creator.
pub(crate) fn remove_unattached(site: &Site, name: &Name, birth: Option<Birth>) -> Result<bool> {
    let is_it = |region: Option<&Region>| {
        region.and_then(|region| read_header(region, &String::new).ok()).is_some_and(|found| {
            birth.map_or(found.lifetime == Lifetime::Scoped, |birth| found.birth == birth)
        })
    };
    match sys::remove_if_unattached(&site.directory, OsStr::new(name.as_str()), is_it) {
        Ok(removed) => Ok(removed),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(site.explain_about(name, "remove", source)),
    }
}

/// Copies the header out of a mapping and checks it.
pub(crate) fn read_header(region: &Region, object: &dyn Fn() -> String) -> Result<Header> {
    let len = region.len();
    if len < HEADER_LEN {
        return Err(Error::NotASegment {
            object: object(),
            what: "length",
            expected: format!("at least {HEADER_LEN} bytes"),
            found: if len == 0 { "an empty file".into() } else { format!("{len} bytes") },
        });
    }
    let mut bytes = [0; HEADER_LEN];
    // SAFETY: (S8) the mapping has at least `HEADER_LEN` bytes, and nobody writes these of a published header.
    unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(region.as_ptr(), offset::HOME) };
    Header::check(&bytes, len as u64, object)
}

/// Refuses before allocating what cannot fit: the system would end some process instead of this call.
fn ask_for_memory(site: &Site, name: &Name, needed: u64) -> Result<()> {
    match sys::free_bytes(&site.directory) {
        Some(free) if free < needed => Err(Error::NoSpace {
            object: site.object(name),
            place: site.directory.to_path_buf(),
            needed,
            available: free.to_string(),
        }),
        _ => Ok(()),
    }
}

fn no_space(site: &Site, name: &Name, needed: u64, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::NoSpace {
                object: site.object(name),
                place: site.directory.to_path_buf(),
                needed,
                available: match source.kind() {
                    io::ErrorKind::FileTooLarge => "fewer (`ulimit -f`, or the largest file there)".into(),
                    _ => sys::free_bytes(&site.directory)
                        .map_or("an unknown number of".into(), |b| b.to_string()),
                },
            }
        }
        _ => site.explain_about(name, "create", source),
    }
}
