//! Derive and attribute macros of `procshare`.
//!
//! Use them through `procshare`, which re-exports them next to the traits that they implement.

mod attributes;
mod managed;
mod plain;
mod task;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, ItemImpl, parse_macro_input};

/// Implements `procshare::Plain` for a struct or a fieldless enum: its name and the fingerprint of its layout.
///
/// The type must also derive `NoUninit` and `CheckedBitPattern` (or `Pod` and `Zeroable`) of `bytemuck`, which check
/// that every byte is defined and can be validated.
///
/// # What enters the fingerprint
///
/// The name, the size and the alignment; of a struct, every field's name, offset and own fingerprint; of an enum, every
/// variant's name and discriminant. Renaming any of these makes older programs refuse to open the value; the module
/// path, the order of variants, visibility, attributes and the compiler do not matter.
///
/// # Attributes
///
/// All in `#[plain(..)]` on the type:
///
/// - `name = "acme.job"`: the name that all programs sharing the type agree on. Default: the bare identifier, so that a
///   `Job` here and a `Job` there with equal fields are the same type; give a qualified name if that could be chance.
/// - `crate = "path"`: where `procshare` is found. Default: `::procshare`.
///
/// # What is refused
///
/// With a message at the place: structs without `repr(C)` or `repr(transparent)`; enums without a `repr` of `u8` to
/// `u64` or `i8` to `i64` (`repr(C)` alone has a size that the platform chooses); enums whose variants carry data; unions;
/// generic types (wrap the concrete type you share in a struct of its own).
#[proc_macro_derive(Plain, attributes(plain))]
pub fn derive_plain(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    plain::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a function startable in another process: a `procshare::process::Task`.
///
/// The function stays what it was. Beside it comes a type of the same name that stands for it, as in `Process::start::<count>(..)`; so
/// no module or type of that name can be in the same place.
///
/// # Arguments of the attribute
///
/// - `name = "acme::count"`: the name that is shown. Default: the module's path and the function's name. Tasks are told apart also where
///   they have one name, as those within functions may.
/// - `crate = "path"`: where `procshare` is found. Default: `::procshare`.
///
/// # What is refused
///
/// With a message at the place: methods, generic, `async`, `unsafe`, `extern` and `const` functions, references and `impl Trait` among the
/// parameters (parameters arrive as data: use `String`, `Vec<T>`, `Handle<O>`), and more than 8 parameters. Parameters and output must
/// implement serde's `Serialize` and `DeserializeOwned`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let function = parse_macro_input!(input as ItemFn);
    task::expand(arguments.into(), &function).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Lets clients of a manager call the methods of a type by their names: implements `procshare::manager::Managed` for it.
///
/// Goes on an impl block of the type. Its methods with `&self` or `&mut self` that are `pub` (or `pub(crate)` and so on) can be called; private
/// ones cannot. What they take and return travels as data (serde). The `Err` of a method that returns a `Result` goes to the caller in words.
///
/// # Arguments of the attribute
///
/// - `proxy = Name` (or `proxy = pub Name`): also makes a type with the same methods for clients.
/// - `crate = "path"`: where `procshare` is found. Default: `::procshare`.
///
/// # What is refused
///
/// With a message at the place: generic types and methods, `async` and `unsafe` methods, `self` by value, and references among the parameters
/// (use `String`, `Vec<T>`).
#[proc_macro_attribute]
pub fn managed(arguments: TokenStream, input: TokenStream) -> TokenStream {
    let block = parse_macro_input!(input as ItemImpl);
    managed::expand(arguments.into(), &block).unwrap_or_else(|error| error.to_compile_error()).into()
}
