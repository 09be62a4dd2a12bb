//! A segment of a model: a header without a file, and words that the model places in it.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{HEADER_LEN, Header, NewHeader, Segment, Site};
use crate::shm::header::{Birth, Home, Lifetime, TypeInfo};
use crate::shm::kind::Kind;
use crate::shm::name::Name;
use crate::sys::{Region, Trust};

/// What lies where, by offset in the body.
#[derive(Default)]
pub(super) struct Placed(Mutex<BTreeMap<usize, Arc<dyn Any + Send + Sync>>>);

impl Segment {
    /// A segment whose body has so many bytes, as the sizes of its words tell.
    pub(crate) fn of_model(body: usize) -> Arc<Self> {
        let type_info = TypeInfo::NONE;
        let (lifetime, birth) = (Lifetime::Scoped, Birth(1));
        let header = NewHeader { kind: Kind::Queue, lifetime, birth, type_info, creator: 1, home: Home(1) };
        let bytes = header.encode(body as u64);
        let total = (HEADER_LEN + body) as u64;
        let header = Header::check(&bytes, total, &String::new).expect("a header as it should be");
        let site = Site { directory: Path::new("/").into(), space: "model".into(), trust: Trust::Owner };
        let name = Name::new("model").expect("a name");
        Arc::new(Self::new(Region::of_model(HEADER_LEN + body), header, &site, &name, false))
    }

    /// Puts words where the code under test will look for them.
    pub(crate) fn place<W: Send + Sync + 'static>(&self, offset: usize, words: Vec<W>) {
        self.all().insert(offset, Arc::new(words));
    }

    /// What was placed there.
    pub(crate) fn placed<W: Send + Sync + 'static>(&self, offset: usize) -> Option<Arc<Vec<W>>> {
        self.all().get(&offset).and_then(|words| Arc::clone(words).downcast().ok())
    }

    /// So many of something, the same ones each time.
    pub(crate) fn lasting<W: Default + Send + Sync + 'static>(
        &self,
        key: usize,
        count: usize,
    ) -> Arc<Vec<W>> {
        if let Some(known) = self.placed(key) {
            return known;
        }
        self.place(key, (0..count).map(|_| W::default()).collect::<Vec<W>>());
        self.placed(key).unwrap_or_default()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Arc<dyn Any + Send + Sync>>> {
        self.placed.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
