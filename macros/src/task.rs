//! `#[task]`: a type that stands for a function, and its entry among the program's tasks.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, LitStr, Path, Result, ReturnType, Type, parse_quote};

/// The most parameters a task can have.
const MOST: usize = 8;

pub(crate) fn expand(arguments: TokenStream, function: &ItemFn) -> Result<TokenStream> {
    let (name, krate) = parse(arguments)?;
    let types = parameters(function)?;
    let output: Type = match &function.sig.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, output) => (**output).clone(),
    };
    if borrows(&output) {
        return refuse(
            &output,
            "what a task returns travels as data: use String or Vec<T>, or Handle<O> for an object",
        );
    }
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    // So that the compiler points at the parameters, if they are no data.
    let tuple = quote_spanned!(function.sig.inputs.span()=> (#(#types,)*));
    let arguments: Vec<_> = (0..types.len()).map(|index| format_ident!("argument_{index}")).collect();
    let name = match name {
        Some(name) => name.to_token_stream(),
        None => quote!(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident))),
    };
    let signature = signature(&types, &output);
    let about = format!("The task [`{ident}`](fn@{ident}), to name it where a task is started.");
    let cfgs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let cfgs: Vec<_> = cfgs.collect();
    Ok(quote! {
        #function

        #(#cfgs)*
        #[doc = #about]
        #[allow(non_camel_case_types)]
        #visibility struct #ident {}

        #(#cfgs)*
        const _: () = {
            #[#krate::process::hidden::linkme::distributed_slice(#krate::process::hidden::TASKS)]
            #[linkme(crate = #krate::process::hidden::linkme)]
            static ENTRY: #krate::process::hidden::Entry =
                #krate::process::hidden::Entry::of::<#ident>(#name, #signature);

            impl #krate::process::Task for #ident {
                type Args = #tuple;
                type Output = #output;

                fn call((#(#arguments,)*): Self::Args) -> Self::Output {
                    #ident(#(#arguments),*)
                }

                fn entry() -> &'static #krate::process::hidden::Entry {
                    &ENTRY
                }
            }
        };
    })
}

/// The attribute's arguments.
fn parse(arguments: TokenStream) -> Result<(Option<LitStr>, Path)> {
    let (mut name, mut krate) = (None, None);
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("name") && name.is_none() {
            let text: LitStr = meta.value()?.parse()?;
            if text.value().is_empty() || text.value().chars().any(char::is_control) {
                return Err(Error::new_spanned(
                    text,
                    "the name must not be empty or hold control characters",
                ));
            }
            name = Some(text);
            Ok(())
        } else if meta.path.is_ident("crate") && krate.is_none() {
            krate = Some(meta.value()?.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?);
            Ok(())
        } else {
            Err(meta.error("`task` takes `name = \"..\"` and `crate = \"..\"`, each once"))
        }
    });
    parser.parse2(arguments)?;
    Ok((name, krate.unwrap_or_else(|| parse_quote!(::procshare))))
}

fn refuse<T>(place: &dyn ToTokens, why: &str) -> Result<T> {
    Err(Error::new_spanned(place.to_token_stream(), why))
}

/// The types of the parameters, if a process can be started with them.
fn parameters(function: &ItemFn) -> Result<Vec<Type>> {
    let signature = &function.sig;

    if let Some(keyword) = &signature.asyncness {
        return refuse(keyword, "a task runs in a process of its own, without an executor: make one inside");
    }
    if let Some(keyword) = &signature.unsafety {
        return refuse(
            keyword,
            "a task is called by whoever starts it, without a promise: it cannot be unsafe",
        );
    }
    if let Some(keyword) = &signature.constness {
        return refuse(keyword, "a task cannot be const: it runs in another process");
    }
    if let Some(keyword) = &signature.abi {
        return refuse(keyword, "a task is called from Rust: it needs no other calling convention");
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            &signature.generics,
            "a task cannot be generic: the other process must find it in the program; make one for each type",
        );
    }
    if signature.inputs.len() > MOST {
        return Err(Error::new(
            signature.inputs.span(),
            format!("a task has at most {MOST} parameters: use a struct"),
        ));
    }
    let typed = |input: &FnArg| match input {
        FnArg::Receiver(receiver) => {
            refuse(receiver, "a task is a free function: there is no `self` elsewhere")
        }
        FnArg::Typed(typed) => match &*typed.ty {
            Type::ImplTrait(_) => refuse(&typed.ty, "a task cannot be generic: name the type"),
            borrowed if borrows(borrowed) => {
                let why = "parameters arrive as data in another process: use String, Vec<T>, or Handle<O> for an object";
                refuse(&typed.ty, why)
            }
            _ => Ok((*typed.ty).clone()),
        },
    };
    signature.inputs.iter().map(typed).collect()
}

/// Whether there is a reference in a type, however deep.
pub(crate) fn borrows(of: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Punct(punct) => punct.as_char() == '&',
            TokenTree::Group(group) => any(group.stream()),
            _ => false,
        })
    }
    any(of.to_token_stream())
}

/// The signature as it is written.
fn signature(types: &[Type], output: &Type) -> String {
    let types: Vec<String> = types.iter().map(|one| one.to_token_stream().to_string()).collect();
    format!("({}) -> {}", types.join(", "), output.to_token_stream())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> String {
        expand(TokenStream::new(), &syn::parse_str(source).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_travel_is_refused_with_the_way_out() {
        for (source, says) in [
            ("async fn f() {}", "executor"),
            ("unsafe fn f() {}", "unsafe"),
            ("const fn f() {}", "const"),
            ("extern \"C\" fn f() {}", "calling convention"),
            ("fn f<T>(a: T) {}", "generic"),
            ("fn f(a: &str) {}", "String"),
            ("fn f(a: Option<(u8, &'static [u8])>) {}", "Vec<T>"),
            ("fn f() -> &'static str { \"\" }", "returns travels as data"),
            ("fn f() -> Result<u8, Box<&'static str>> { Ok(1) }", "returns travels as data"),
            ("fn f(a: impl Copy) {}", "generic"),
            ("fn f(self) {}", "self"),
            ("fn f(a:u8,b:u8,c:u8,d:u8,e:u8,f:u8,g:u8,h:u8,i:u8) {}", "at most 8"),
        ] {
            let said = refused(source);
            assert!(said.contains(says), "{source}: {said}");
        }
    }

    #[test]
    fn the_arguments_are_known_by_name_and_given_once() {
        let (name, krate) = parse(quote!(name = "a::b", crate = "crate")).unwrap();
        let found = (name.unwrap().value(), krate.to_token_stream().to_string());
        assert_eq!(found, ("a::b".to_owned(), "crate".to_owned()));
        for wrong in [quote!(name = ""), quote!(name = "a", name = "b"), quote!(title = "a"), quote!(name)] {
            let text = wrong.to_string();
            assert!(parse(wrong).is_err(), "{text}");
        }
    }

    #[test]
    fn the_signature_names_parameters_and_output() {
        let function: ItemFn =
            syn::parse_str("fn f(a: u8, b: Vec<u8>) -> String { unreachable!() }").unwrap();
        assert_eq!(
            signature(&parameters(&function).unwrap(), &parse_quote!(String)),
            "(u8, Vec < u8 >) -> String"
        );
    }
}
