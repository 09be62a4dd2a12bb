//! Reads `#[plain(..)]` and `#[repr(..)]`.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitStr, Path, Result, parenthesized, parse_quote, token};

/// What `#[plain(..)]` says.
pub(crate) struct PlainAttributes {
    pub(crate) name: Option<String>,
    pub(crate) krate: Path,
}

impl PlainAttributes {
    pub(crate) fn parse(attrs: &[Attribute]) -> Result<Self> {
        let mut name = None;
        let mut krate = None;
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("plain")) {
            attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    set_once(&mut name, &meta, checked_name(&meta.value()?.parse()?)?)
                } else if meta.path.is_ident("crate") {
                    let path: LitStr = meta.value()?.parse()?;
                    set_once(&mut krate, &meta, path.parse_with(Path::parse_mod_style)?)
                } else {
                    Err(meta.error("unknown key: `plain` takes `name = \"..\"` and `crate = \"..\"`"))
                }
            })?;
        }
        Ok(PlainAttributes { name, krate: krate.unwrap_or_else(|| parse_quote!(::procshare)) })
    }
}

/// An error if a field or a variant carries `#[plain(..)]`, which would have no effect there.
pub(crate) fn refuse_plain(attrs: &[Attribute]) -> Result<()> {
    match attrs.iter().find(|attr| attr.path().is_ident("plain")) {
        Some(attr) => Err(Error::new_spanned(attr, "`plain` belongs on the type, not on its parts")),
        None => Ok(()),
    }
}

fn set_once<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    match slot.replace(value) {
        Some(_) => Err(meta.error("given twice")),
        None => Ok(()),
    }
}

fn checked_name(name: &LitStr) -> Result<String> {
    let text = name.value();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Error::new_spanned(name, "the name must not be empty or hold control characters"));
    }
    Ok(text)
}

/// The words in all `#[repr(..)]`, as `C`, `u8` or `packed`.
pub(crate) fn repr_words(attrs: &[Attribute]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        attr.parse_nested_meta(|meta| {
            if meta.input.peek(token::Paren) {
                let argument; // of `align(8)` or `packed(2)`: `size_of`, `align_of` and `offset_of` show its effect
                parenthesized!(argument in meta.input);
                argument.parse::<TokenStream>()?;
            }
            words.extend(meta.path.get_ident().map(ToString::to_string));
            Ok(())
        })?;
    }
    Ok(words)
}
