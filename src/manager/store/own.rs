//! Types that the program which runs the server brings along.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::arguments::Arguments;
use super::body::{Behaviour, Call};
use super::datum::Out;
use super::fault::Fault;
use crate::manager::wire::read::Reader;

/// A type of the program's own behind a proxy: its methods are called by name.
///
/// Implemented by [`#[procshare::managed]`](macro@crate::managed), or by hand. Calls come one at a time, in the server's thread: everybody waits
/// while one runs.
///
/// ```
/// use procshare::manager::{Manager, Server, ServerTask};
///
/// #[derive(Default)]
/// struct Thermometer {
///     readings: Vec<f64>,
/// }
///
/// #[procshare::managed(proxy = ThermometerProxy)]
/// impl Thermometer {
///     pub fn read(&mut self, degrees: f64) {
///         self.readings.push(degrees);
///     }
///
///     pub fn mean(&self) -> Result<f64, String> {
///         match self.readings.len() {
///             0 => Err("nothing has been read".into()),
///             len => Ok(self.readings.iter().sum::<f64>() / len as f64),
///         }
///     }
/// }
///
/// #[procshare::task]
/// fn serve(task: ServerTask) -> Result<(), String> {
///     task.serve(Server::builder().register("thermometer", |_| Ok(Thermometer::default())))
/// }
///
/// let manager = Manager::start_with::<serve>()?;
/// let outside = ThermometerProxy::from_object(manager.create("thermometer", Some("outside"), &())?);
/// assert!(outside.mean().is_err());
/// outside.read(20.0)?;
/// outside.read(22.0)?;
/// assert_eq!(outside.mean()?, 21.0);
/// # Ok::<(), procshare::Error>(())
/// ```
pub trait Managed: Send {
    /// Calls `method`.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the caller gets its text.
    ///
    /// # Panics
    ///
    /// A panic is an error for the caller; the object is removed, because nobody knows its state.
    fn call(&mut self, method: &str, arguments: &mut CallArguments<'_>) -> Result<Returned, CallError>;
}

/// The arguments of a call, one after the other.
pub struct CallArguments<'a> {
    inner: Arguments<'a>,
}

/// What a call returns.
pub struct Returned(Vec<u8>);

/// Why a call failed, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError(pub String);

impl CallArguments<'_> {
    /// The next argument.
    ///
    /// # Errors
    ///
    /// [`CallError`] if there is none, or if it is no `T`.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<T, CallError> {
        let bytes = self.inner.raw().map_err(|fault| CallError(fault.message))?;
        rmp_serde::from_slice(bytes)
            .map_err(|error| CallError(format!("an argument is of another type: {error}")))
    }

    /// That there are no more.
    ///
    /// # Errors
    ///
    /// [`CallError`] if there are.
    pub fn end(&self) -> Result<(), CallError> {
        self.inner.end().map_err(|fault| CallError(fault.message))
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.inner.left() as usize
    }
}

impl Returned {
    /// A value to return.
    ///
    /// # Errors
    ///
    /// [`CallError`] if it cannot be written as MessagePack.
    pub fn new(value: &impl Serialize) -> Result<Self, CallError> {
        rmp_serde::to_vec_named(value).map(Returned).map_err(|error| CallError(error.to_string()))
    }
}

impl<E: std::error::Error> From<E> for CallError {
    fn from(error: E) -> Self {
        CallError(error.to_string())
    }
}

/// Makes an object from the arguments of its creation.
pub(crate) type Factory = Box<dyn Fn(&mut CallArguments<'_>) -> Result<Box<dyn Managed>, CallError> + Send>;

/// The program's own types, by name.
#[derive(Default)]
pub(crate) struct Types(pub(crate) HashMap<String, Factory>);

impl Types {
    pub(crate) fn make(&self, kind: &str, arguments: &mut Arguments<'_>) -> Result<Option<Own>, Fault> {
        let Some(factory) = self.0.get(kind) else { return Ok(None) };
        let made = guarded(arguments, factory)?;
        Ok(Some(Own { object: Some(made) }))
    }
}

/// An object of such a type, until a call panics.
pub(crate) struct Own {
    object: Option<Box<dyn Managed>>,
}

impl Behaviour for Own {
    fn call(&mut self, call: &mut Call<'_, '_>) -> Result<Option<Out>, Fault> {
        let Call { method, arguments, .. } = call;
        let panicked =
            || Fault::new(Fault::PANICKED, "a method of this object panicked: its state is unknown");
        let mut object = self.object.take().ok_or_else(panicked)?;
        let returned = guarded(arguments, |arguments| object.call(method, arguments));
        if !matches!(&returned, Err(fault) if fault.kind == Fault::PANICKED) {
            self.object = Some(object);
        }
        let Returned(bytes) = returned?;
        // What a program returns is looked at like anything else: no references, no depth beyond the limit.
        let mut refers = false;
        Reader::new(&bytes).value_with(|_| refers = true)?;
        if refers {
            return Err(Fault::new(Fault::OWN, "a registered type cannot return references"));
        }
        Ok(Some(Out { bytes, references: Vec::new() }))
    }
}

fn guarded<R>(
    arguments: &mut Arguments<'_>,
    work: impl FnOnce(&mut CallArguments<'_>) -> Result<R, CallError>,
) -> Result<R, Fault> {
    let taken = std::mem::replace(arguments, Arguments::new(&[], 0));
    // After a panic the object is thrown away, so nobody sees what it left half-done.
    let done = catch_unwind(AssertUnwindSafe(|| work(&mut CallArguments { inner: taken })));
    match done {
        Ok(result) => result.map_err(|CallError(message)| Fault::new(Fault::OWN, message)),
        Err(_) => Err(Fault::new(Fault::PANICKED, "the method panicked: the object's state is unknown")),
    }
}
