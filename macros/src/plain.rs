//! `#[derive(Plain)]` as a function from a type's definition to an implementation.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, Index, Path, Result};

use crate::attributes::{PlainAttributes, refuse_plain, repr_words};

const ENUM_REPRS: [&str; 8] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];

/// The implementation of `Plain`, or why there can be none.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let PlainAttributes { name, krate } = PlainAttributes::parse(&input.attrs)?;
    refuse_generics(input)?;
    let parts = match &input.data {
        Data::Struct(data) => struct_parts(input, &data.fields, &krate)?,
        Data::Enum(data) => enum_parts(input, data)?,
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "`Plain` cannot be derived for a union: nothing tells which field its bytes are; use a struct",
            ));
        }
    };
    let ident = &input.ident;
    let name = name.unwrap_or_else(|| ident.unraw().to_string());
    Ok(quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #krate::Plain for #ident {
            const SIGNATURE: #krate::shm::plain::Signature = #krate::shm::plain::Signature::of_type(
                #name,
                ::core::mem::size_of::<#ident>(),
                ::core::mem::align_of::<#ident>(),
            )
            #parts
            .finish();
            const NAME: &'static ::core::primitive::str = #name;
        }
    })
}

fn refuse_generics(input: &DeriveInput) -> Result<()> {
    if input.generics.params.is_empty() && input.generics.where_clause.is_none() {
        return Ok(());
    }
    let place: &dyn ToTokens =
        if input.generics.params.is_empty() { &input.generics.where_clause } else { &input.generics.params };
    let message = "`Plain` cannot be derived for a generic type, whose padding cannot be checked; share a concrete struct";
    Err(Error::new_spanned(place, message))
}

/// One `.field(..)` call for each field.
fn struct_parts(input: &DeriveInput, fields: &Fields, krate: &Path) -> Result<TokenStream> {
    let words = repr_words(&input.attrs)?;
    if !words.iter().any(|word| word == "C" || word == "transparent") {
        let message = format!(
            "`Plain` needs a layout that all programs agree on: add `#[repr(C)]` (or `#[repr(transparent)]`) to `{}`",
            input.ident
        );
        return Err(Error::new(input.ident.span(), message));
    }
    let ident = &input.ident;
    let mut calls = TokenStream::new();
    for (i, field) in fields.iter().enumerate() {
        refuse_plain(&field.attrs)?;
        let member = match &field.ident {
            Some(name) => name.to_token_stream(),
            None => Index::from(i).to_token_stream(),
        };
        let name = match &field.ident {
            Some(name) => name.unraw().to_string(),
            None => i.to_string(),
        };
        let ty = &field.ty;
        calls.extend(quote! {
            .field(#name, ::core::mem::offset_of!(#ident, #member), <#ty as #krate::Plain>::SIGNATURE)
        });
    }
    Ok(calls)
}

/// One `.variant(..)` call for each variant.
fn enum_parts(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let ident = &input.ident;
    for variant in &data.variants {
        refuse_plain(&variant.attrs)?;
        if !matches!(variant.fields, Fields::Unit) {
            let message = format!(
                "`Plain` cannot be derived for an enum whose variants have fields: `{}` has; \
                 use a struct with a fieldless enum and the data side by side",
                variant.ident
            );
            return Err(Error::new(variant.span(), message));
        }
    }
    if !repr_words(&input.attrs)?.iter().any(|word| ENUM_REPRS.contains(&word.as_str())) {
        let message = format!(
            "`Plain` needs an enum of fixed width: add `#[repr(u8)]` (or another of {}) to `{ident}`",
            ENUM_REPRS.join(", ")
        );
        return Err(Error::new(ident.span(), message));
    }
    let calls = data.variants.iter().map(|variant| {
        let variant = &variant.ident;
        let name = variant.unraw().to_string();
        quote!(.variant(#name, #ident::#variant as ::core::primitive::i128))
    });
    Ok(calls.collect())
}

#[cfg(test)]
mod tests;
