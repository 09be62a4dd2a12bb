//! How an array comes into being: what it holds at first, how large it can become, and who attaches to it.

use std::marker::PhantomData;

use super::Array;
use super::body::{DEFAULT_GUARDS, Layout, Parts, check_sizes};
use super::claims::Core;
use super::stripe::group_shift;
use crate::error::{Error, Result};
use crate::participant::{Attached, Body, Builder, Expect, Object, Plan, PlanFault};
use crate::shm::copy::is_single;
use crate::shm::header::TypeInfo;
use crate::shm::{Kind, Plain};

/// What a new [`Array`] holds and how far it can grow.
///
/// ```
/// use procshare::{Array, ArrayInit};
///
/// let array = Array::<u64>::builder().anonymous(ArrayInit::filled(10, 1).max_len(1_000_000).guards(256))?;
/// array.grow(20, 2)?;
/// assert_eq!(array.to_vec()?.iter().sum::<u64>(), 30);
/// # Ok::<(), procshare::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to a builder"]
pub struct ArrayInit<T> {
    content: Content<T>,
    max_len: Option<usize>,
    guards: Option<usize>,
}

#[derive(Clone, Debug)]
enum Content<T> {
    Filled(usize, T),
    Elements(Vec<T>),
}

impl<T: Plain> ArrayInit<T> {
    /// `len` elements, all equal to `value`.
    pub fn filled(len: usize, value: T) -> Self {
        ArrayInit { content: Content::Filled(len, value), max_len: None, guards: None }
    }

    /// These elements.
    pub fn elements(elements: impl Into<Vec<T>>) -> Self {
        ArrayInit { content: Content::Elements(elements.into()), max_len: None, guards: None }
    }

    /// How many elements the array can [grow](Array::grow) to; its length unless said. Memory is taken when it grows.
    pub fn max_len(mut self, most: usize) -> Self {
        self.max_len = Some(most);
        self
    }

    /// How many ranges can be locked at once, 1 to 4096; as many as there are elements, at most 64, unless said.
    pub fn guards(mut self, most: usize) -> Self {
        self.guards = Some(most);
        self
    }

    fn len(&self) -> usize {
        match &self.content {
            Content::Filled(len, _) => *len,
            Content::Elements(elements) => elements.len(),
        }
    }

    fn layout(&self) -> Result<Layout, PlanFault> {
        let len = self.len();
        let capacity = self.max_len.unwrap_or(len);
        let guards = self.guards.unwrap_or(capacity.clamp(1, DEFAULT_GUARDS));
        check_sizes::<T>(len, capacity, guards)?;
        Layout::new(capacity, guards, size_of::<T>(), align_of::<T>()).ok_or_else(|| PlanFault {
            what: "elements",
            found: capacity as u64,
            expected: "less than the address space holds".into(),
        })
    }
}

impl<T: Plain> Builder<Array<T>> {
    /// Makes the array `name`; see [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(self, name: &str, init: ArrayInit<T>) -> Result<Array<T>> {
        self.create_with(name, init)
    }

    /// Opens the array `name`, or makes it; see [`open_or_create_with`](Self::open_or_create_with).
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(self, name: &str, init: ArrayInit<T>) -> Result<Array<T>> {
        self.open_or_create_with(name, init)
    }

    /// Makes an array without a name; see [`anonymous_with`](Self::anonymous_with).
    ///
    /// # Errors
    ///
    /// As [`anonymous_with`](Self::anonymous_with).
    pub fn anonymous(self, init: ArrayInit<T>) -> Result<Array<T>> {
        self.anonymous_with(init)
    }
}

impl<T: Plain> Object for Array<T> {
    type Init = ArrayInit<T>;

    fn plan(init: &ArrayInit<T>) -> Result<Plan, PlanFault> {
        let layout = init.layout()?;
        let backed = layout.elements_at + init.len() * size_of::<T>();
        Ok(Plan { body: layout.total as u64, backed: backed as u64 })
    }

    fn expect() -> Expect {
        Expect { kind: Kind::Array, type_info: TypeInfo::of::<T>() }
    }

    fn initialise(body: &Body<'_>, init: ArrayInit<T>) -> Result<()> {
        let layout = init.layout().map_err(|fault| Error::BadSize {
            object: body.segment.object(),
            what: fault.what,
            found: fault.found,
            expected: fault.expected,
        })?;
        Parts::initialise(body.segment, &layout, init.len())?;
        let parts = Parts::attach(body.segment, size_of::<T>(), align_of::<T>())?;
        match &init.content {
            // Fresh memory is zero.
            Content::Filled(_, value) if bytemuck::bytes_of(value).iter().all(|&byte| byte == 0) => {}
            Content::Filled(len, value) => {
                for index in 0..*len {
                    parts.elements.store(index * size_of::<T>(), bytemuck::bytes_of(value));
                }
            }
            Content::Elements(elements) => parts.elements.store(0, bytemuck::cast_slice(elements)),
        }
        Ok(())
    }

    fn attach(attached: Attached) -> Result<Self> {
        let parts = Parts::attach(&attached.segment, size_of::<T>(), align_of::<T>())?;
        let single = is_single(size_of::<T>(), align_of::<T>());
        let core =
            Core { parts, attached, size: size_of::<T>(), single, group_shift: group_shift(size_of::<T>()) };
        Ok(Array { core, plain: PhantomData })
    }

    fn attached(&self) -> &Attached {
        &self.core.attached
    }
}
