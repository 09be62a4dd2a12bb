//! What a task is, and how its arguments travel.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Page, encode};
use super::pool::{Said, Shift, run_all};
use crate::participant::{Handle, Object};

/// A function that can run in another process: made by [`#[procshare::task]`](macro@crate::task).
///
/// The attribute makes, beside the function, a type of the same name that stands for it: `Process::start::<count>(..)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no task",
    note = "put `#[procshare::task]` before the function, and name it: `Process::start::<function>(..)`"
)]
pub trait Task: 'static {
    /// The function's parameters, as a tuple.
    type Args: Serialize + DeserializeOwned;
    /// What the function returns.
    type Output: Serialize + DeserializeOwned + 'static;

    /// Calls the function in this process.
    fn call(args: Self::Args) -> Self::Output;

    #[doc(hidden)]
    fn entry() -> &'static Entry;
}

/// A task among those that the program has.
#[doc(hidden)]
pub struct Entry {
    pub(super) name: &'static str,
    pub(super) signature: &'static str,
    pub(super) run: Run,
    pub(super) run_all: RunAll,
}

/// Decodes arguments, says `ready`, calls, and appends the encoded output.
pub(super) type Run = fn(args: &[u8], ready: &mut dyn FnMut(), output: &mut Vec<u8>) -> Result<(), Unfit>;

/// Runs all tasks of a chunk, in the worker of a pool.
pub(super) type RunAll = fn(shift: &mut Shift<'_>) -> Said;

/// Bytes that are no arguments, or an output that has no bytes.
#[derive(Debug)]
pub(super) enum Unfit {
    Arguments(postcard::Error),
    Output(postcard::Error),
}

impl Entry {
    /// The entry of a task; called by the attribute's code.
    pub const fn of<T: Task>(name: &'static str, signature: &'static str) -> Self {
        Entry { name, signature, run: run::<T>, run_all: run_all::<T> }
    }

    /// The task's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.signature)
    }
}

fn run<T: Task>(args: &[u8], ready: &mut dyn FnMut(), output: &mut Vec<u8>) -> Result<(), Unfit> {
    let args = postcard::from_bytes::<T::Args>(args).map_err(Unfit::Arguments)?;
    ready();
    encode(&T::call(args), output).map_err(Unfit::Output)
}

/// What can be passed where a task has a parameter of type `P`.
///
/// `P` itself; an object or a reference to one for its [`Handle`]; `&str` for a `String`, a slice for a `Vec`, `&Path` for a `PathBuf`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed for a parameter of type `{P}`",
    note = "pass the value itself; also: an object by reference for its `Handle`, `&str` for a `String`, a slice for a `Vec`, `&Path` for a `PathBuf`"
)]
pub trait Argument<P> {
    #[doc(hidden)]
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()>;
}

impl<P: Serialize> Argument<P> for P {
    #[inline]
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()> {
        to.write(self)
    }
}

impl<O: Object> Argument<Handle<O>> for &O {
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()> {
        to.write(&Handle::of(*self))
    }
}

impl Argument<String> for &str {
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()> {
        to.write(self)
    }
}

impl<T: Serialize> Argument<Vec<T>> for &[T] {
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()> {
        to.write(self)
    }
}

impl Argument<PathBuf> for &Path {
    fn encode(&self, to: &mut Page<'_>) -> postcard::Result<()> {
        to.write(self)
    }
}

/// What can be passed to a task whose parameters are the tuple `A`: a tuple of [`Argument`]s.
///
/// A tuple of one is written with a comma: `(5,)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed to a task whose parameters are `{A}`",
    label = "not a tuple of these parameters",
    note = "pass a tuple, also of one: `(5,)`, and of none: `()`"
)]
pub trait Arguments<A> {
    #[doc(hidden)]
    fn encode_all(&self, to: &mut Page<'_>) -> postcard::Result<()>;
}

macro_rules! tuples {
    ($($passed:ident $parameter:ident $index:tt),*) => {
        impl<$($parameter, $passed: Argument<$parameter>),*> Arguments<($($parameter,)*)> for ($($passed,)*) {
            #[inline]
            // A tuple's bytes are those of its elements, one behind the other.
            fn encode_all(&self, _to: &mut Page<'_>) -> postcard::Result<()> {
                $(self.$index.encode(_to)?;)*
                Ok(())
            }
        }
    };
}

tuples!();
tuples!(A P 0);
tuples!(A P 0, B Q 1);
tuples!(A P 0, B Q 1, C R 2);
tuples!(A P 0, B Q 1, C R 2, D S 3);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5, G V 6);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5, G V 6, H W 7);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::process::codec::written;

    #[test]
    fn passed_values_have_the_bytes_of_the_parameters() {
        let passed = ("text", 7u32, &[1u16, 2][..], Path::new("/a"));
        let write =
            |to: &mut Page<'_>| Arguments::<(String, u32, Vec<u16>, PathBuf)>::encode_all(&passed, to);
        let bytes = written(write).unwrap();
        let parameters: (String, u32, Vec<u16>, PathBuf) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(parameters, ("text".to_owned(), 7, vec![1, 2], PathBuf::from("/a")));
    }
}
